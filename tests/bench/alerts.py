"""a critical reading at 5,000 messages/s: from the device's sending to the alert on the topic and at the webhook"""
import threading
import time

import protos
import raw_kafka
from bench_lab import bench_lab, fleet, percentile
from http_device import HttpDevice
from millrace_dev import bench, say
from millrace_lab import eventually
from webhook_receiver import WebhookReceiver

RATE = 5000
SECONDS = 40
PAUSE = 0.05  # between critical readings
RULES = (
    {"rule": "bench-critical", "metric": "heat", "raise": "value > 90", "severity": 3, "enabled": True},
    {"rule": "bench-load", "metric": "sequence", "raise": "value % 1000 == 3", "clear": "value % 1000 == 5", "severity": 2,
     "device_prefix": "load", "enabled": True},
)


class Arrivals:
    """When the raised alerts of the probe came by, by the time that the device gave its reading."""

    def __init__(self, lab):
        self.seconds = {}
        self._message = protos.alerts().Alert
        self._tail = raw_kafka.Tail(lab.stack.kafka.bootstrap, "millrace.alerts")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self):
        self._tail.end()
        self._thread.join()

    def _read(self):
        for arrived, value in self._tail:
            alert = self._message.FromString(value)
            if alert.rule == "bench-critical" and alert.state == 1:
                self.seconds[alert.raised_at_us] = arrived - alert.raised_at_us / 1e6


def run(_layout):
    with bench_lab() as lab, WebhookReceiver() as receiver:
        for rule in RULES:
            lab.registry("CreateRule", rule=rule)
        receiver.secret(lab.registry("SetWebhook", url=receiver.url()).secret)
        eventually(lambda: lab.metrics("stream-processing", "millrace_stream_rules") >= len(RULES), 60, "the rules to arrive")
        probe = HttpDevice(lab, "probe", lab.create_device("probe"))
        topic = Arrivals(lab)
        eventually(lambda: _critical(probe) and topic.seconds, 60, "a first alert", interval=0.5)
        reports = []
        with say.Step(f"{RATE} messages/s for {SECONDS} s, a critical reading every {PAUSE * 1000:.0f} ms"):
            load = threading.Thread(target=lambda: reports.append(fleet(lab, RATE, SECONDS, "--prefix", "load")))
            load.start()
            time.sleep(5)  # connections and the first second of windows
            sent = []
            while load.is_alive() and len(sent) < (SECONDS - 10) / PAUSE:
                sent.append(_critical(probe))
                time.sleep(PAUSE)
            load.join()
        eventually(lambda: all(one in topic.seconds for one in sent), 60, "every alert on the topic")
        at_webhook = eventually(lambda: _delivered(receiver, sent), 60, "every alert at the webhook")
        topic.close()
        on_topic = [topic.seconds[one] for one in sent]
        report = reports[0]
        return [
            bench.row("load", round(report["rate"]), "messages/s"),
            bench.row("critical readings", len(sent), "messages"),
            bench.row("reading to alert on the topic p50", round(percentile(on_topic, 0.5) * 1e3, 1), "ms"),
            bench.row("reading to alert on the topic p99", round(percentile(on_topic, 0.99) * 1e3, 1), "ms", 100),
            bench.row("reading to alert at the webhook p50", round(percentile(at_webhook, 0.5) * 1e3, 1), "ms"),
            bench.row("reading to alert at the webhook p99", round(percentile(at_webhook, 0.99) * 1e3, 1), "ms", 5000),
        ]


def _critical(probe):
    """Sends a critical reading and one that ends it; returns the time of the first."""
    now_us = time.time_ns() // 1000
    probe.send({"ts": now_us, "heat": 100})
    probe.send({"ts": now_us + 1, "heat": 0})
    return now_us


def _delivered(receiver, sent):
    """Seconds to the webhook, once all are there."""
    came = {int(one.alert["raisedAtUs"]): one.at for one in reversed(receiver.delivered())
            if one.alert.get("rule") == "bench-critical" and one.alert.get("state") == "STATE_RAISED"}
    return [came[one] - one / 1e6 for one in sent] if all(one in came for one in sent) else None
