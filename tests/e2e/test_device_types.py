"""Types of devices: a descriptor made by protoc, registered, sent by devices over every protocol and read back exactly."""
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

PROTO = """syntax = "proto3";
package acme;
import "google/protobuf/timestamp.proto";
enum Mode { OFF = 0; HEAT = 1; }
message Site { string room = 1; optional int32 floor = 2; }
message Reading {
  google.protobuf.Timestamp taken = 1;
  optional double power = 2;
  optional int64 energy = 3;
  optional bool on = 4;
  Mode mode = 5;
  Site site = 6;
  repeated double spectrum = 7;
  map<string, double> gauges = 8;
}
"""
READING = f"""taken {{ seconds: {TIME_US // 1_000_000} nanos: {TIME_US % 1_000_000 * 1000} }}
power: 0 energy: {BIG} on: false mode: HEAT site {{ room: "B1" floor: 0 }} spectrum: [1, 2.5]
gauges {{ key: "left" value: 1.5 }}"""
EXPECTED = {"power": 0.0, "energy": BIG, "on": False, "mode": "HEAT", "site.room": "B1", "site.floor": 0,
            "spectrum": [1.0, 2.5], "gauges.left": 1.5}


class Schema:
    """A .proto file and what protoc makes of it."""

    def __init__(self, folder, source, message="acme.Reading"):
        self.message = message
        self.file = folder / "reading.proto"
        self.file.write_text(source)
        self.descriptor = folder / "reading.binpb"
        self._protoc("--include_imports", f"--descriptor_set_out={self.descriptor}")

    def encode(self, text):
        return self._protoc(f"--encode={self.message}", input=text.encode())

    def _protoc(self, *arguments, **options):
        command = ["protoc", "-I", self.file.parent, *arguments, self.file]
        return subprocess.run(command, check=True, capture_output=True, timeout=60, **options).stdout


UNSAID = {"Content-Type": None}


@pytest.fixture
def schema(tmp_path):
    return Schema(tmp_path, PROTO)


@pytest.fixture
def name(request):
    return "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[-20:].strip("-")


def _set_type(lab, name, form, schema=None):
    arguments = ["--descriptor", schema.descriptor, "--message", schema.message] if schema else []
    return lab.millrace("type", "set", name, "--format", form, *map(str, arguments))


def _device(lab, name, form, schema=None):
    """A device of a type of the same name that the gateway knows, and its token."""
    _set_type(lab, name, form, schema)
    token = lab.create_device(name)
    assert lab.registry("SetTypeOfDevice", device=name, type=name).type == name
    return token


def _value(sample):
    kind = sample.value.WhichOneof("kind")
    value = getattr(sample.value, kind)
    return json.loads(value) if kind == "json_value" else value


def _rows(lab, name, metric):
    return [(sample.time_us, _value(sample)) for sample in lab.range_samples(name, metric, 0, now_us() + HOUR)]


def _check_stored(lab, name):
    for metric, value in EXPECTED.items():
        eventually(lambda of=metric: _rows(lab, name, of), 120, f"a row of {metric}")
        (time_us, found), = _rows(lab, name, metric)
        assert (metric, time_us, found, type(found)) == (metric, TIME_US, value, type(value))


def _content_type(text):
    return bytes([CONTENT_TYPE]) + struct.pack("!H", len(text)) + text.encode()


def _connect(lab, name, token, version=5):
    client = RawMqtt(lab.mqtt_port, version)
    assert client.connect(f"{name}@{TENANT}", token, name).reason == 0
    return client


def _coap(lab, name, token, payload, tmp_path, content_format=None):
    body = tmp_path / "payload"
    body.write_bytes(payload)
    said = [] if content_format is None else ["-t", str(content_format)]
    command = ["coap-client-openssl", "-m", "post", "-B", "120", "-f", body, *said, "-u", f"{name}@{TENANT}", "-k",
               psk(token), f"coaps://127.0.0.1:{lab.stack.settings.ports['coaps']}/v1/telemetry"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def _wait_for_type(lab, send):
    """Until the gateway knows the type: what is sent before is JSON to it, and refused."""
    eventually(send, 60, "the gateway to know the type")


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt(lab, name, schema, version):
    token = _device(lab, name, "protobuf", schema)
    payload = schema.encode(READING)
    watcher = _connect(lab, name, token)
    _wait_for_type(lab, lambda: watcher.ask(f"devices/{name}/telemetry", payload, 1).reason == 0)
    watcher.disconnect()
    client = _connect(lab, name, token, version)
    client.ask(f"devices/{name}/telemetry", payload, 2)
    client.disconnect()
    _check_stored(lab, name)


def test_http(lab, name, schema):
    token = _device(lab, name, "protobuf", schema)
    sender = HttpDevice(lab, name, token)
    payload = schema.encode(READING)
    _wait_for_type(lab, lambda: sender.post(payload, UNSAID)[0] == 202)
    assert sender.post(payload, {"Content-Type": "application/protobuf"})[0] == 202
    _check_stored(lab, name)


def test_coap(lab, name, schema, tmp_path):
    token = _device(lab, name, "protobuf", schema)
    payload = schema.encode(READING)
    _wait_for_type(lab, lambda: '"receipt"' in _coap(lab, name, token, payload, tmp_path))
    answer = _coap(lab, name, token, payload, tmp_path, 65001)
    assert '"receipt"' in answer, answer
    _check_stored(lab, name)


def test_what_the_message_says_counts_before_the_type(lab, name, schema):
    token = _device(lab, name, "cbor", schema)
    sender = HttpDevice(lab, name, token)
    _wait_for_type(lab, lambda: sender.post(b"\xa1\x61a\x01", UNSAID)[0] == 202)
    assert sender.post(b'{"b":2}', {"Content-Type": "application/json"})[0] == 202
    client = _connect(lab, name, token)
    assert client.ask(f"devices/{name}/telemetry", b'{"c":3}', 1, properties=_content_type("application/json")).reason == 0
    assert client.ask(f"devices/{name}/telemetry", schema.encode(READING), 2,
                      properties=_content_type("application/protobuf")).reason == 0
    # The extension of a topic counts behind the type.
    assert client.ask(f"devices/{name}/telemetry.json", b"\xa1\x61d\x04", 3).reason == 0
    client.disconnect()
    _check_stored(lab, name)
    for metric, value in {"b": 2, "c": 3, "d": 4}.items():
        eventually(lambda of=metric: _rows(lab, name, of), 120, f"a row of {metric}")
        assert [found for _, found in _rows(lab, name, metric)] == [value]


def test_refusals_say_why_and_where(lab, name, schema):
    token = _device(lab, name, "protobuf", schema)
    client = _connect(lab, name, token)
    payload = schema.encode(READING)
    _wait_for_type(lab, lambda: client.ask(f"devices/{name}/telemetry", payload, 1).reason == 0)
    sender = HttpDevice(lab, name, token)
    whole = schema.encode("power: 1")
    for body, reason, text in [
            (whole[:-1], "syntax", "not Protocol Buffers: a field of 'acme.Reading' is cut or malformed before byte"),
            (b"\x10\x01", "shape", "field 2 of 'acme.Reading' has another type than is declared for 'power'"),
            (schema.encode("power: nan"), "not_finite", "'acme.Reading.power' is NaN or infinite"),
            (schema.encode("taken { seconds: 1 }"), "no_points", "no value"),
            (schema.encode("taken { nanos: -1 } power: 1"), "bad_time", "'acme.Reading.taken' is no time")]:
        status, _, problem = sender.post(body, UNSAID)
        assert status == 400 and problem["reason"] == reason and text in problem["detail"], problem
    answer = client.ask(f"devices/{name}/telemetry", whole[:-1], 2)
    assert answer.reason == 0x99 and answer.user["reason"] == "syntax", answer
    assert "not Protocol Buffers" in str(answer.properties[REASON_STRING]), answer


def test_a_changed_type_takes_effect_on_a_live_connection(lab, name, schema, tmp_path):
    token = _device(lab, name, "protobuf", schema)
    client = _connect(lab, name, token)
    topic = f"devices/{name}/telemetry"
    payload = schema.encode("power: 5")
    _wait_for_type(lab, lambda: client.ask(topic, payload, 1).reason == 0)
    renamed = Schema(tmp_path, PROTO.replace("double power", "double watts"))
    _set_type(lab, name, "protobuf", renamed)

    def stored_under_the_new_name():
        assert client.ask(topic, payload, 2).reason == 0
        return _rows(lab, name, "watts")
    eventually(stored_under_the_new_name, 120, "the new name", interval=0.5)
    # Another type of the device, too, and none.
    lab.millrace("type", "set", f"{name}.json", "--format", "json")
    lab.millrace("device", "type", name, f"{name}.json")
    eventually(lambda: client.ask(topic, b'{"json":1}', 3).reason == 0, 60, "the other type")
    lab.millrace("device", "type", name, name)
    eventually(lambda: client.ask(topic, payload, 4).reason == 0, 60, "the first type again")
    assert f"is of type {name}" in lab.millrace("device", "type", name)
    lab.millrace("device", "type", name, "--none")
    eventually(lambda: client.ask(topic, b'{"json":2}', 5).reason == 0, 60, "no type")
    client.disconnect()


def test_types_by_the_command_line(lab, name, schema):
    shown = _set_type(lab, name, "protobuf", schema)
    assert "acme.Reading" in shown and "note: acme.Reading.mode: 0 is no point" in shown, shown
    assert "power" not in shown, shown
    lab.millrace("device", "create", f"{name}-d", "--type", name)
    assert json.loads(lab.millrace("device", "show", f"{name}-d", "--json"))["type"] == name
    listed = json.loads(lab.millrace("type", "list", "--json"))
    assert [one["format"] for one in listed if one["type"] == name] == ["protobuf"]
    with pytest.raises(Exception, match="is that of device"):
        lab.millrace("type", "delete", name)
    lab.millrace("device", "delete", f"{name}-d")
    lab.millrace("type", "delete", name)
    assert name not in [one["type"] for one in json.loads(lab.millrace("type", "list", "--json"))]
    with pytest.raises(Exception, match="has no message 'acme.Missing'"):
        lab.millrace("type", "set", name, "--format", "protobuf", "--descriptor", str(schema.descriptor), "--message",
                     "acme.Missing")
