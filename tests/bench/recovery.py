"""stream-processing killed at 20,000 messages/s with full windows: until it works again, and until it has caught up"""
import threading
import time

from bench_lab import bench_lab, fleet
from millrace_dev import bench, say
from millrace_dev.say import DevError
from millrace_lab import eventually

RATE = 20_000
DEVICES = 2000
# A window of a minute, the minute of lateness, and the time until the first of them are closed and committed.
BEFORE = 180
AFTER = 60


def run(_layout):
    with bench_lab() as lab:
        lab.registry("CreateRule", rule={"rule": "bench", "metric": "sequence", "raise": "value % 1000 == 3",
                                         "clear": "value % 1000 == 5", "severity": 2, "enabled": True})
        reports = []
        load = threading.Thread(target=lambda: reports.append(fleet(lab, RATE, BEFORE + AFTER, devices=DEVICES)))
        load.start()
        with say.Step(f"{RATE} messages/s of {DEVICES} devices for {BEFORE} s"):
            time.sleep(BEFORE)
        lag = _stream(lab, "lag_records")
        open_windows = _stream(lab, "open_windows")
        with say.Step("stream-processing is killed and started again"):
            begun = time.monotonic()
            lab.kill("stream-processing")
            lab.begin("stream-processing")
            eventually(lambda: _works(lab), 300, "the first new records")
            works = time.monotonic() - begun
            eventually(lambda: _works(lab) and _stream(lab, "lag_records") < RATE, 600, "it to catch up")
            caught_up = time.monotonic() - begun
            replayed = _stream(lab, "replayed_records_total")
        still_sending = load.is_alive()
        load.join()
        if not reports:
            raise DevError("the fleet failed")
        return [
            bench.row("load", round(reports[0]["rate"]), "messages/s"),
            bench.row("behind before the kill", round(lag), "records"),
            bench.row("open windows", round(open_windows), "windows"),
            bench.row("read again with outputs suppressed", round(replayed), "records"),
            bench.row("first new records of all partitions after", round(works, 1), "s", 10),
            bench.row("less than a second behind after", round(caught_up, 1), "s"),
            bench.row("load was still on then", int(still_sending), "yes/no", 1, at_most=False),
        ]


def _stream(lab, name):
    return lab.metrics("stream-processing", f"millrace_stream_{name}")


def _works(lab):
    """Whether every owned partition has had its first new record since the start."""
    try:
        partitions = _stream(lab, "partitions")
        return partitions > 0 and _stream(lab, "recovery_seconds_count") >= partitions
    except OSError:
        return False  # it is only just starting
