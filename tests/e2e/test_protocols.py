"""Good and bad input, protocol by protocol: the answers, and what is in the database afterwards."""
import json

import pytest

import raw_mqtt
from http_device import HttpDevice
from millrace_lab import TENANT, eventually, now_us
from raw_mqtt import RawMqtt

HOUR = 3_600_000_000
REASON_STRING, RETAIN_AVAILABLE = 0x1F, 0x25

# payload, reason in the answer
BAD = [
    (b"", "empty"),
    (b'{"a":1', "syntax"),
    (b'{"a":NaN}', None),
    (b'{"a":1e999}', None),
    (b"[" * 40 + b"]" * 40, None),
    (b"7", "shape"),
    (b'{"ts":"yesterday","a":1}', "bad_time"),
    (b'{"ts":5000000000000000000,"a":1}', "time_range"),
    (b'{"device_id":"somebody-else","a":1}', "wrong_device"),
    (b'{"' + b"n" * 200 + b'":1}', "name_too_long"),
    (b"{" + b",".join(b'"m%d":1' % index for index in range(1001)) + b"}", "too_many_points"),
    (b'{"a":null}', "no_points"),
]


def _names(request):
    """A device name of this test case alone."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]


@pytest.fixture
def device(lab, request):
    name = _names(request)
    return name, lab.create_device(name)


def _rows(lab, name, metric):
    return lab.range_samples(name, metric, 0, now_us() + HOUR)


def _value(sample):
    return getattr(sample.value, sample.value.WhichOneof("kind"))


def test_http_answers_with_a_receipt_and_the_value_can_be_read(lab, device):
    name, token = device
    receipt = HttpDevice(lab, name, token).send({"ts": "2026-07-01T12:00:00Z", "temperature": 21.5, "on": True,
                                                 "site": {"room": "B1"}, "big": 9007199254740993})
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, "the receipt to say stored")
    assert [_value(sample) for sample in _rows(lab, name, "temperature")] == [21.5]
    assert [_value(sample) for sample in _rows(lab, name, "on")] == [True]
    assert [_value(sample) for sample in _rows(lab, name, "site.room")] == ["B1"]
    assert [_value(sample) for sample in _rows(lab, name, "big")] == [9007199254740993]


@pytest.mark.parametrize("payload, reason", BAD, ids=[str(reason or index) for index, (_, reason) in enumerate(BAD)])
def test_http_refuses_bad_payloads_with_a_reason_and_keeps_the_evidence(lab, device, payload, reason):
    name, token = device
    sender = HttpDevice(lab, name, token)
    status, headers, problem = sender.post(payload)
    assert status == 400, problem
    assert headers["Content-Type"].startswith("application/problem+json")
    assert problem["reason"] and (reason is None or problem["reason"] == reason), problem
    if problem["reason"] == "syntax":
        assert isinstance(problem["offset"], int)
    # The device is not held up, and nothing of the refused payload is stored.
    receipt = sender.send({"after": 1})
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, "the next message to be stored")
    assert _rows(lab, name, "a") == []
    if payload:
        letter = lab.query("GetReceipt", receipt=problem["receipt"])
        assert letter.state == 6, letter


def test_http_refuses_wrong_credentials_and_wrong_requests(lab, device):
    name, token = device
    assert HttpDevice(lab, name, "mt_wrong").post({"a": 1})[0] == 401
    assert HttpDevice(lab, name, token, tenant="other").post({"a": 1})[0] == 401
    assert HttpDevice(lab, "nobody", token).post({"a": 1})[0] == 401
    sender = HttpDevice(lab, name, token)
    assert sender.post({"a": 1}, path="/v1/nothing")[0] == 404
    status, _, _ = sender.post({"a": 1}, headers={"Content-Type": "application/xml"})
    assert status == 415
    sender.close()
    status, _, _ = sender.post(b'{"a":"' + b"x" * 300_000 + b'"}')
    assert status == 413


def test_http_batch_is_stored_whole_or_refused_whole(lab, device):
    name, token = device
    sender = HttpDevice(lab, name, token)
    status, _, problem = sender.post([{"ts": 1_700_000_000, "a": 1}, {"ts": "bad", "a": 2}])
    assert status == 400 and "1" in json.dumps(problem), problem
    receipt = sender.send([{"ts": 1_700_000_000, "a": 3}, {"ts": 1_700_000_001, "a": 4}])
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, "the batch to be stored")
    assert [_value(sample) for sample in _rows(lab, name, "a")] == [3, 4]


def test_http_repeated_with_its_idempotency_key_is_one_row(lab, device):
    name, token = device
    sender = HttpDevice(lab, name, token)
    first = sender.send({"a": 7}, {"Idempotency-Key": "k-1"})
    again = sender.send({"a": 7}, {"Idempotency-Key": "k-1"})
    other = sender.send({"a": 8}, {"Idempotency-Key": "k-1"})
    unkeyed = sender.send({"a": 7})
    for receipt in (first, again, other, unkeyed):
        eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, f"{receipt} to be stored")
    assert lab.query("GetReceipt", receipt=again).original == first
    assert sorted(_value(sample) for sample in _rows(lab, name, "a")) == [7, 7, 8]


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_puback_means_stored(lab, device, version):
    name, token = device
    client = RawMqtt(lab.mqtt_port, version)
    assert client.connect(f"{name}@{TENANT}", token, name).reason == 0
    topic = f"devices/{name}/telemetry"
    answers = [client.ask(topic, json.dumps({"n": number}).encode(), number) for number in range(1, 51)]
    client.publish(f"devices/{name}/status", b'{"battery":80}', 51)
    assert client.read().packet_id == 51
    assert client.ping().kind == raw_mqtt.PINGRESP
    client.disconnect()
    if version == 5:
        receipt = answers[-1].user["receipt"]
        eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, "the receipt to say stored")
    eventually(lambda: len(_rows(lab, name, "n")) == 50, 60, "50 rows")
    assert sorted(_value(sample) for sample in _rows(lab, name, "n")) == list(range(1, 51))
    eventually(lambda: [_value(s) for s in _rows(lab, name, "status.battery")] == [80], 60, "the status")


def test_mqtt5_is_told_about_a_bad_payload_and_goes_on(lab, device):
    name, token = device
    client = RawMqtt(lab.mqtt_port)
    assert client.connect(f"{name}@{TENANT}", token, name).reason == 0
    topic = f"devices/{name}/telemetry"
    for number, (payload, _) in enumerate(BAD, 1):
        answer = client.ask(topic, payload, number)
        assert answer.reason == 0x99, (payload[:40], answer)
        assert client.ask(topic, b'{"after":%d}' % number, 1000 + number).reason == 0
    client.disconnect()
    eventually(lambda: len(_rows(lab, name, "after")) == len(BAD), 60, "the good messages between")
    assert _rows(lab, name, "a") == []


def test_mqtt311_acknowledges_a_bad_payload_as_kept(lab, device):
    name, token = device
    client = RawMqtt(lab.mqtt_port, 4)
    assert client.connect(f"{name}@{TENANT}", token, name).reason == 0
    topic = f"devices/{name}/telemetry"
    client.ask(topic, b"not json", 1)
    client.ask(topic, b'{"after":1}', 2)
    client.disconnect()
    eventually(lambda: len(_rows(lab, name, "after")) == 1, 60, "the good message")

    def letters():
        return [letter for letter in lab.query("ListDeadLetters", page_size=1000).dead_letters if letter.device == name]
    eventually(letters, 60, "the dead letter")
    assert letters()[0].payload == b"not json"


def test_mqtt_repeated_with_dup_on_the_next_connection_is_one_row(lab, device):
    name, token = device
    topic = f"devices/{name}/telemetry"
    payload = b'{"n":1}'
    first = RawMqtt(lab.mqtt_port)
    first.connect(f"{name}@{TENANT}", token, name)
    first.ask(topic, payload, 7)
    first.close()
    second = RawMqtt(lab.mqtt_port)
    second.connect(f"{name}@{TENANT}", token, name)
    second.ask(topic, payload, 7, dup=True)
    second.ask(topic, b'{"n":2}', 8)
    # The same packet id again, without DUP, after its PUBACK: a message of its own.
    second.ask(topic, payload, 7)
    second.disconnect()
    eventually(lambda: len(_rows(lab, name, "n")) >= 3, 60, "three rows")
    assert sorted(_value(sample) for sample in _rows(lab, name, "n")) == [1, 1, 2]


def test_mqtt_message_id_is_remembered_over_connections(lab, device):
    name, token = device
    topic = f"devices/{name}/telemetry"
    for packet_id in (1, 2):
        client = RawMqtt(lab.mqtt_port)
        client.connect(f"{name}@{TENANT}", token, name)
        client.ask(topic, b'{"n":1}', packet_id, message_id="m-1")
        client.close()
    client = RawMqtt(lab.mqtt_port)
    client.connect(f"{name}@{TENANT}", token, name)
    receipt = client.ask(topic, b'{"n":2}', 3).user["receipt"]
    client.disconnect()
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, "the last message")
    eventually(lambda: len(_rows(lab, name, "n")) >= 2, 60, "two rows")
    assert sorted(_value(sample) for sample in _rows(lab, name, "n")) == [1, 2]


@pytest.mark.parametrize("version, refused", [(4, (4, 5)), (5, (0x86, 0x87))])
def test_mqtt_refuses_wrong_credentials(lab, device, version, refused):
    name, token = device
    for user, password in ((f"{name}@{TENANT}", "mt_wrong"), (f"{name}@nowhere", token), (f"nobody@{TENANT}", token)):
        client = RawMqtt(lab.mqtt_port, version)
        assert client.connect(user, password, name).reason in refused
        with pytest.raises(raw_mqtt.Closed):
            client.read()


def test_mqtt_refuses_another_devices_topic(lab, device):
    name, token = device
    client = RawMqtt(lab.mqtt_port)
    client.connect(f"{name}@{TENANT}", token, name)
    answer = client.ask("devices/somebody-else/telemetry", b'{"a":1}', 1)
    assert answer.reason == 0x87
    assert client.ask(f"devices/{name}/telemetry", b'{"a":1}', 2).reason == 0
    old = RawMqtt(lab.mqtt_port, 4)
    old.connect(f"{name}@{TENANT}", token, name + "-2")
    old.publish("devices/somebody-else/telemetry", b'{"a":1}', 1)
    with pytest.raises(raw_mqtt.Closed):
        old.read()


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_qos2_is_one_row_over_connections(lab, device, version):
    name, token = device
    topic = f"devices/{name}/telemetry"
    kept = raw_mqtt.encode_properties({0x11: 3600}) if version == 5 else b""  # session expiry interval

    def connect():
        client = RawMqtt(lab.mqtt_port, version)
        connack = client.connect(f"{name}@{TENANT}", token, name, clean=False, properties=kept)
        assert connack.reason == 0 and 0x24 not in connack.properties  # no Maximum QoS
        return client, connack.session_present
    for number in range(1, 21):
        client, _ = connect()
        client.publish(topic, b'{"n":%d}' % number, number, qos=2)
        if number % 2:
            client.expect(raw_mqtt.PUBREC)
        client.close()
        client, present = connect()
        assert present
        client.publish(topic, b'{"n":%d}' % number, number, qos=2, dup=True)
        assert client.expect(raw_mqtt.PUBREC).packet_id == number
        client.acknowledge(raw_mqtt.PUBREL, number)
        assert client.expect(raw_mqtt.PUBCOMP).packet_id == number
        client.disconnect()
    eventually(lambda: len(_rows(lab, name, "n")) >= 20, 60, "20 rows")
    assert sorted(_value(sample) for sample in _rows(lab, name, "n")) == list(range(1, 21))


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_a_will_is_stored_when_its_device_is_cut_off(lab, device, version):
    name, token = device
    client = RawMqtt(lab.mqtt_port, version)
    will = raw_mqtt.Will(f"devices/{name}/status", b'{"online":false}', 1)
    assert client.connect(f"{name}@{TENANT}", token, name, will=will).reason == 0
    client.close()
    eventually(lambda: [_value(s) for s in _rows(lab, name, "status.online")] == [False], 60, "the will")
    elsewhere = RawMqtt(lab.mqtt_port, version)
    will.topic = "elsewhere"
    assert elsewhere.connect(f"{name}@{TENANT}", token, name, will=will).reason == (0x87 if version == 5 else 5)
    elsewhere.assert_closed()


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_retain_has_no_effect_on_readings_and_keeps_nobody_out(lab, device, version):
    name, token = device
    client = RawMqtt(lab.mqtt_port, version)
    will = raw_mqtt.Will(f"devices/{name}/status", b'{"online":false}', 1, retain=True)
    connack = client.connect(f"{name}@{TENANT}", token, name, will=will)
    assert connack.reason == 0 and RETAIN_AVAILABLE not in connack.properties, connack
    assert client.ask(f"devices/{name}/telemetry", b'{"a":1}', 1, retain=True).reason == 0
    client.close()
    eventually(lambda: [_value(s) for s in _rows(lab, name, "status.online")] == [False], 60, "the will")
    assert [_value(sample) for sample in _rows(lab, name, "a")] == [1]
    elsewhere = RawMqtt(lab.mqtt_port, version)
    elsewhere.connect(f"{name}@{TENANT}", token, name)
    if version == 5:
        refused = elsewhere.ask("plant/state", b"on", 1, retain=True)
        assert refused.reason == 0x87 and b"a local topic that its policy allows" in refused.properties[REASON_STRING]
        assert elsewhere.ask(f"devices/{name}/telemetry", b'{"a":2}', 2, retain=True).reason == 0
    else:
        elsewhere.publish("plant/state", b"on", 1, retain=True)
        elsewhere.assert_closed()


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_a_device_listens_to_its_own_topics(lab, device, version):
    name, token = device
    client = RawMqtt(lab.mqtt_port, version)
    assert client.connect(f"{name}@{TENANT}", token, name).reason == 0
    answer = client.subscribe(f"devices/{name}/commands/#", f"devices/{name}/errors", "devices/somebody-else/errors", "#")
    refused = 0x87 if version == 5 else 0x80
    assert answer.codes == [2, 2, refused, refused]


def test_a_device_time_is_kept_to_the_microsecond_and_corrected_by_a_later_message(lab, device):
    name, token = device
    sender = HttpDevice(lab, name, token)
    sender.send({"ts": "2026-01-02T03:04:05.123456Z", "a": 1})
    sender.send({"ts": 1_700_000_000_000, "a": 5})
    receipt = sender.send({"ts": "2026-01-02T03:04:05.123456Z", "a": 2})
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, "the correction to be stored")
    found = [(sample.time_us, _value(sample)) for sample in _rows(lab, name, "a")]
    assert found == [(1_700_000_000_000_000, 5), (1_767_323_045_123_456, 2)]
