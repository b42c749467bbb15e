"""Windows and alerts over a recorded data set are what the file says, computed here independently."""
import csv
import datetime
import json
import math

from http_device import HttpDevice
from millrace_lab import eventually

WINDOW_US = 60_000_000
RAISE, CLEAR = 30.0, 25.0


def _rows(file):
    """[(time in microseconds, oil temperature)]"""
    with open(file, newline="", encoding="ascii") as source:
        return [(round(datetime.datetime.strptime(row["date"], "%Y-%m-%d %H:%M:%S")
                       .replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000, float(row["OT"]))
                for row in csv.DictReader(source)]


def _send(lab, device, rows):
    sender = HttpDevice(lab, device, lab.create_device(device))
    for begin in range(0, len(rows), 100):
        sender.send(json.dumps([{"ts": time, "OT": value} for time, value in rows[begin:begin + 100]]).encode())
    sender.close()


def _windows(rows):
    """{start: (count, min, max, mean, last)} of the windows that the device's own progress has closed."""
    groups = {}
    for time, value in rows:
        groups.setdefault(time // WINDOW_US * WINDOW_US, []).append(value)
    closed = [start for start in groups if start + 2 * WINDOW_US <= rows[-1][0]]
    return {start: (len(groups[start]), min(groups[start]), max(groups[start]),
                    math.fsum(groups[start]) / len(groups[start]), groups[start][-1]) for start in closed}


def _printed(run_program, device, rows):
    begin, end = (datetime.datetime.fromtimestamp(time // 1_000_000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                  for time in (rows[0][0] // WINDOW_US * WINDOW_US, rows[-1][0] - WINDOW_US))
    lines = run_program("millrace", "windows", device, "OT", "--from", begin, "--to", end, "--format", "csv").stdout.splitlines()
    found = {}
    for line in lines:
        start, count, *figures = line.split(",")
        time = datetime.datetime.fromisoformat(start.replace("Z", "+00:00")).timestamp()
        found[round(time) * 1_000_000] = (int(count), *map(float, figures))
    return found


def _check(lab, run_program, device, rows):
    expected = _windows(rows)
    stored = f"""SELECT count(*) FROM storage.window_result w JOIN registry.device d ON d.device_key = w.device_id
                 WHERE d.device = '{device}'"""
    eventually(lambda: int(lab.sql(stored)[0][0]) >= len(expected), 120, "the windows to be stored")
    found = {start: figures for start, figures in _printed(run_program, device, rows).items() if start in expected}
    assert set(found) == set(expected)
    for start, (count, low, high, mean, last) in expected.items():
        assert found[start][0] == count and found[start][1:3] == (low, high) and found[start][4] == last, start
        assert abs(found[start][3] - mean) <= 1e-9 * max(1, abs(mean)), start


def _alerts(rows):
    """[(raised, cleared or None)] by the two conditions, in the file's order."""
    alerts = []
    for time, value in rows:
        is_open = alerts and alerts[-1][1] is None
        if not is_open and value > RAISE:
            alerts.append((time, None))
        elif is_open and value < CLEAR:
            alerts[-1] = (alerts[-1][0], time)
    return alerts


def test_windows_and_alerts_over_a_data_set_are_exact(lab, data_folder, run_program):
    hourly = _rows(data_folder / "ett" / "ETTh1.csv")
    assert len(hourly) == 17_420
    # The same readings two seconds apart: thirty in a window.
    dense = [(hourly[0][0] + index * 2_000_000, value) for index, (_, value) in enumerate(hourly)]
    run_program("millrace", "rule", "create", "hot-oil", "--metric", "OT", "--raise", f"value > {RAISE}", "--clear",
                f"value < {CLEAR}", "--device-prefix", "ett-streams")
    eventually(lambda: lab.metrics("stream-processing", "millrace_stream_rules") >= 1, 60, "the rule to arrive")
    _send(lab, "ett-streams-hourly", hourly)
    _send(lab, "ett-streams-dense", dense)
    _check(lab, run_program, "ett-streams-hourly", hourly)
    _check(lab, run_program, "ett-streams-dense", dense)

    for device, rows in (("ett-streams-hourly", hourly), ("ett-streams-dense", dense)):
        expected = _alerts(rows)
        assert len(expected) > 10

        def stored():
            return [(int(raised), int(cleared) if cleared else None) for raised, cleared in lab.sql(f"""
                SELECT (extract(epoch FROM raised_at) * 1000000)::int8, (extract(epoch FROM cleared_at) * 1000000)::int8
                FROM (SELECT DISTINCT ON (alert_id) * FROM storage.alert WHERE rule = 'hot-oil' AND device = '{device}'
                      ORDER BY alert_id, event_number DESC) AS latest ORDER BY raised_at""")]
        eventually(lambda: len(stored()) >= len(expected) and stored()[-1] == expected[-1], 60, "the alerts to be stored")
        assert stored() == expected, device
    run_program("millrace", "rule", "delete", "hot-oil")
