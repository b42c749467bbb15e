"""The load under which faults are tried, and the two verdicts on it: the fleet's and the database's.

MILLRACE_CHAOS_RATE, _DEVICES, _ROUNDS, _SEED, _LENGTH (short, full) and _FIGURES (a file for one JSON line a run) set
what `./dev soak chaos` and `./dev test` differ in.
"""
import json
import os
import random
import resource
import time

import grpc
import pytest

from fleet_run import FleetRun, database_count
from millrace_lab import eventually

RATE = int(os.environ.get("MILLRACE_CHAOS_RATE", "3000"))
DEVICES = int(os.environ.get("MILLRACE_CHAOS_DEVICES", "200"))
FULL = os.environ.get("MILLRACE_CHAOS_LENGTH", "short") == "full"
ROUNDS = int(os.environ.get("MILLRACE_CHAOS_ROUNDS", "1"))


def pytest_generate_tests(metafunc):
    if "load" in metafunc.fixturenames:
        metafunc.parametrize("round_number", range(1, ROUNDS + 1))


def _answer(call):
    """What the call returns, or None while its connection is being made anew."""
    try:
        return call()
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        return None


class Load:
    def __init__(self, lab, case, seed):
        self.lab = lab
        self.case = case
        self.seed = seed
        self.full = FULL
        self.run = None
        self._figures = {}

    def start(self, seconds):
        """The fleet sends for so many seconds, longer in a soak; returns when messages are in flight."""
        self.lab.wait_all_ready()
        # A service that the last case cut off from its database says "try again" for a moment.
        self.wait_for_registry()
        seconds += 20 if FULL else 0
        self.run = FleetRun(self.lab, f"c{self.seed:x}", self.seed, RATE, DEVICES, seconds)
        self.run.wait_for_load()

    def wait_for_registry(self):
        """The first call over a connection that a fault cut may fail; the next one gets a new connection."""
        eventually(lambda: _answer(lambda: self.lab.registry("ListDevices", page_size=1)), 60, "device-registry to answer")

    def wait_for_query(self):
        return eventually(lambda: _answer(lambda: self.lab.query("GetReceipt", receipt="0:0")), 60, "query-api to answer")

    def note(self, **figures):
        self._figures.update(figures)

    def finish(self):
        """The two verdicts: the fleet's own, and an independent count in the database."""
        report = self.run.finish()
        assert report["acknowledged"] == report["sent"], f"not everything was acknowledged in the end: {report}"
        rows, different = eventually(lambda: self._counted(report), 60, "the database to hold every message")
        assert rows == different == report["acknowledged"], (rows, different, report)
        self._publish(report)
        return report

    def _counted(self, report):
        rows, different = database_count(self.lab, self.run.prefix)
        return (rows, different) if different >= report["acknowledged"] else None

    def _publish(self, report):
        line = {"case": self.case, "rate": RATE, "devices": DEVICES, "seed": self.seed,
                **{key: report.get(key) for key in ("sent", "acknowledged", "stored", "lost", "doubled", "wrong_value",
                                                    "resent", "ack_ms", "readable_ms")}, **self._figures}
        print(json.dumps(line))
        if os.environ.get("MILLRACE_CHAOS_FIGURES"):
            with open(os.environ["MILLRACE_CHAOS_FIGURES"], "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@pytest.fixture
def load(lab, request, round_number):
    seed = int(os.environ.get("MILLRACE_CHAOS_SEED") or random.randrange(1, 1 << 31))
    case = request.node.name.split("[")[0].removeprefix("test_")
    print(f"{request.node.name}: seed {seed}")
    one = Load(lab, request.node.name.removeprefix("test_") or case, seed)
    yield one
    if one.run is not None:
        one.run.stop()


class Since:
    """Seconds since it was made."""

    def __init__(self):
        self._begun = time.monotonic()

    def __float__(self):
        return time.monotonic() - self._begun


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
