"""Mosquitto and the bridge: messages while the bridge is killed again and again and Kafka hangs for twenty seconds (100,000
and ten kills with MILLRACE_CHAOS_LENGTH=full).

What Mosquitto acknowledged to the publishers and delivered to the bridge must be in the database once. Half way between,
untimed messages show that what the journal hands on again is known as a copy (rule 0): only the one message in hand at a
kill, which the broker delivers again, may be there twice.
"""
import json
import os
import random
import signal
import threading
import time

import pytest

from bridge_run import BridgeRun
from load import FULL, Since
from millrace_lab import eventually
from bridged_broker import Publisher

MESSAGES, KILLS = (100_000, 10) if FULL else (20_000, 4)
RATE = 1500
DEVICES = 20
UNTIMED_EVERY = 20  # one in so many is followed by an untimed one
HANG = 20
BEGIN_MS = 1_700_000_000_000


class _Load(threading.Thread):
    """Publishes at RATE until everything is acknowledged by Mosquitto, never more than `allowed` messages ahead of the
    faults: each of them meets messages on their way."""

    def __init__(self, port, devices):
        super().__init__()
        self.sent = 0
        self.allowed = 0
        self.acknowledged = None
        self._publisher = Publisher(port)
        self._devices = devices

    def run(self):
        begun, first = time.monotonic(), 0
        for number in range(MESSAGES):
            if number >= self.allowed:
                eventually(lambda wanted=number: self.allowed > wanted, 600, "the next fault", interval=0.01)
                begun, first = time.monotonic(), number
            topic = f"devices/{self._devices[number % DEVICES]}/telemetry"
            self._publisher.publish(topic, json.dumps({"sequence": number, "ts": BEGIN_MS + number}))
            if number % UNTIMED_EVERY == 0:
                self._publisher.publish(topic, json.dumps({"untimed": number}))
            self.sent = number + 1
            ahead = begun + (number - first) / RATE - time.monotonic()
            if ahead > 0.01:
                time.sleep(ahead)
        self.acknowledged = self._publisher.finish(300)


@pytest.mark.usefixtures("exact_ledger")
def test_bridge_killed_while_kafka_hangs(lab, tmp_path):
    lab.allowed_errors |= {"kafka", "Kafka", "broker"}
    seed = int(os.environ.get("MILLRACE_CHAOS_SEED") or random.randrange(1, 1 << 31))
    print(f"seed {seed}")
    chance = random.Random(seed)
    run = BridgeRun(lab, tmp_path, version=chance.choice(["5", "3.1.1"]))
    try:
        devices = run.make_devices(DEVICES)
        load = _Load(run.mosquitto.port, devices)
        piece = MESSAGES // (KILLS + 1)
        load.allowed = 2 * piece
        load.start()
        replayed = 0
        for kill in range(KILLS):
            load.allowed = (kill + 2) * piece
            goal = (kill + 1) * piece + chance.randrange(piece // 2)
            eventually(lambda goal=goal: load.sent >= goal, 600, f"{goal} messages sent")
            if kill == KILLS // 2:  # this kill finds a journal that Kafka has not taken
                lab.kill("kafka", signal.SIGSTOP)
                time.sleep(HANG)
            lab.kill(run.service)
            if kill == KILLS // 2:
                lab.kill("kafka", signal.SIGCONT)
            lab.begin(run.service)
            run.wait_connected()
            replayed += run.metric("millrace_gateway_bridge_replayed_total")
        load.allowed = MESSAGES
        load.join(900)
        assert not load.is_alive(), "the publishers did not end"
        untimed = (MESSAGES + UNTIMED_EVERY - 1) // UNTIMED_EVERY
        assert load.acknowledged == MESSAGES + untimed
        since = Since()
        rows, different = eventually(lambda: run.counted("sequence", MESSAGES), 300, "all messages in the database")
        untimed_rows, untimed_different = eventually(lambda: run.counted("untimed", untimed), 300, "the untimed ones")
        run.wait_until_idle()
        rows, different = run.counted("sequence", MESSAGES)
        untimed_rows, untimed_different = run.counted("untimed", untimed)
        figures = {"case": "bridge", "seed": seed, "messages": MESSAGES, "kills": KILLS, "rows": rows,
                   "different": different, "untimed": untimed, "untimed rows": untimed_rows, "replayed": int(replayed),
                   "behind_s": round(float(since), 1)}
        print(json.dumps(figures))
        if os.environ.get("MILLRACE_CHAOS_FIGURES"):
            with open(os.environ["MILLRACE_CHAOS_FIGURES"], "a", encoding="utf-8") as file:
                file.write(json.dumps(figures) + "\n")
        assert rows == different == MESSAGES
        assert untimed_different == untimed
        assert untimed_rows <= untimed + KILLS
        assert replayed > 0, "no kill found anything in the journal: the test proved less than it should"
    finally:
        run.close()
