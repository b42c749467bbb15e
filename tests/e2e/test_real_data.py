"""Recorded data sets go in and come out exactly: over four protocols, and in every form that readings have on their way out."""
import csv
import datetime
import json
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from archive_run import archive, archived_keys, directory, parquet_rows
from http_device import HttpDevice
from millrace_dev import toolchain
from millrace_dev.environment import psk
from millrace_lab import TENANT, Layout, eventually
from web_query import connect, grpc_web

FILES = {"whole-etth1": "ett/ETTh1.csv",
         "whole-ec2": "nab/realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv",
         "whole-machine": "nab/realKnownCause/machine_temperature_system_failure.csv",
         "whole-taxi": "nab/realKnownCause/nyc_taxi.csv",
         "whole-speed": "nab/realTraffic/speed_7578.csv"}
# Every day before it becomes a file of its own: all of NAB's and a month of ETTh1's; two years of files would take minutes.
COLD = datetime.datetime(2016, 8, 1, tzinfo=datetime.timezone.utc)
DEVICES = ("etth1-mqtt311", "etth1-mqtt5", "etth1-http", "etth1-coaps")


def _read(file):
    """[(time in microseconds, {metric: text of the number})]; the file's times are UTC."""
    with open(file, newline="", encoding="ascii") as source:
        rows = csv.reader(source)
        names = next(rows)[1:]
        out = []
        for row in rows:
            time = datetime.datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
            out.append((_us(time), dict(zip(names, row[1:]))))
    return names, out


def _us(time):
    return round(time.timestamp()) * 1_000_000


def _payload(row):
    time, values = row
    text = datetime.datetime.fromtimestamp(time // 1_000_000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    members = ",".join(f"{json.dumps(name)}:{number}" for name, number in values.items())
    return f'{{"ts":"{text}","values":{{{members}}}}}'.encode()


def _payloads(rows, size):
    """All rows, in messages of so many."""
    return [b"[" + b",".join(map(_payload, rows[begin:begin + size])) + b"]" for begin in range(0, len(rows), size)]


def _send_mqtt(lab, version, device, token, payloads):
    """Publishes everything with QoS 1 and waits for every PUBACK."""
    client = mqtt.Client(client_id=device, protocol=version)
    client.username_pw_set(f"{device}@{TENANT}", token)
    client.max_inflight_messages_set(500)
    client.max_queued_messages_set(0)
    acknowledged, connected, done = [], threading.Event(), threading.Event()
    client.on_connect = lambda *_: connected.set()

    def on_publish(_client, _userdata, message_id):
        acknowledged.append(message_id)
        if len(acknowledged) == len(payloads):
            done.set()
    client.on_publish = on_publish
    client.connect("127.0.0.1", lab.mqtt_port, keepalive=60)
    client.loop_start()
    try:
        assert connected.wait(60)
        for payload in payloads:
            client.publish(f"devices/{device}/telemetry", payload, qos=1)
        assert done.wait(300), f"{len(acknowledged)} of {len(payloads)} acknowledged"
    finally:
        client.disconnect()
        client.loop_stop()


def _send_http(lab, device, token, rows):
    """The first rows one by one, the others in messages of 100 rows."""
    sender = HttpDevice(lab, device, token)
    for row in rows[:500]:
        sender.send(_payload(row))
    for payload in _payloads(rows[500:], 100):
        sender.send(payload)
    sender.close()


def _send_coaps(lab, device, token, rows):
    """The first rows one by one, the others in messages of 20 rows, which take several blocks each."""
    payloads = [_payload(row) for row in rows[:200]] + _payloads(rows[200:], 20)
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

    _send_mqtt(lab, mqtt.MQTTv311, DEVICES[0], tokens[DEVICES[0]], [_payload(row) for row in shares[DEVICES[0]]])
    _send_mqtt(lab, mqtt.MQTTv5, DEVICES[1], tokens[DEVICES[1]], [_payload(row) for row in shares[DEVICES[1]]])
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


def _exact(number):
    """A number to its last bit. Whether it comes as an integer or as a double is decided by the first value of its metric, which
    other files and tests may have sent."""
    return float(number).hex()


def _series(data_folder):
    """{(device, metric): {time in microseconds: number}}. A file may hold a time twice: what was sent last counts."""
    series = {}
    for device, file in FILES.items():
        for time, values in _read(data_folder / file)[1]:
            for metric, text in values.items():
                series.setdefault((device, metric), {})[time] = _exact(text)
    return series


def _message_page(answer):
    return [(one.time_us, _number(one.value)) for one in answer.samples], answer.next_page_token


def _json_page(answer):
    samples = []
    for one in answer.get("samples", []):
        (kind, value), = one["value"].items()
        assert (kind, type(value)) in (("intValue", str), ("doubleValue", float), ("doubleValue", int)), one
        samples.append((int(one["timeUs"]), value))
    return samples, answer.get("nextPageToken", "")


FORMS = {"gRPC": lambda lab, **asked: _message_page(lab.query("Range", **asked)),
         "gRPC-Web": lambda lab, **asked: _message_page(grpc_web(lab, "Range", **asked)),
         "JSON": lambda lab, **asked: _json_page(connect(lab, "Range", **asked))}


def _all_pages(lab, form, device, metric):
    """Everything of a series, as it comes over the pages: [(time, exact number)]"""
    found, token = [], ""
    while True:
        page, token = FORMS[form](lab, device=device, metric=metric, from_us=0, to_us=1_600_000_000_000_000, page_size=10_000,
                                  page_token=token)
        found += [(time, _exact(value)) for time, value in page]
        if not token:
            return found


def _assert_all_of(lab, form, series):
    for (device, metric), expected in series.items():
        assert _all_pages(lab, form, device, metric) == sorted(expected.items()), f"{device} {metric} over {form}"


def _points_of(lab):
    names = ", ".join(f"'{device}'" for device in FILES)
    return int(lab.sql(f"SELECT count(*) FROM storage.point p JOIN registry.device d ON d.device_key = p.device_id"
                       f" WHERE d.device IN ({names})")[0][0])


def _archived_series(lab):
    """As _series(), from the files of the archive."""
    devices = dict(lab.sql("SELECT device_key, device FROM registry.device"))
    metrics = dict(lab.sql("SELECT id, name FROM storage.metric"))
    series = {}
    for device, metric, time, value, kind, other, untimed in parquet_rows(
            lab.stack.settings.archive / key for key in archived_keys(lab)):
        assert kind is None and other is None and untimed is None
        times = series.setdefault((devices[str(device)], metrics[str(metric)]), {})
        assert time not in times, "twice in the archive"
        times[time] = _exact(value)
    return {key: times for key, times in series.items() if key[0] in FILES}


def test_the_recorded_files_are_the_same_in_every_form(lab, data_folder, parquet_worker, tmp_path):
    """Through MQTT into the database, out by each API, then into Parquet files, which another reader opens, and out again."""
    del parquet_worker
    series = _series(data_folder)
    count = sum(map(len, series.values()))
    assert count == 7 * 17_420 + 4_032 + 22_683 + 10_320 + 1_127
    tokens = lab.create_devices(list(FILES))
    for device, file in FILES.items():
        _send_mqtt(lab, mqtt.MQTTv5, device, tokens[device], _payloads(_read(data_folder / file)[1], 50))
    eventually(lambda: _points_of(lab) == count, 600, f"{count} points")
    for form in FORMS:
        _assert_all_of(lab, form, series)

    cold = {key: {time: number for time, number in points.items() if time < _us(COLD)} for key, points in series.items()}
    archive(lab, tmp_path, directory(lab), timeout=1800, AFTER_DAYS=str((datetime.datetime.now(datetime.timezone.utc) - COLD).days))
    assert _points_of(lab) == count - sum(map(len, cold.values())), "what is archived has left the database"
    assert _archived_series(lab) == cold
    for form in FORMS:
        _assert_all_of(lab, form, series)
