"""The load under which faults are tried, and the verdicts on it: the fleet's, the database's, the ledger's, and whether windows
and alerts are those of the undisturbed run.

MILLRACE_CHAOS_RATE, _DEVICES, _QOS (of MQTT), _LENGTH (short, full) and _FIGURES (a file for one JSON line a run) set what
`./dev soak` and `./dev test` differ in.
"""
import json
import os
import resource
import time

import grpc

import ledger
import stream_verdict
from fleet_run import FleetRun, database_count
from millrace_lab import eventually

RATE = int(os.environ.get("MILLRACE_CHAOS_RATE", "3000"))
DEVICES = int(os.environ.get("MILLRACE_CHAOS_DEVICES", "200"))
QOS = int(os.environ.get("MILLRACE_CHAOS_QOS", "1"))
FULL = os.environ.get("MILLRACE_CHAOS_LENGTH", "short") == "full"


def _answer(call):
    """What the call returns, or None while its connection is being made anew or a service waits for one in vain."""
    try:
        return call()
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), error
        return None


# Raised and cleared every seven messages of a device.
RULE = {"rule": "chaos-sequence", "metric": "sequence", "raise": "value % 7 == 3", "clear": "value % 7 == 5", "severity": 2,
        "device_prefix": "t", "description": "every seventh message", "enabled": True}
# Each alert is a transaction of its own.
CRITICAL = {"rule": "chaos-critical", "metric": "pressure", "raise": "value > 900", "severity": 3, "enabled": True}


def rule_is_met(value):
    return value % 7 == 3


def rule_is_over(value):
    return value % 7 == 5


class Load:
    """Devices over all protocols, half of their messages untimed; beside them some whose messages all have a time and
    come over one connection each: what the rules must say of those is known."""

    def __init__(self, lab, case, seed):
        self.lab = lab
        self.case = case
        self.seed = seed
        self.full = FULL
        self.run = None
        self.timed = None
        self.environment_of_timed = None  # None: the lab's own addresses
        self._figures = {}
        self._ledger = None  # as it was before the load

    def start(self, seconds):
        """The fleet sends for so many seconds, longer in a soak; returns when messages are in flight."""
        self.lab.wait_all_ready()
        # A service that the last case cut off from its database says "try again" for a moment.
        self.wait_for_registry()
        seconds += 20 if FULL else 0
        self.make_rules()
        self.wait_for_query()
        self._ledger = ledger.state(self.lab)
        self.run = FleetRun(self.lab, f"c{self.seed:x}", self.seed, RATE, DEVICES, seconds, qos=QOS)
        self.timed = FleetRun(self.lab, f"t{self.seed:x}", self.seed + 1, 200, 20, seconds, "mqtt", 0,
                              environment=self.environment_of_timed, qos=QOS)
        if not hasattr(self.lab, "chaos_runs"):
            self.lab.chaos_runs = {"all": [], "timed": []}
        self.lab.chaos_runs["all"] += [self.run.prefix, self.timed.prefix]
        self.lab.chaos_runs["timed"].append(self.timed.prefix)
        self.run.wait_for_load()

    def end(self):
        """Before its seconds are over."""
        self.run.end_load()
        self.timed.end_load()

    def make_rules(self):
        """The rules that all tests of a lab share."""
        if self.lab.stack.settings.kept("chaos_rule"):
            return
        for rule in (RULE, CRITICAL):
            self.lab.registry("CreateRule", rule=rule)
        eventually(lambda: self.lab.metrics("stream-processing", "millrace_stream_rules") >= 2, 60, "the rules to arrive")
        self.lab.stack.settings.keep("chaos_rule", "made")

    def wait_for_registry(self):
        """The first call over a connection that a fault cut may fail; the next one gets a new connection."""
        eventually(lambda: _answer(lambda: self.lab.registry("ListDevices", page_size=1)), 60, "device-registry to answer")

    def wait_for_query(self):
        return eventually(lambda: _answer(lambda: self.lab.query("GetReceipt", receipt="0:0")), 60, "query-api to answer")

    def note(self, **figures):
        self._figures.update(figures)

    def finish(self):
        """The verdicts: the fleet's own, an independent count in the database, and the ledger's sums against log and tables."""
        report = self.run.finish()
        timed = self.timed.finish()
        assert timed["acknowledged"] == timed["sent"], f"not everything was acknowledged in the end: {timed}"
        assert report["acknowledged"] == report["sent"], f"not everything was acknowledged in the end: {report}"
        rows, different = eventually(lambda: self._counted(report), 60, "the database to hold every message")
        assert rows == different == report["acknowledged"], (rows, different, report)
        self.note(ledger=ledger.check(self.lab, self._ledger)._asdict())
        self._publish(report)
        return report

    def _counted(self, report):
        rows, different = database_count(self.lab, self.run.prefix)
        return (rows, different) if different >= report["acknowledged"] else None

    def _publish(self, report):
        self.publish_figures(self.case, {
            "rate": RATE, "devices": DEVICES, "qos": QOS, "seed": self.seed,
            **{key: report.get(key) for key in ("sent", "acknowledged", "stored", "lost", "doubled", "wrong_value", "resent",
                                                "ack_ms", "readable_ms")}, **self._figures})

    def publish_figures(self, case, figures):
        line = json.dumps({"case": case, **figures})
        print(line)
        if os.environ.get("MILLRACE_CHAOS_FIGURES"):
            with open(os.environ["MILLRACE_CHAOS_FIGURES"], "a", encoding="utf-8") as file:
                file.write(line + "\n")


def stream_verdict_of(lab):
    """The third verdict, on all runs of the lab so far: windows and alerts are those of the undisturbed run."""
    everyone, timed = lab.chaos_runs["all"], lab.chaos_runs["timed"]
    stream_verdict.wait_until_closed(lab)
    faults = stream_verdict.settled(lambda: stream_verdict.window_faults(lab, everyone), lambda found: not found)
    assert not faults, (f"{len(faults)} windows of the devices {sorted({fault[0] for fault in faults})} are not those of the rows "
                        f"(device, metric, start, n, n found, mean, found): {faults[:20]}")
    expected = stream_verdict.expected_alerts(lab, timed, RULE["metric"], rule_is_met, rule_is_over)
    found = stream_verdict.settled(lambda: stream_verdict.found_alerts(lab, timed, RULE["rule"]),
                                   lambda answer: answer == expected)
    missing, extra = sorted(set(expected) - set(found), key=str), sorted(set(found) - set(expected), key=str)
    assert not missing and not extra, f"alerts missing: {missing[:10]}, too many: {extra[:10]}"
    assert len(found) == len(set(found)), "an alert was raised twice"
    assert not (broken := stream_verdict.alert_event_faults(lab, RULE["rule"])), broken
    return {"runs": len(everyone), "windows": stream_verdict.window_count(lab, everyone), "alerts": len(found)}


class Since:
    """Seconds since it was made."""

    def __init__(self):
        self._begun = time.monotonic()

    def __float__(self):
        return time.monotonic() - self._begun


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
