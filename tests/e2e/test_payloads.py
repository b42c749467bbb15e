"""Every payload format over every protocol, to the rows in the database; and what a format that is unknown is told."""
import json
import struct
import subprocess

import pytest

from http_device import HttpDevice
from millrace_dev.environment import psk
from millrace_lab import TENANT, eventually, now_us
from raw_mqtt import RawMqtt

HOUR = 3_600_000_000
TIME_US = 1_780_000_000_250_000
BIG = 9007199254740993  # no double holds it

CONTENT_TYPE = 0x03
REASON_STRING = 0x1F


def _varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _field(number, value):
    """Protocol Buffers: bytes with their length, or a sint64."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    return _varint(number << 3) + _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _point(metric, kind):
    return _field(3, _field(1, metric.encode()) + _field(2, kind))


def _protobuf():
    real = _varint(1 << 3 | 1) + struct.pack("<d", 21.5)
    return (_field(1, TIME_US) + _point("temp", real) + _point("big", _field(2, BIG))
            + _point("on", _varint(3 << 3) + b"\1") + _point("label", _field(4, "Saal".encode())))


def _text(text):
    return bytes([0x60 | len(text)]) + text.encode()


def _real(value):
    return b"\xfb" + struct.pack(">d", value)


def _integer(value):
    return b"\x1b" + struct.pack(">Q", value)


def _cbor():
    return (b"\xa5" + _text("ts") + _integer(TIME_US) + _text("temp") + _real(21.5) + _text("big") + _integer(BIG)
            + _text("on") + b"\xf5" + _text("label") + _text("Saal"))


def _senml_cbor(name):
    base = b"\x21" + _text(f"{name}:") + b"\x22" + _real(TIME_US / 1e6)
    return (b"\x84\xa4" + base + b"\0" + _text("temp") + b"\2" + _real(21.5)
            + b"\xa2\0" + _text("big") + b"\2" + _integer(BIG) + b"\xa2\0" + _text("on") + b"\4\xf5"
            + b"\xa2\0" + _text("label") + b"\3" + _text("Saal"))


def _senml_json(name):
    return json.dumps([{"bn": f"{name}:", "bt": TIME_US / 1e6, "n": "temp", "u": "Cel", "v": 21.5}, {"n": "big", "v": BIG},
                       {"n": "on", "vb": True}, {"n": "label", "vs": "Saal"}]).encode()


def _json():
    return json.dumps({"ts": TIME_US, "temp": 21.5, "big": BIG, "on": True, "label": "Saal"}).encode()


# content type, CoAP content format, what is behind `telemetry` in the topic for 3.1.1, payload
FORMATS = {
    "json": ("application/json", 50, ".json", lambda name: _json()),
    "cbor": ("application/cbor", 60, ".cbor", lambda name: _cbor()),
    "senml-json": ("application/senml+json", 110, ".senml", _senml_json),
    "senml-cbor": ("application/senml+cbor", 112, ".senmlc", _senml_cbor),
    "protobuf": ("application/protobuf", 65001, ".pb", lambda name: _protobuf()),
}
EXPECTED = {"temp": 21.5, "big": BIG, "on": True, "label": "Saal"}
each_format = pytest.mark.parametrize("form", FORMATS)


@pytest.fixture
def device(lab, request):
    """Name (short: the identity of a DTLS client is) and token."""
    name = "p-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[-20:].strip("-")
    return name, lab.create_device(name)


def _value(sample):
    return getattr(sample.value, sample.value.WhichOneof("kind"))


def _rows(lab, name, metric):
    return [(sample.time_us, _value(sample)) for sample in lab.range_samples(name, metric, 0, now_us() + HOUR)]


def _check_stored(lab, name, receipt=None):
    if receipt:
        eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 120, "the receipt to say stored")
    for metric, value in EXPECTED.items():
        eventually(lambda of=metric: _rows(lab, name, of), 120, f"a row of {metric}")
        (time_us, found), = _rows(lab, name, metric)
        assert (time_us, found, type(found)) == (TIME_US, value, type(value))


def _content_type(text):
    return bytes([CONTENT_TYPE]) + struct.pack("!H", len(text)) + text.encode()


def _connect(lab, device, version=5):
    name, token = device
    client = RawMqtt(lab.mqtt_port, version)
    assert client.connect(f"{name}@{TENANT}", token, name).reason == 0
    return client


def _coap(lab, device, scheme, content_format, payload, path="", tmp_path=None):
    """One message by coap-client-openssl; what it printed."""
    name, token = device
    body = tmp_path / "payload"
    body.write_bytes(payload)
    port = lab.stack.settings.ports[scheme]
    query = f"?device={name}@{TENANT}&token={token}" if scheme == "coap" else ""
    command = ["coap-client-openssl", "-m", "post", "-B", "120", "-f", body]
    if content_format is not None:
        command += ["-t", str(content_format)]
    if scheme == "coaps":
        command += ["-u", f"{name}@{TENANT}", "-k", psk(token)]
    done = subprocess.run([*command, f"{scheme}://127.0.0.1:{port}/v1/telemetry{path}{query}"], capture_output=True,
                          text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


@each_format
def test_http(lab, device, form):
    content_type, _, _, payload = FORMATS[form]
    sender = HttpDevice(lab, *device)
    _check_stored(lab, device[0], sender.send(payload(device[0]), {"Content-Type": content_type}))


@each_format
def test_mqtt5_by_content_type(lab, device, form):
    content_type, _, _, payload = FORMATS[form]
    client = _connect(lab, device)
    answer = client.ask(f"devices/{device[0]}/telemetry", payload(device[0]), 1, properties=_content_type(content_type))
    assert answer.reason == 0, answer
    client.disconnect()
    _check_stored(lab, device[0], answer.user["receipt"])


@each_format
def test_mqtt311_by_the_extension_of_the_topic(lab, device, form):
    _, _, extension, payload = FORMATS[form]
    client = _connect(lab, device, 4)
    client.ask(f"devices/{device[0]}/telemetry{extension}", payload(device[0]), 1)
    client.disconnect()
    _check_stored(lab, device[0])


@each_format
@pytest.mark.parametrize("scheme", ["coap", "coaps"])
def test_coap(lab, device, form, scheme, tmp_path):
    _, content_format, _, payload = FORMATS[form]
    answer = _coap(lab, device, scheme, content_format, payload(device[0]), tmp_path=tmp_path)
    assert '"receipt"' in answer, answer
    _check_stored(lab, device[0], json.loads(answer[answer.index("{"):answer.index("}") + 1])["receipt"])


SINGLE = {b"21.5": 21.5, str(BIG).encode(): BIG, b"true": True, "grün\n".encode(): "grün"}


def test_a_single_value_over_every_protocol(lab, device, tmp_path):
    name, token = device
    sender = HttpDevice(lab, name, token)
    mqtt5 = _connect(lab, device)
    sent = {}
    for number, (payload, value) in enumerate(SINGLE.items(), 1):
        status, _, body = sender.post(payload, {"Content-Type": "text/plain"}, path=f"/v1/telemetry/http/v%{0x30 + number:x}")
        assert status == 202, body
        sent[f"http.v{number}"] = value
        assert mqtt5.ask(f"devices/{name}/telemetry/mqtt/v{number}", payload, number).reason == 0
        sent[f"mqtt.v{number}"] = value
        assert mqtt5.ask(f"devices/{name}/status/v{number}", payload, 100 + number,
                         properties=_content_type("text/plain")).reason == 0
        sent[f"status.v{number}"] = value
        answer = _coap(lab, device, "coaps", 0 if number % 2 else None, payload, f"/coap/v{number}", tmp_path)
        assert '"receipt"' in answer, answer
        sent[f"coap.v{number}"] = value
    mqtt5.disconnect()
    mqtt311 = _connect(lab, device, 4)
    mqtt311.ask(f"devices/{name}/telemetry/old", b"-7", 1)
    sent["old"] = -7
    mqtt311.disconnect()
    for metric, value in sent.items():
        eventually(lambda of=metric: _rows(lab, name, of), 120, f"a row of {metric}")
        (_, found), = _rows(lab, name, metric)
        assert (metric, found, type(found)) == (metric, value, type(value))


def test_another_format_below_a_metric_continues_its_name(lab, device):
    name, _ = device
    client = _connect(lab, device)
    answer = client.ask(f"devices/{name}/telemetry/pump/2", b'{"rpm":1400}', 1, properties=_content_type("application/json"))
    assert answer.reason == 0, answer
    eventually(lambda: [value for _, value in _rows(lab, name, "pump.2.rpm")] == [1400], 120, "the row")


def test_relative_times_of_senml_count_from_the_arrival(lab, device):
    name, _ = device
    before = now_us()
    HttpDevice(lab, *device).send(b'[{"bn":"%s:","n":"a","t":-3600,"v":1},{"n":"a","v":2}]' % name.encode(),
                                  {"Content-Type": "application/senml+json"})
    after = now_us()
    eventually(lambda: len(_rows(lab, name, "a")) == 2, 120, "two rows")
    (old, first), (new, second) = sorted(_rows(lab, name, "a"))
    assert (first, second) == (1, 2)
    assert before - HOUR <= old <= after - HOUR and before <= new <= after + 1000


def test_an_unknown_format_is_refused_precisely(lab, device, tmp_path):
    name, token = device
    sender = HttpDevice(lab, name, token)
    sender.send({"first": 1})
    status, _, problem = sender.post(b"<a/>", {"Content-Type": "application/xml"})
    assert status == 415 and "application/senml+cbor" in problem["detail"], problem
    assert sender.post(b"1", {"Content-Type": "text/plain"})[0] == 415
    client = _connect(lab, device)
    answer = client.ask(f"devices/{name}/telemetry", b"<a/>", 1, properties=_content_type("application/xml"))
    assert answer.reason == 0x99 and answer.user["reason"] == "unknown_format", answer
    assert "application/xml" in str(answer.properties[REASON_STRING]), answer
    assert lab.query("GetReceipt", receipt=answer.user["receipt"]).state == 6
    assert client.ask(f"devices/{name}/telemetry.xml", b"<a/>", 2).reason == 0x87
    assert client.ask(f"devices/{name}/telemetry", b'{"after":1}', 3).reason == 0
    client.disconnect()
    for scheme in ("coap", "coaps"):
        answer = _coap(lab, device, scheme, 42, b"<a/>", tmp_path=tmp_path)
        assert "4.15" in answer or "415" in answer, answer
        assert "42" in answer, answer
    eventually(lambda: _rows(lab, name, "after"), 120, "the next message")


BAD = {
    "senml-json": (b'[{"n":"a","v":1},{"n":"b"}]', "shape", 1),
    "senml-cbor": (bytes.fromhex("82a20061610201a200616202f97e00"), "not_finite", 1),
    "protobuf": (_point("a", _field(2, 1)) + _field(3, _field(1, b"b")), "shape", 1),
    "cbor": (bytes.fromhex("a1616161ff"), "syntax", None),
}


@pytest.mark.parametrize("form", BAD)
def test_a_bad_payload_is_refused_with_its_reason_and_its_element(lab, device, form, tmp_path):
    payload, reason, element = BAD[form]
    content_type, content_format, _, _ = FORMATS[form]
    sender = HttpDevice(lab, *device)
    sender.send({"first": 1})
    status, _, problem = sender.post(payload, {"Content-Type": content_type})
    assert (status, problem["reason"], problem.get("element")) == (400, reason, element), problem
    client = _connect(lab, device)
    answer = client.ask(f"devices/{device[0]}/telemetry", payload, 1, properties=_content_type(content_type))
    assert (answer.reason, answer.user["reason"]) == (0x99, reason), answer
    answer = _coap(lab, device, "coaps", content_format, payload, tmp_path=tmp_path)
    assert f'"reason":"{reason}"' in answer.replace(" ", ""), answer
    assert _rows(lab, device[0], "a") == []
