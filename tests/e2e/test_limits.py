"""Limits of devices and tenants over real sockets: who is over one is told which, and nothing that was acknowledged is lost."""
import json
import secrets
import time
import urllib.request

import pytest

import raw_mqtt
import refusals
from coap_device import CoapDevice
from http_device import HttpDevice
from millrace_lab import TENANT, eventually
from raw_mqtt import RawMqtt

SLOW = 0.0001  # a second: nothing comes back during a test
REASON_STRING = 0x1F
QUOTA_EXCEEDED, CONNECTION_RATE_EXCEEDED, UNAVAILABLE_311 = 0x97, 0x9F, 3


class Device:
    """A device of a name of its own, with what it needs on each protocol."""

    def __init__(self, lab, name=None):
        self.lab = lab
        self.name = name or f"lim-{secrets.token_hex(5)}"
        self.token = lab.create_device(self.name)
        self.topic = f"devices/{self.name}/telemetry"
        self._number = 0

    def limit(self, **limits):
        """Sets them and waits until the gateway knows them. Values are (per second, burst), or a number of connections."""
        set_limits(self.lab, "SetDeviceLimits", device=self.name, limits=fields(limits))
        return self

    def mqtt(self, version, client_id=None, clean=True):
        client = RawMqtt(self.lab.mqtt_port, version)
        return client, client.connect(f"{self.name}@{TENANT}", self.token, client_id or f"{self.name}-{version}", clean)

    def connected(self, version, **options):
        client, answer = self.mqtt(version, **options)
        assert answer.reason == 0, answer
        return client

    def http(self):
        return HttpDevice(self.lab, self.name, self.token)

    def coap(self):
        return CoapDevice(self.lab.stack.settings.ports["coap"], self.name, self.token)

    def payload(self):
        self._number += 1
        return json.dumps({"number": self._number}).encode()

    def stored(self):
        rows = self.lab.sql(f"""
            SELECT count(*) FROM storage.point s JOIN storage.metric m ON m.id = s.metric AND m.name = 'number'
            JOIN registry.device d ON d.device_key = s.device_id WHERE d.device = '{self.name}'""")
        return int(rows[0][0])


def fields(limits):
    return {name: value if name == "connections" else {"per_second": value[0], "burst": value[1]}
            for name, value in limits.items()}


def set_limits(lab, method, **request):
    def read():
        return lab.metrics("protocol-gateway", "millrace_registry_view_entries_total")
    before = read()
    lab.registry(method, **request)
    eventually(lambda: read() > before, 60, "the gateway to know the limits")


@pytest.fixture
def device(lab):
    return Device(lab)


def over(lab, action):
    """Messages over their number a second so far, of devices, by what became of them."""
    with urllib.request.urlopen(lab.member("protocol-gateway").ops_url + "/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    labels = (f'action="{action}"', 'limit="messages"', 'scope="device"')
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines
               if line.startswith("millrace_gateway_over_limit_total{") and all(label in line for label in labels))


@pytest.mark.parametrize("qos", [1, 2])
def test_version_5_is_told_the_limit_and_stays_connected(lab, device, qos):
    device.limit(messages=(SLOW, 3))
    client = device.connected(5)
    for number in range(1, 4):
        assert client.give(device.topic, device.payload(), number, qos).reason == 0
    refused = client.give(device.topic, device.payload(), 4, qos)
    assert refused.reason == QUOTA_EXCEEDED, refused
    assert refused.user["limit"] == "messages" and refused.user["scope"] == "device"
    assert float(refused.user["value"]) == SLOW and int(refused.user["retry-after-ms"]) > 1000
    assert b"messages a second" in refused.properties[REASON_STRING]
    client.assert_quiet()
    device.limit(messages=(SLOW, 100))
    assert client.give(device.topic, device.payload(), 5, qos).reason == 0, "the packet id is free, the limit was raised"
    client.disconnect()
    eventually(lambda: device.stored() == 4, 60, "what was acknowledged to be stored")


@pytest.mark.parametrize("qos", [1, 2])
def test_version_311_waits_unread_and_hears_of_it_on_its_topic_errors(lab, device, qos):
    device.limit(messages=(SLOW, 2))
    client = device.connected(4)
    client.subscribe((f"devices/{device.name}/errors", 0))
    for number in range(1, 3):
        client.give(device.topic, device.payload(), number, qos)
    delayed = over(lab, "delayed")
    for number in range(3, 6):
        client.publish(device.topic, device.payload(), number, qos=qos)
    told = client.expect(raw_mqtt.PUBLISH)
    assert told.topic == f"devices/{device.name}/errors"
    said = json.loads(told.payload)
    assert said["limit"] == "messages" and said["scope"] == "device" and said["value"] == SLOW
    assert said["retry_after_ms"] > 1000 and said["error"] == "over limit"
    eventually(lambda: over(lab, "delayed") == delayed + 1, 60, "one message to be delayed: the others are unread")
    device.limit(messages=(SLOW, 1000))
    waited = []
    while len(waited) < 3:
        packet = client.read()
        if packet.kind != raw_mqtt.PUBLISH:  # it may be told once more
            waited.append(packet.packet_id)
    assert waited == [3, 4, 5]
    eventually(lambda: device.stored() == 5, 60, "all of them to be stored, once")
    client.close()


def test_what_waits_is_never_acknowledged_and_dropped(lab, device):
    device.limit(messages=(SLOW, 1))
    client = device.connected(4, clean=False)
    client.give(device.topic, device.payload(), 1, 1)
    delayed = over(lab, "delayed")
    waiting = device.payload()
    client.publish(device.topic, waiting, 2)
    eventually(lambda: over(lab, "delayed") == delayed + 1, 60, "the message to wait")
    client.close()
    device.limit(messages=(SLOW, 100))
    again = device.connected(4, clean=False)
    again.publish(device.topic, waiting, 2, dup=True)
    assert again.expect(raw_mqtt.PUBACK).packet_id == 2
    eventually(lambda: device.stored() == 2, 60, "both messages to be stored once")
    again.close()


@pytest.mark.parametrize("version", [4, 5])
def test_qos_0_over_the_limit_is_dropped_and_counted(lab, device, version):
    device.limit(messages=(SLOW, 2))
    client = device.connected(version)
    dropped = over(lab, "dropped")
    for _ in range(6):
        client.publish(device.topic, device.payload())
    client.assert_quiet()
    assert over(lab, "dropped") == dropped + 4
    eventually(lambda: device.stored() == 2, 60, "the two within the limit to be stored")
    client.disconnect()


def test_one_budget_holds_over_all_protocols(lab, device):
    device.limit(messages=(SLOW, 4))
    device.http().send(json.loads(device.payload()))
    assert device.coap().post(device.payload())[0] == "2.04"
    five, four = device.connected(5), device.connected(4)
    assert five.ask(device.topic, device.payload(), 1).reason == 0
    four.ask(device.topic, device.payload(), 1)
    status, headers, body = device.http().post(json.loads(device.payload()))
    assert status == 429 and int(headers["Retry-After"]) > 1, body
    assert (body["limit"], body["scope"], body["value"]) == ("messages", "device", SLOW)
    assert body["retry_after_ms"] > 1000
    code, max_age, diagnostic = device.coap().post(device.payload())
    assert code == "4.29" and max_age > 1
    assert json.loads(diagnostic)["limit"] == "messages"
    assert five.ask(device.topic, device.payload(), 2).reason == QUOTA_EXCEEDED
    eventually(lambda: device.stored() == 4, 60, "what was taken to be stored")


def test_bytes_and_points_are_limits_of_their_own(lab, device):
    device.limit(bytes=(SLOW, 100))
    http = device.http()
    http.send({"a": "x" * 80})
    assert http.post({"a": "x" * 80})[2]["limit"] == "bytes"
    device.limit(points=(SLOW, 5))
    http.send({"a": 1, "b": 2, "c": 3})
    refused = http.post({"a": 1, "b": 2, "c": 3})
    assert refused[0] == 429 and refused[2]["limit"] == "points", refused
    http.send({"a": 1, "b": 2})


def test_a_message_beyond_the_burst_is_taken_once_and_paid_for(device):
    device.limit(bytes=(SLOW, 50))
    http = device.http()
    http.send({"a": "x" * 500})
    assert http.post({"a": 1})[0] == 429


def test_connections_and_connects_have_limits_and_a_takeover_is_not_one_more(device):
    device.limit(connections=1)
    first = device.connected(5, client_id="one")
    refused = device.mqtt(5, client_id="two")[1]
    assert refused.reason == QUOTA_EXCEEDED and b"1 connections open" in refused.properties[REASON_STRING]
    assert (refused.user["limit"], refused.user["scope"], refused.user["value"]) == ("connections", "device", "1")
    assert device.mqtt(4, client_id="two")[1].reason == UNAVAILABLE_311
    second = device.connected(5, client_id="one")
    first.assert_closed()
    second.leave()
    eventually(lambda: device.mqtt(5, client_id="two")[1].reason == 0, 60, "the place to be free")
    device.limit(connects=(SLOW, 1))
    answers = [device.mqtt(version, client_id=f"c{version}")[1].reason for version in (5, 5, 4)]
    assert answers == [0, CONNECTION_RATE_EXCEEDED, UNAVAILABLE_311]


def test_the_devices_of_a_tenant_share_its_limit(lab):
    tenant = f"lim-{secrets.token_hex(5)}"
    key = lab.stack.settings.kept("platform_key")
    lab.registry("CreateTenant", key, tenant=tenant)
    lab.registry("SetTenantLimits", key, tenant=tenant, tenant_total=fields({"messages": (SLOW, 3)}),
                 device_default=fields({"messages": (SLOW, 2)}))
    # A gateway that knows the devices knows what was said before.
    tokens = {name: lab.registry("CreateDevice", key, tenant=tenant, device=name).token for name in ("a", "b")}
    devices = {name: HttpDevice(lab, name, token, tenant) for name, token in tokens.items()}
    devices["a"].send({"v": 1})
    devices["a"].send({"v": 2})
    assert devices["a"].post({"v": 3})[2]["scope"] == "device"
    devices["b"].send({"v": 1})
    refused = devices["b"].post({"v": 2})
    assert refused[0] == 429 and refused[2]["scope"] == "tenant", refused


def test_the_command_line_sets_and_shows_limits(lab, device, run_program):
    run_program("millrace", "limits", "set", "device", device.name, "--messages", "10:50", "--connections", "2")

    def shown():
        return json.loads(run_program("millrace", "limits", "show", "device", device.name, "--json").stdout)
    eventually(lambda: "connections" in shown()["limits"], 60, "query-api to know the limits")
    assert shown()["limits"] == {"messages": {"per_second": 10, "burst": 50, "left": 50},
                                 "connections": {"burst": 2, "left": 2}}
    table = run_program("millrace", "limits", "show", "device", device.name).stdout
    assert "messages" in table and "50" in table, table
    bad = run_program("millrace", "limits", "set", "device", device.name, "--messages", "fast", check=False)
    assert bad.returncode == 2 and "'fast' is no rate" in bad.stderr


def test_what_is_left_is_told(lab, device, run_program):
    device.limit(messages=(SLOW, 10))
    client = device.connected(5)
    for number in range(1, 5):
        assert client.ask(device.topic, device.payload(), number).reason == 0

    def left():
        text = run_program("millrace", "limits", "show", "device", device.name, "--json").stdout
        return json.loads(text)["limits"].get("messages", {}).get("left")
    eventually(lambda: left() is not None and 6 <= left() < 6.5, 60, "six of ten messages to be left")
    for _ in range(9):
        client.publish(device.topic, device.payload())
    client.assert_quiet()
    eventually(lambda: lab.query("GetLimitUse", device=device.name).dropped == 3, 60, "three dropped messages to be told of")
    client.disconnect()


def test_two_gateways_share_the_limit_of_a_tenant(lab):
    """By counts: what both together took is never more than the rate allows, and one lease (and a second for the leases
    to be on their way on a busy machine)."""
    rate, burst, period = 20, 20, 1
    tenant = f"lim-{secrets.token_hex(5)}"
    key = lab.stack.settings.kept("platform_key")
    lab.registry("CreateTenant", key, tenant=tenant)
    second = lab.add_service("protocol-gateway", "second-gateway")
    second.wait_ready(120)
    addresses = [None, f"127.0.0.1:{second.ports['http']}"]
    lab.registry("SetTenantLimits", key, tenant=tenant, tenant_total=fields({"messages": (rate, burst)}))
    # A gateway that knows the devices knows what was said before.
    tokens = [lab.registry("CreateDevice", key, tenant=tenant, device=f"d{number}").token for number in range(2)]
    devices = [HttpDevice(lab, f"d{number}", token, tenant, address=address)
               for number, (token, address) in enumerate(zip(tokens, addresses))]
    begin, taken = time.monotonic(), [0, 0]
    while time.monotonic() < begin + 10:
        for number, device in enumerate(devices):
            taken[number] += device.post({"v": 1})[0] == 202
    allowed = rate * (time.monotonic() - begin) + burst
    lease = rate * period + burst
    lab.drop_service("second-gateway")
    assert sum(taken) <= allowed + lease + rate, (taken, allowed)
    assert min(taken) > 0, taken


# --- the table of refusals ---

def _http(answer):
    status, headers, body = answer
    retry = "`Retry-After`, " if headers["Retry-After"] else ""
    return f"{status}, {retry}`{json.dumps({key: body[key] for key in body if key in _SHOWN})}`"


def _coap(answer):
    code, max_age, payload = answer
    body = json.loads(payload)
    return f"{code}, {'`Max-Age`, ' if max_age else ''}`{json.dumps({key: body[key] for key in body if key in _SHOWN})}`"


def _five(packet):
    kinds = {raw_mqtt.CONNACK: "CONNACK", raw_mqtt.PUBACK: "PUBACK", raw_mqtt.DISCONNECT: "DISCONNECT"}
    user = {key: ("…" if key in ("retry-after-ms", "receipt") else value) for key, value in packet.user.items()}
    text = packet.properties.get(REASON_STRING, b"").decode()
    return f"{kinds[packet.kind]} 0x{packet.reason:02X}" + (f", \"{text}\"" if text else "") + (
        "".join(f", `{key}={value}`" for key, value in user.items()))


_SHOWN = ("limit", "scope", "value", "retry_after_ms", "reason", "detail")


def _rate_rows(lab, what, **limits):
    """The same device over the same limit on all protocols; the first message uses it up."""
    device = Device(lab).limit(**limits)
    device.http().send({"a": 1})
    four = device.connected(4)
    four.subscribe((f"devices/{device.name}/errors", 0))
    told = {"HTTP": _http(device.http().post({"a": 1})), "CoAP": _coap(device.coap().post(b'{"a":1}')),
            "MQTT 5": _five(device.connected(5).ask(device.topic, b'{"a":1}', 1))}
    four.publish(device.topic, b'{"a":1}', 1)
    heard = json.loads(four.expect(raw_mqtt.PUBLISH).payload)
    told["MQTT 3.1.1"] = f"waits unread; `devices/{{id}}/errors`: `{json.dumps({k: heard[k] for k in heard if k in _SHOWN})}`"
    return {what: told}


def test_the_table_of_refusals_in_the_documents_is_what_is_seen(lab):
    rows = {}
    for limit in ("messages", "bytes", "points"):
        rows.update(_rate_rows(lab, f"over `{limit}`", **{limit: (0.001, 1)}))
    device = Device(lab).limit(connections=1)
    held = device.connected(5, client_id="one")
    rows["over `connections`"] = {"MQTT 5": _five(device.mqtt(5, client_id="two")[1]),
                                  "MQTT 3.1.1": f"CONNACK {device.mqtt(4, client_id='two')[1].reason}"}
    held.disconnect()
    device = Device(lab).limit(connects=(0.001, 1))
    device.connected(5).disconnect()
    rows["over `connects`"] = {"MQTT 5": _five(device.mqtt(5)[1]), "MQTT 3.1.1": f"CONNACK {device.mqtt(4)[1].reason}"}
    rows.update(_other_rows(lab, Device(lab)))
    refusals.compare(rows)


def _other_rows(lab, device):
    bad = b'{"a":'
    four = device.connected(4)
    payload = {"HTTP": _http(device.http().post(bad)), "CoAP": _coap(device.coap().post(bad)),
               "MQTT 5": _five(device.connected(5).ask(device.topic, bad, 1)),
               "MQTT 3.1.1": "PUBACK: kept as refused" if four.ask(device.topic, bad, 1) else ""}
    five = device.connected(5, client_id="f")
    foreign = {"MQTT 5": _five(five.ask("devices/another/telemetry", b"{}", 2))}
    four.publish("devices/another/telemetry", b"{}", 2)
    four.assert_closed()
    foreign["MQTT 3.1.1"] = "closed"
    device.token = "mt_wrong"
    unknown = {"HTTP": _http(device.http().post({"a": 1})), "CoAP": _coap(device.coap().post(b'{"a":1}')),
               "MQTT 5": _five(device.mqtt(5)[1]), "MQTT 3.1.1": f"CONNACK {device.mqtt(4)[1].reason}"}
    return {"a payload that cannot be read": payload, "a topic of another device": foreign, "a wrong token": unknown}
