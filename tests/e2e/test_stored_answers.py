"""Ack level `stored`: the answer waits for the database, on every protocol."""
import contextlib
import json
import secrets
import threading
import time

import pytest

from coap_device import URI_QUERY, CoapDevice
from http_device import HttpDevice
from millrace_lab import TENANT, eventually
from raw_mqtt import PINGRESP, PUBACK, RawMqtt, encode_properties

TIME = int(time.time()) - 3600  # of a day that is not compacted while it is counted
STORED = encode_properties({}, [("ack", "stored")])
BUS = encode_properties({}, [("ack", "bus")])
AT_STORED = "/v1/telemetry?ack=stored"


@pytest.fixture
def device(lab):
    name = f"stored-{secrets.token_hex(5)}"
    return name, lab.create_device(name)


@pytest.fixture
def demanding(lab):
    """A device of a tenant whose ack level is `stored`."""
    tenant, name = f"st-{secrets.token_hex(5)}", "a"
    key = lab.stack.settings.kept("platform_key")
    lab.registry("CreateTenant", key, tenant=tenant)
    lab.registry("SetPolicy", key, policy={"tenant": tenant, "ack_level": 2})
    token = lab.registry("CreateDevice", key, tenant=tenant, device=name).token
    known = HttpDevice(lab, name, token, tenant)
    eventually(lambda: known.post({"known": 1})[0] == 200, 60, "the gateway to know tenant and policy", 0.2)
    known.close()
    return tenant, name, token


def mqtt(lab, name, token, version, tenant=TENANT):
    client = RawMqtt(lab.mqtt_port, version)
    assert client.connect(f"{name}@{tenant}", token, name).reason == 0
    return client


def coap(lab, name, token, *query):
    device = CoapDevice(lab.stack.settings.ports["coap"], name, token)
    device.add_options(*((URI_QUERY, one.encode()) for one in query))
    return device


def values(lab, name, metric, tenant=TENANT):
    rows = lab.sql(f"""SELECT s.value FROM storage.point s JOIN storage.metric m ON m.id = s.metric
                   WHERE m.tenant = '{tenant}' AND m.name = '{metric}' ORDER BY s.time""")
    return [float(row[0]) for row in rows]


@contextlib.contextmanager
def refusing(lab, value):
    """The database refuses rows of this value."""
    lab.sql(f"ALTER TABLE storage.sample ADD CONSTRAINT refused CHECK (value <> {value}) NOT VALID")
    try:
        yield
    finally:
        lab.sql("ALTER TABLE storage.sample DROP CONSTRAINT refused")


@contextlib.contextmanager
def no_writer(lab):
    """No storage-writer inside; a new one, ready, after it."""
    lab.kill("storage-writer")
    try:
        yield
    finally:
        lab.restart("storage-writer")


def test_an_answer_says_that_the_row_is_there(lab, device):
    name, token = device
    http = HttpDevice(lab, name, token)
    status, _, body = http.post({"ts": TIME, f"{name}-h": 1}, path=AT_STORED)
    assert (status, body["state"]) == (200, "stored"), body
    assert values(lab, name, f"{name}-h") == [1]
    status, _, body = http.post({"ts": TIME, f"{name}-h": 2})
    assert status == 202 and "state" not in body, "the ordinary level is another answer"

    client = mqtt(lab, name, token, 5)
    answer = client.ask(f"devices/{name}/telemetry", json.dumps({"ts": TIME, f"{name}-m": 3}).encode(), 1, properties=STORED)
    assert answer.reason == 0 and answer.user["state"] == "stored" and answer.user["receipt"], answer
    assert values(lab, name, f"{name}-m") == [3]

    code, _, payload = coap(lab, name, token, "ack=stored").post(json.dumps({"ts": TIME, f"{name}-c": 4}).encode())
    assert (code, json.loads(payload)["state"]) == ("2.04", "stored"), payload
    assert values(lab, name, f"{name}-c") == [4]


def test_a_misspelt_level_is_refused_before_anything_is_taken(lab, device):
    name, token = device
    status, _, body = HttpDevice(lab, name, token).post({"x": 1}, path="/v1/telemetry?ack=Stored")
    assert status == 400 and "'bus' or 'stored'" in body["detail"], body
    code, _, payload = coap(lab, name, token, "ack=yes").post(b'{"x":1}')
    assert code == "4.00" and "'bus' or 'stored'" in json.loads(payload)["detail"], payload
    answer = mqtt(lab, name, token, 5).ask(f"devices/{name}/telemetry", b'{"x":1}', 1,
                                          properties=encode_properties({}, [("ack", "yes")]))
    assert answer.reason == 0x83, answer


@pytest.mark.parametrize("version", [4, 5])
def test_the_tenants_level_holds_for_devices_that_say_nothing(lab, demanding, version):
    tenant, name, token = demanding
    client = mqtt(lab, name, token, version, tenant)
    metric = f"m{version}"
    client.ask(f"devices/{name}/telemetry", json.dumps({"ts": TIME, metric: 7}).encode(), 1)
    assert values(lab, name, metric, tenant) == [7], "acknowledged, so it is there"
    if version == 5:
        with no_writer(lab):
            answer = client.ask(f"devices/{name}/telemetry", b'{"quick":1}', 2, properties=BUS)
            assert answer.reason == 0, "the message's own level goes before the tenant's"


def test_a_devices_level_goes_before_its_tenants(lab, demanding, run_program):
    tenant, name, token = demanding
    key = lab.stack.settings.kept("platform_key")
    slow = lab.registry("CreateDevice", key, tenant=tenant, device="slow").token
    lab.registry("SetDeviceAckLevel", key, tenant=tenant, device="slow", ack_level=1)
    http = HttpDevice(lab, "slow", slow, tenant)
    eventually(lambda: http.post({"known": 1})[0] == 202, 60, "the gateway to know the device's level", 0.2)
    with no_writer(lab):
        assert http.post({"x": 1})[0] == 202
        client = mqtt(lab, "slow", slow, 4, tenant)
        client.ask("devices/slow/telemetry", b'{"x":2}', 1)  # answered although nothing is stored
    run_program("millrace", "--api-key", key, "--tenant", tenant, "device", "ack", "set", "slow", "stored")
    eventually(lambda: http.post({"x": 3})[0] == 200, 60, "the device's own level", 0.2)
    shown = run_program("millrace", "--api-key", key, "--tenant", tenant, "device", "ack", "show", "slow", "--json")
    assert json.loads(shown.stdout) == {"ack": "stored"}


@pytest.mark.parametrize("version", [4, 5])
def test_held_acknowledgements_come_in_order_when_the_writer_is_back(lab, demanding, version):
    tenant, name, token = demanding
    client = mqtt(lab, name, token, version, tenant)
    metric = f"held{version}"
    with no_writer(lab):
        for number in range(1, 21):
            client.publish(f"devices/{name}/telemetry", json.dumps({"ts": TIME + number, metric: number}).encode(), number)
        assert client.ping().kind == PINGRESP, "nothing was acknowledged, and the connection lives"
        eventually(lambda: lab.metrics("protocol-gateway", "millrace_gateway_stored_answers_waiting") >= 20, 60, "20 held answers")
    assert [client.expect(PUBACK).packet_id for _ in range(20)] == list(range(1, 21))
    assert values(lab, name, metric, tenant) == list(range(1, 21))


def test_a_later_message_of_level_bus_waits_behind_a_held_one(lab, device):
    name, token = device
    client = mqtt(lab, name, token, 5)
    with no_writer(lab):
        client.publish(f"devices/{name}/telemetry", json.dumps({"ts": TIME, "first": 1}).encode(), 1, properties=STORED)
        client.publish(f"devices/{name}/telemetry", json.dumps({"ts": TIME, "second": 1}).encode(), 2)
        assert client.ping().kind == PINGRESP
    assert [client.expect(PUBACK).packet_id for _ in range(2)] == [1, 2]


def test_a_deadline_answers_pending_with_the_receipt(lab, device):
    name, token = device
    http, udp = HttpDevice(lab, name, token), coap(lab, name, token, "ack=stored")
    answers = {}

    def ask(kind, function):
        answers[kind] = function()
    with no_writer(lab):
        threads = [threading.Thread(target=ask, args=("http", lambda: http.post({"ts": TIME, "late": 1}, path=AT_STORED))),
                   threading.Thread(target=ask, args=("coap", lambda: udp.post(json.dumps({"ts": TIME, "late2": 1}).encode())))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
    status, _, body = answers["http"]
    assert (status, body["state"]) == (202, "pending"), body
    code, _, payload = answers["coap"]
    assert (code, json.loads(payload)["state"]) == ("2.04", "pending"), payload
    for receipt in (body["receipt"], json.loads(payload)["receipt"]):
        eventually(lambda one=receipt: lab.query("GetReceipt", receipt=one).state == 3, 60, f"{receipt} to be stored")


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "writer-killed"])
def test_a_dead_lettered_point_is_refused_with_its_reason(lab, device, killed):
    name, token = device
    client = mqtt(lab, name, token, 5)
    http = HttpDevice(lab, name, token)
    bad = json.dumps({"ts": TIME, f"{name}-good": 1, f"{name}-bad": 666}).encode()
    with refusing(lab, 666):
        with no_writer(lab) if killed else contextlib.nullcontext():
            client.publish(f"devices/{name}/telemetry", bad, 1, properties=STORED)
            client.publish(f"devices/{name}/telemetry", json.dumps({"ts": TIME, f"{name}-next": 2}).encode(), 2, properties=STORED)
            if killed:
                assert client.ping().kind == PINGRESP, "both are held"
        refused, taken = client.expect(PUBACK), client.expect(PUBACK)
        assert (refused.packet_id, refused.reason, refused.user["reason"]) == (1, 0x83, "not_storable"), refused
        assert (taken.packet_id, taken.reason, taken.user["state"]) == (2, 0, "stored"), taken
        assert lab.query("GetReceipt", receipt=refused.user["receipt"]).state == 4, "partly stored"
        assert values(lab, name, f"{name}-good") == [1]

        # A copy answers as its original.
        said = {"Idempotency-Key": f"{name}-1"}
        first = http.post(bad, said, path=AT_STORED)
        again = http.post(bad, said, path=AT_STORED)
        for status, _, body in (first, again):
            assert status == 422 and body["reason"] == "not_storable" and "refused" in body["detail"], body
        code, _, payload = coap(lab, name, token, "ack=stored").post(bad)
        assert code == "4.22" and json.loads(payload)["reason"] == "not_storable", payload


def test_what_is_acknowledged_is_there_while_the_writer_is_killed(lab, demanding):
    """Each kill comes with 40 messages anywhere between the log and their answer."""
    tenant, name, token = demanding
    total, window, acknowledged, sent = 400, 40, [], 0
    client = mqtt(lab, name, token, 4, tenant)
    while len(acknowledged) < total:
        while sent < total and sent - len(acknowledged) < window:
            sent += 1
            client.publish(f"devices/{name}/telemetry", json.dumps({"ts": TIME + sent, "kill": sent}).encode(), sent)
        acknowledged.append(client.expect(PUBACK).packet_id)
        if len(acknowledged) % 75 == 0:
            lab.kill("storage-writer")
            assert len(values(lab, name, "kill", tenant)) >= len(acknowledged), "acknowledged and not stored"
            lab.begin("storage-writer")
    lab.wait_ready("storage-writer")
    assert acknowledged == list(range(1, total + 1))
    assert values(lab, name, "kill", tenant) == list(range(1, total + 1))
