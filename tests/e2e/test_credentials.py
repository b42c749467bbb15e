"""Who a device is and what it may do: passwords, certificates, windows, revocation, children, local topics, provisioning."""
import base64
import http.client
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from millrace_dev.authority import Authority
from millrace_lab import TENANT, eventually, now_us
from presence_log import PresenceLog
from raw_mqtt import DISCONNECT, PUBACK, Closed, RawMqtt, Will
from tls_front import READING, Front

BOTH = pytest.mark.parametrize("version", [4, 5])
PASSWORD = "correct: horse@battery"
BAD_LOGIN = {4: 4, 5: 0x86}
NOT_AUTHORIZED = {4: 5, 5: 0x87}
COMMON_NAME = 1
OPERATOR = 2  # Role
SECOND = 1_000_000
REASON_STRING = 0x1F
LASTING = bytes([0x11]) + struct.pack("!I", 600)  # session expiry interval


@pytest.fixture
def front(lab, tmp_path):
    """A second gateway, with every listener on."""
    made = Front(lab, tmp_path / "tls")
    yield made
    made.close()


@pytest.fixture
def devices(tmp_path):
    """Whose leaves are devices."""
    return Authority(tmp_path / "devices")


@pytest.fixture
def device(lab, request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-40:].strip("-")
    return name, lab.create_device(name)


def by_certificate(front, certificate, version=5, user=None, password=None, **options):
    """(client, CONNACK) over TLS with a client certificate."""
    client = RawMqtt(None, version, stream=front.secure(context=front.context(certificate)))
    return client, client.connect(user, password, f"cert-{id(client)}", **options)


def login(port, version, name, secret, client_id=None):
    client = RawMqtt(port, version)
    return client, client.connect(f"{name}@{TENANT}", secret, client_id or f"c-{id(client)}")


def accepted(port, name, secret):
    client, connack = login(port, 5, name, secret)
    client.close()
    return connack.reason == 0


def wait_accepted(ports, name, secret):
    for port in ports:
        eventually(lambda: accepted(port, name, secret), 60, f"{name} to be let in at {port}")


def until_certificate(front, certificate, reason=0):
    def reached():
        client, connack = by_certificate(front, certificate)
        client.close()
        return connack.reason == reason
    eventually(reached, 60, f"CONNACK {reason:#x} for the certificate")


def post(address, user, secret, path="/v1/telemetry", body=b'{"a":1}', context=None, headers=None):
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    connection = kind(address, timeout=60, **({"context": context} if context else {}))
    if user:
        headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode(), **(headers or {})}
    connection.request("POST", path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


class Watch:
    """When a connection ended, and how; waits in the background."""

    def __init__(self, client):
        self.ended_at = self.last = None
        self._client = client
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self):
        try:
            while True:
                self.last = self._client.read(90)
        except (Closed, OSError):
            self.ended_at = time.monotonic()

    def wait(self):
        self._thread.join(90)
        assert self.ended_at is not None, "the connection is still there"
        return self.ended_at


def pem(path):
    return path.read_text(encoding="utf-8")


def set_authority(lab, devices, name, pattern="{device}", **fields):
    devices.ensure()
    lab.registry("SetAuthority", certificate_pem=pem(devices.ca), authority={
        "authority": name, "source": COMMON_NAME, "pattern": pattern, "enabled": True, **fields})


def test_a_password_over_every_protocol_that_takes_one(lab, device):
    name, token = device
    lab.registry("AddCredential", device=name, password=PASSWORD)
    wait_accepted([lab.mqtt_port], name, PASSWORD)
    for version in (4, 5):
        client, connack = login(lab.mqtt_port, version, name, PASSWORD)
        assert connack.reason == 0
        assert client.ask(f"devices/{name}/telemetry", READING, 1).kind == PUBACK
        client.close()
        assert login(lab.mqtt_port, version, name, "wrong password")[1].reason == BAD_LOGIN[version]
        assert login(lab.mqtt_port, version, "nobody-at-all", "wrong password")[1].reason == BAD_LOGIN[version]
    address = lab.http_url.removeprefix("http://")
    assert post(address, f"{name}@{TENANT}", PASSWORD)[0] == 202
    wrong = post(address, f"{name}@{TENANT}", "wrong password")
    assert wrong[0] == 401 and wrong == post(address, f"nobody@{TENANT}", "wrong password")
    assert post(address, f"{name}@{TENANT}", token)[0] == 202
    assert lab.metrics("protocol-gateway", "millrace_gateway_password_seconds_count") >= 3


def test_a_pinned_certificate(lab, front, devices, device):
    name, token = device
    certificate = devices.client("whatever-it-says")
    lab.registry("AddCredential", device=name, certificate_pem=pem(certificate[0]))
    until_certificate(front, certificate)
    for version in (4, 5):
        client, connack = by_certificate(front, certificate, version)
        assert connack.reason == 0
        assert client.ask(f"devices/{name}/telemetry", READING, 1).kind == PUBACK
        client.close()
        assert by_certificate(front, certificate, version, f"{name}@{TENANT}")[1].reason == 0
        assert by_certificate(front, certificate, version, f"{front.device}@{TENANT}")[1].reason == NOT_AUTHORIZED[version]
        stranger = devices.client("stranger")
        assert by_certificate(front, stranger, version)[1].reason == NOT_AUTHORIZED[version]
        assert by_certificate(front, stranger, version, f"{name}@{TENANT}", token)[1].reason == 0, "the token decides"
        assert by_certificate(front, stranger, version, f"{name}@{TENANT}", "wrong")[1].reason == BAD_LOGIN[version]
    host = f"localhost:{front.ports['https']}"
    assert post(host, None, None, context=front.context(certificate))[0] == 202
    assert post(host, None, None, context=front.context(devices.client("stranger")))[0] == 401


def test_an_authority_and_its_pattern(lab, front, devices, device):
    name, _ = device
    set_authority(lab, devices, "meters", "meter-{device}")
    leaf = devices.client(f"meter-{name}")
    until_certificate(front, leaf)
    for version in (4, 5):
        client, connack = by_certificate(front, leaf, version)
        assert connack.reason == 0
        assert client.ask(f"devices/{name}/telemetry", READING, 1).kind == PUBACK
        client.close()
        for other in (devices.client(name), devices.client("meter-nobody")):
            assert by_certificate(front, other, version)[1].reason == NOT_AUTHORIZED[version]
    forger = Authority(devices.folder.parent / "forger")
    assert by_certificate(front, forger.client(f"meter-{name}"))[1].reason == NOT_AUTHORIZED[5]

    client, _ = by_certificate(front, leaf)
    watch = Watch(client)
    lab.registry("DeleteAuthority", authority="meters")
    returned = time.monotonic()
    assert watch.wait() - returned < 1.0
    assert watch.last.kind == DISCONNECT and watch.last.reason == 0x87
    assert by_certificate(front, leaf)[1].reason == NOT_AUTHORIZED[5]


def test_the_end_of_a_window_ends_the_session(lab, front, device):
    name, _ = device
    end = now_us() + 10 * SECOND
    token = lab.registry("AddCredential", device=name, not_after_us=end).token
    ports = [lab.mqtt_port, front.lab.member("tls-gateway").ports["mqtt"]]
    wait_accepted(ports, name, token)
    watches = []
    for port in ports:
        for version in (4, 5):
            client, connack = login(port, version, name, token)
            assert connack.reason == 0
            watches.append(Watch(client))
    for watch in watches:
        watch.wait()
        assert now_us() >= end
    assert now_us() < end + 2 * SECOND
    assert [watch.last.reason for watch in watches if watch.last] == [0x87, 0x87], "version 5 is told"
    assert login(lab.mqtt_port, 5, name, token)[1].reason == 0x86


@pytest.mark.parametrize("way", ["credential", "device"])
def test_revocation_reaches_both_gateways_within_a_second(lab, front, device, way):
    name, plain = device
    presence = PresenceLog(lab)
    made = lab.registry("AddCredential", device=name)
    ports = [lab.mqtt_port, front.lab.member("tls-gateway").ports["mqtt"]]
    wait_accepted(ports, name, made.token)
    wait_accepted(ports, name, plain)
    watches, others = [], []
    for port in ports:
        for version in (4, 5):
            client, connack = login(port, version, name, made.token)
            assert connack.reason == 0
            watches.append(Watch(client))
        others.append(login(port, 5, name, plain)[0])
    if way == "credential":
        lab.registry("RemoveCredential", device=name, credential_id=made.credential.credential_id)
    else:
        lab.registry("SetDeviceEnabled", device=name, enabled=False)
    returned = time.monotonic()
    assert max(watch.wait() for watch in watches) - returned < 1.0
    assert [watch.last.reason for watch in watches if watch.last] == [0x87, 0x87]
    for client in others:
        if way == "credential":
            assert client.ask(f"devices/{name}/telemetry", READING, 1).kind == PUBACK, "its other credential goes on"
        else:
            client.assert_closed()
    revoked = lambda: [record for record in presence.going(name) if presence.cause(record) == "revoked"]  # noqa: E731
    eventually(lambda: len(revoked()) >= len(watches), 60, "presence to say revoked")
    presence.end()


def test_nobody_outlives_a_revocation_that_comes_before_connack(lab, device):
    """A session that lasts is written to Kafka between the look at the credentials and CONNACK."""
    for turn in range(8):
        name = f"{device[0][:40]}-{turn}"  # a device has at most 100 sessions
        lab.create_device(name)
        made = lab.registry("AddCredential", device=name)
        wait_accepted([lab.mqtt_port], name, made.token)
        halfway = threading.Event()

        def connect(index):
            client = RawMqtt(lab.mqtt_port, 5)
            reason = client.connect(f"{name}@{TENANT}", made.token, f"t{turn}-{index}", properties=LASTING).reason
            if index == 30:
                halfway.set()
            return client, reason
        with ThreadPoolExecutor(32) as pool:
            connecting = [pool.submit(connect, index) for index in range(90)]
            halfway.wait(60)
            lab.registry("RemoveCredential", device=name, credential_id=made.credential.credential_id)
            answers = [one.result() for one in connecting]
        assert {0} < {reason for _, reason in answers} <= {0, 0x86, 0x87}
        for client, reason in answers:
            if reason == 0:
                client.assert_closed()
            client.close()


def test_a_certificate_that_another_tenant_registers_stays_ones_own(lab, front, devices, device):
    name, _ = device
    platform_key = lab.stack.settings.kept("platform_key")
    taker = f"taker-{now_us()}"
    lab.registry("CreateTenant", key=platform_key, tenant=taker)
    key = lab.registry("CreateApiKey", key=platform_key, tenant=taker, role=OPERATOR, description="taker").key
    set_authority(lab, devices, "plant", "plant-{device}")
    leaf = devices.client(f"plant-{name}")
    until_certificate(front, leaf)

    lab.registry("CreateDevice", key=key, device=name)
    lab.registry("AddCredential", key=key, device=name, certificate_pem=pem(leaf[0]))
    until_certificate(front, leaf, NOT_AUTHORIZED[5])
    assert b"user name" in by_certificate(front, leaf)[1].properties[REASON_STRING]

    pinned = devices.client("pinned")
    lab.registry("AddCredential", device=name, certificate_pem=pem(pinned[0]))
    for index in range(10):
        lab.registry("CreateDevice", key=key, device=f"other-{index}")
        lab.registry("AddCredential", key=key, device=f"other-{index}", certificate_pem=pem(pinned[0]))
    until_certificate(front, pinned, NOT_AUTHORIZED[5])
    for certificate in (leaf, pinned):
        client, connack = by_certificate(front, certificate, user=f"{name}@{TENANT}")
        assert connack.reason == 0
        assert client.ask(f"devices/{name}/telemetry", READING, 1).kind == PUBACK
        client.close()
    lab.registry("DeleteAuthority", authority="plant")


def test_children_of_a_gateway_device(lab, device):
    name, token = device
    child, other = f"{name[:30]}-child", f"{name[:30]}-other"
    lab.create_device(child)
    lab.create_device(other)
    lab.registry("SetDeviceChildren", device=name, children=[f"{name[:30]}-ch*"])
    def may_listen():
        client, _ = login(lab.mqtt_port, 5, name, token)
        codes = client.subscribe((f"devices/{child}/commands/#", 1)).codes
        client.close()
        return codes == [1]
    eventually(may_listen, 60, "the gateway to know the children")
    begin = now_us() - 60 * SECOND
    for version in (4, 5):
        client, _ = login(lab.mqtt_port, version, name, token)
        assert client.ask(f"devices/{child}/telemetry", b'{"of_child":%d}' % version, 1).kind == PUBACK
        client.close()
    client, _ = login(lab.mqtt_port, 5, name, token)
    assert client.ask(f"devices/{other}/telemetry", READING, 2).reason == 0x87
    assert post(lab.http_url.removeprefix("http://"), f"{name}@{TENANT}", token,
                f"/v1/devices/{child}/telemetry", b'{"of_child":7}')[0] == 202
    assert post(lab.http_url.removeprefix("http://"), f"{name}@{TENANT}", token,
                f"/v1/devices/{other}/telemetry", b'{"of_child":7}')[0] == 403
    eventually(lambda: len(lab.range_samples(child, "of_child", begin, now_us() + 60 * SECOND)) == 3, 120,
               "the child's readings")
    lab.registry("SetDeviceChildren", device=name, children=[])
    eventually(lambda: client.ask(f"devices/{child}/telemetry", READING, 3).reason == 0x87, 60, "the child to be taken away")


def test_local_topics_by_policy_and_by_device(lab, device, request):
    name, token = device
    request.addfinalizer(lambda: lab.registry("SetPolicy", policy={}))
    peer = f"{name[:30]}-peer"
    peer_token = lab.create_device(peer)
    client, _ = login(lab.mqtt_port, 5, name, token)
    assert client.ask("plant/x", b"on", 1).reason == 0x87, "nothing is allowed at first"
    lab.registry("SetPolicy", policy={"device_topics": [
        {"filter": "plant/#", "subscribe": True}, {"filter": "plant/{device}/#", "publish": True}]})
    eventually(lambda: client.ask(f"plant/{name}/pump", b"on", 2).reason in (0, 0x10), 60, "the policy to be known")
    client.close()
    for version in (4, 5):
        listener, _ = login(lab.mqtt_port, version, peer, peer_token)
        refused = 0x80 if version == 4 else 0x87
        answer = listener.subscribe((f"plant/{name}/#", 1), ("#", 1), ("other/x", 1), (f"devices/{name}/commands", 1))
        assert answer.codes == [1, refused, refused, refused]
        assert version == 4 or b"its policy allows" in answer.properties[REASON_STRING]
        sender, _ = login(lab.mqtt_port, version, name, token)
        assert sender.ask(f"plant/{name}/pump", b"off", 1).kind == PUBACK
        assert listener.receive().payload == b"off"
        dying = RawMqtt(lab.mqtt_port, version)
        dying.connect(f"{name}@{TENANT}", token, "dying", will=Will(f"plant/{name}/gone", b"gone"))
        dying.close()
        assert listener.receive().payload == b"gone"
        listener.close()
        sender.close()

    listener, _ = login(lab.mqtt_port, 5, peer, peer_token)
    listener.subscribe((f"plant/{name}/#", 1))
    watch = Watch(listener)
    lab.registry("SetDeviceTopics", device=peer, topics=[{"filter": "mine", "publish": True}])
    returned = time.monotonic()
    assert watch.wait() - returned < 1.0
    assert watch.last.kind == DISCONNECT and watch.last.reason == 0x98


def test_receipts_come_to_who_asks_and_by_policy_to_all(lab, device, request):
    name, token = device
    request.addfinalizer(lambda: lab.registry("SetPolicy", policy={}))
    asks = RawMqtt(lab.mqtt_port, 5)
    asks.connect(f"{name}@{TENANT}", token, "asks")
    assert asks.ask(f"devices/{name}/telemetry", READING, 1).user["receipt"]
    silent = RawMqtt(lab.mqtt_port, 5)
    silent.connect(f"{name}@{TENANT}", token, "silent", receipts=False)
    answer = silent.ask(f"devices/{name}/telemetry", READING, 1)
    assert answer.reason == 0 and not answer.user
    lab.registry("SetPolicy", policy={"receipts": True})
    eventually(lambda: silent.ask(f"devices/{name}/telemetry", READING, 2).user.get("receipt"), 60, "receipts by policy")


def test_a_leaf_makes_its_device_where_the_authority_says_so(lab, front, devices):
    name = f"fresh-{now_us()}"
    set_authority(lab, devices, "line", "line:{device}", provisions=True, most_provisioned=1)
    leaf = devices.client(f"line:{name}")
    until_certificate(front, leaf)
    client, connack = by_certificate(front, leaf)
    assert connack.reason == 0
    assert client.ask(f"devices/{name}/telemetry", READING, 1).kind == PUBACK
    assert lab.registry("GetDevice", device=name).enabled
    refused = by_certificate(front, devices.client(f"line:{name}-2"))[1]
    assert refused.reason == 0x87 and b"most_provisioned" in refused.properties[REASON_STRING], refused
    assert front.metric("millrace_gateway_provisioning_total") >= 2
    lab.registry("DeleteAuthority", authority="line")
    client.assert_closed()
