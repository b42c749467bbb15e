"""`millrace windows` and `millrace alerts` against a running system; the rows are put where the writer would put them."""
import csv
import io
import json
import signal
import subprocess
import threading
import time

import pytest

import protos
from millrace_lab import TENANT, eventually

BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
HALF_HOUR = 1_800_000_000


@pytest.fixture
def device(lab, request):
    """A device of its own with the metric `power`; returns its id and the integer keys of both."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]
    lab.create_device(name)
    key = lab.registry("GetDevice", device=name).device_key
    metric = lab.sql("INSERT INTO storage.metric (tenant, name, type) VALUES ('%s', 'power', 1)"
                     " ON CONFLICT (tenant, name) DO UPDATE SET name = excluded.name RETURNING id" % TENANT)[0][0]
    return name, key, metric


def _put_alert(lab, alert):
    """As storage-writer does it: the row, and the mark on those before it."""
    lab.sql(f"INSERT INTO storage.alert VALUES ('{alert.alert_key}', {alert.event_number}, '{alert.alert_id}',"
            f" '{alert.tenant}', '{alert.rule}', '{alert.device}', '{alert.metric}', {alert.state}, {alert.severity},"
            f" to_timestamp({alert.raised_at_us} / 1e6), NULL, '', '\\x{alert.SerializeToString().hex()}')")
    lab.sql(f"UPDATE storage.alert SET superseded = true WHERE alert_id = '{alert.alert_id}'"
            f" AND event_number < {alert.event_number}")


def _alert(lab, device, episode, raised_us, severity=3):
    alert = protos.alerts().Alert(tenant=TENANT, rule="hot", device=device, metric="power", severity=severity, state=1,
                                  event_number=2 * episode - 1, raised_at_us=raised_us, description="too hot")
    alert.alert_key = f"{alert.tenant}/hot/{device}/power"
    alert.alert_id = (device.encode().hex() + f"{episode:08x}")[-32:].rjust(32, "0")
    alert.raise_value.double_value = 91.5
    return alert


def _clear(alert):
    cleared = type(alert)()
    cleared.CopyFrom(alert)
    cleared.state, cleared.event_number, cleared.cleared_at_us = 2, alert.event_number + 1, alert.raised_at_us + 1_000_000
    cleared.clear_value.double_value = 20
    return cleared


def test_windows_as_table_csv_and_json(lab, run_program, device):
    name, key, metric = device
    for number in range(48):
        lab.sql(f"INSERT INTO storage.window_result VALUES ({key}, {metric}, to_timestamp({(BEGIN + number * HALF_HOUR) / 1e6}),"
                f" {HALF_HOUR}, 3, 0.5, {number} + 1, {number}, {number} + 0.25, to_timestamp({BEGIN / 1e6}), 1, true, false)")
    times = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    text = run_program("millrace", "windows", name, "power", *times, "--format", "csv").stdout
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 48
    assert rows[1] == ["2026-01-01T00:30:00Z", "3", "0.5", "2", "1", "1.25"]
    headed = run_program("millrace", "windows", name, "power", *times, "--format", "csv", "--header", "--limit", "1").stdout
    assert headed.splitlines() == ["start,count,min,max,mean,last", "2026-01-01T00:00:00Z,3,0.5,1,0,0.25"]
    found = json.loads(run_program("millrace", "windows", name, "power", *times, "--json").stdout)
    assert [window["last"] for window in found["windows"]] == [number + 0.25 for number in range(48)]
    assert found["windows"][0]["size_us"] == HALF_HOUR and found["windows"][0]["final"] is True
    table = run_program("millrace", "windows", name, "power", *times).stdout.splitlines()
    assert table[0].split() == ["START", "SIZE", "COUNT", "MIN", "MAX", "MEAN", "LAST"]
    assert table[1].split() == ["2026-01-01T00:00:00Z", "30m", "3", "0.5", "1", "0", "0.25"]
    none = run_program("millrace", "windows", name, "power", "--from", "2020-01-01", "--to", "2020-01-02").stdout
    assert none.splitlines()[-1] == "no windows in this range"
    assert json.loads(run_program("millrace", "windows", name, "power", "--from", "2020-01-01", "--to", "2020-01-02",
                                  "--json").stdout)["windows"] == []
    failed = run_program("millrace", "windows", name, "unheard-of", check=False)
    assert failed.returncode == 1 and "next: " in failed.stderr and not failed.stdout


def test_alerts_are_listed_by_state_rule_device_and_severity(lab, run_program, device):
    name = device[0]
    _put_alert(lab, _alert(lab, name, 1, BEGIN))
    _put_alert(lab, _clear(_alert(lab, name, 1, BEGIN)))
    _put_alert(lab, _alert(lab, name, 2, BEGIN + 1, severity=2))

    def listed(*arguments):
        return json.loads(run_program("millrace", "alerts", "--device", name, "--json", *arguments).stdout)
    both = listed()
    assert [alert["state"] for alert in both] == ["raised", "cleared"]
    assert both[1]["raise_value"] == 91.5 and both[1]["cleared_at"] == "2026-01-01T00:00:01Z"
    assert [alert["severity"] for alert in listed("--open")] == ["warning"]
    assert [alert["severity"] for alert in listed("--cleared")] == ["critical"]
    history = run_program("millrace", "alerts", "--id", both[1]["alert_id"], "--json").stdout
    assert [alert["state"] for alert in json.loads(history)] == ["raised", "cleared"], "the first one first"
    refused = run_program("millrace", "alerts", "--id", both[1]["alert_id"], "--rule", "hot", check=False)
    assert refused.returncode == 2 and "--rule" in refused.stderr
    assert len(listed("--severity", "critical")) == 1
    assert len(listed("--limit", "1")) == 1
    assert listed("--rule", "cold") == []
    assert listed("--to", "2026-01-01") == []
    table = run_program("millrace", "alerts", "--device", name).stdout.splitlines()
    assert table[0].split() == ["RAISED", "STATE", "SEVERITY", "RULE", "DEVICE", "METRIC", "VALUE", "CLEARED"]
    assert len(table) == 3
    assert run_program("millrace", "alerts", "--device", name, "--rule", "cold").stdout == "no alerts\n"


def test_follow_prints_each_event_once_and_says_how_it_ends(lab, device):
    name = device[0]
    now = time.time_ns() // 1000
    old = _alert(lab, name, 1, BEGIN)  # opened long before, cleared while it is watched
    _put_alert(lab, old)
    watch = subprocess.Popen([str(lab.binaries / "millrace"), "alerts", "--follow", "--device", name, "--json"],
                             env=lab.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             stdin=subprocess.DEVNULL)
    try:
        before = _calls(lab)
        eventually(lambda: _calls(lab) >= before + 2, 60, "the first look")
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(watch.stdout.readline, "")), daemon=True)
        reader.start()
        fresh = _alert(lab, name, 2, now)
        _put_alert(lab, fresh)
        eventually(lambda: len(lines) == 1, 60, "the raise")
        _put_alert(lab, _clear(fresh))
        _put_alert(lab, _clear(old))
        eventually(lambda: len(lines) == 3, 60, "both clears")
        both = _clear(_alert(lab, name, 3, now + 1))  # raised and cleared between two looks
        _put_alert(lab, both)
        eventually(lambda: len(lines) == 5, 60, "raise and clear at once")
        seen = _calls(lab)
        eventually(lambda: _calls(lab) >= seen + 4, 60, "two more looks")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(60) == 0
        reader.join(60)
    finally:
        watch.kill()
    events = [(json.loads(line)["alert_id"][-1], json.loads(line)["state"]) for line in lines]
    assert events[0] == ("2", "raised")
    assert sorted(events[1:3]) == [("1", "cleared"), ("2", "cleared")]
    assert events[3:] == [("3", "raised"), ("3", "cleared")]
    assert watch.stderr.read() == "millrace: stopped after 5 events\n"


def _calls(lab):
    return lab.metrics("query-api", "millrace_rpc_calls_total")
