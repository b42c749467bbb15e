"""A recorded data set goes in over four protocols and comes out exactly."""
import csv
import datetime
import json
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from http_device import HttpDevice
from millrace_dev import toolchain
from millrace_dev.environment import psk
from millrace_lab import TENANT, Layout, eventually

DEVICES = ("etth1-mqtt311", "etth1-mqtt5", "etth1-http", "etth1-coaps")


def _read(file):
    """[(time in microseconds, {metric: text of the number})]; the file's times are UTC."""
    with open(file, newline="", encoding="ascii") as source:
        rows = csv.reader(source)
        names = next(rows)[1:]
        out = []
        for row in rows:
            time = datetime.datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
            out.append((round(time.timestamp()) * 1_000_000, dict(zip(names, row[1:]))))
    return names, out


def _payload(row):
    time, values = row
    text = datetime.datetime.fromtimestamp(time // 1_000_000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    members = ",".join(f"{json.dumps(name)}:{number}" for name, number in values.items())
    return f'{{"ts":"{text}","values":{{{members}}}}}'.encode()


def _send_mqtt(lab, version, device, token, rows):
    """Publishes all rows with QoS 1 and waits for every PUBACK."""
    client = mqtt.Client(client_id=device, protocol=version)
    client.username_pw_set(f"{device}@{TENANT}", token)
    client.max_inflight_messages_set(500)
    client.max_queued_messages_set(0)
    acknowledged, connected, done = [], threading.Event(), threading.Event()
    client.on_connect = lambda *_: connected.set()

    def on_publish(_client, _userdata, message_id):
        acknowledged.append(message_id)
        if len(acknowledged) == len(rows):
            done.set()
    client.on_publish = on_publish
    client.connect("127.0.0.1", lab.mqtt_port, keepalive=60)
    client.loop_start()
    try:
        assert connected.wait(60)
        for row in rows:
            client.publish(f"devices/{device}/telemetry", _payload(row), qos=1)
        assert done.wait(300), f"{len(acknowledged)} of {len(rows)} acknowledged"
    finally:
        client.disconnect()
        client.loop_stop()


def _send_http(lab, device, token, rows):
    """The first rows one by one, the others in messages of 100 rows."""
    sender = HttpDevice(lab, device, token)
    for row in rows[:500]:
        sender.send(_payload(row))
    for begin in range(500, len(rows), 100):
        sender.send(b"[" + b",".join(map(_payload, rows[begin:begin + 100])) + b"]")
    sender.close()


def _send_coaps(lab, device, token, rows):
    """The first rows one by one, the others in messages of 20 rows, which take several blocks each."""
    payloads = [_payload(row) for row in rows[:200]]
    for begin in range(200, len(rows), 20):
        payloads.append(b"[" + b",".join(map(_payload, rows[begin:begin + 20])) + b"]")
    done = subprocess.run(
        [toolchain.install_coap_client(Layout()), Path(__file__).parents[1] / "support" / "aiocoap_device.py",
         f"coaps://127.0.0.1:{lab.stack.settings.ports['coaps']}/v1/telemetry", f"{device}@{TENANT}", psk(token)],
        input=json.dumps([payload.decode() for payload in payloads]), capture_output=True, text=True, timeout=300,
        check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["code"] for answer in answers] == ["2.04"] * len(payloads), done.stderr[-2000:]


def test_every_row_of_a_recorded_data_set_comes_back_exactly(lab, data_folder, run_program):
    names, rows = _read(data_folder / "ett" / "ETTh1.csv")
    assert len(rows) == 17_420 and len(names) == 7
    shares = {device: rows[index::len(DEVICES)] for index, device in enumerate(DEVICES)}
    tokens = lab.create_devices(list(DEVICES))

    _send_mqtt(lab, mqtt.MQTTv311, DEVICES[0], tokens[DEVICES[0]], shares[DEVICES[0]])
    _send_mqtt(lab, mqtt.MQTTv5, DEVICES[1], tokens[DEVICES[1]], shares[DEVICES[1]])
    _send_http(lab, DEVICES[2], tokens[DEVICES[2]], shares[DEVICES[2]])

    _send_coaps(lab, DEVICES[3], tokens[DEVICES[3]], shares[DEVICES[3]])

    begin, end = rows[0][0], rows[-1][0] + 1
    for device, sent in shares.items():
        for name in names:
            expected = [(time, float(values[name])) for time, values in sent]
            eventually(lambda: len(lab.range_samples(device, name, begin, end)) >= len(expected), 120,
                       f"all rows of {device} {name}", interval=0.5)
            found = [(sample.time_us, _number(sample.value)) for sample in lab.range_samples(device, name, begin, end)]
            assert found == expected, f"{device} {name}"

    # The same through the program for people, as text: shortest exact numbers, RFC 3339 times.
    printed = run_program("millrace", "range", DEVICES[0], "OT", "--from", "2016-07-01T00:00:00Z", "--to",
                          "2018-07-01T00:00:00Z", "--format", "csv").stdout.splitlines()
    lines = [line for line in printed if line and not line.startswith("time")]
    found = [(_time(line.split(",")[0]), float(line.split(",")[1])) for line in lines]
    assert found == [(time, float(values["OT"])) for time, values in shares[DEVICES[0]]]


def _number(value):
    kind = value.WhichOneof("kind")
    assert kind in ("double_value", "int_value"), kind
    return float(getattr(value, kind))


def _time(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000_000)


@pytest.mark.parametrize("device", DEVICES)
def test_a_metric_has_one_row_per_time_in_the_database(lab, device):
    """Asks the database itself, not the service."""
    doubled = lab.sql(f"""
        SELECT count(*) FROM (
          SELECT s.device_id, s.metric, s.time FROM storage.point s
          JOIN registry.device d ON d.device_key = s.device_id WHERE d.device = '{device}'
          GROUP BY 1, 2, 3 HAVING count(*) > 1) AS double""")
    assert doubled == [["0"]]
