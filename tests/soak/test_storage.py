"""Exactly once, for as long as it takes: two writers and the database are killed at random under load. The devices' own
verdict, the ledger, and the log against the table.

MILLRACE_SOAK_KILLS (200) and MILLRACE_CHAOS_SEED, _RATE and _QOS set what is tried; MILLRACE_CHAOS_FIGURES is where the figures go.
"""
import os
import random
import time
from collections import Counter

import log_rows
from fleet_run import written
from http_device import HttpDevice
from load import Load
from millrace_dev.say import DevError
from millrace_lab import eventually

KILLS = int(os.environ.get("MILLRACE_SOAK_KILLS", "200"))
SEED = int(os.environ.get("MILLRACE_CHAOS_SEED") or random.randrange(1, 1 << 31))
STORED = 3  # RECEIPT_STATE_STORED
KILLS_OF_A_RUN = 40  # then the devices ask for all that they have sent


class Victims:
    """A kill counts only after its victim has committed a batch since the last one: else there was nothing to lose."""

    def __init__(self, lab, writers):
        self._lab = lab
        self._writers = writers
        self._written = 0  # when the database was killed last
        self.killed = Counter()

    def kill_one(self, dice):
        victim = dice.choice([*self._writers, "postgres"])
        eventually(lambda: self._has_committed(victim), 300, f"{victim} to commit a batch")
        time.sleep(dice.random())  # at any moment of its next batches
        if victim == "postgres":
            self._written = max(self._written, self._written_now() or 0)
        self._lab.kill(victim)
        self._lab.begin(victim)
        self.killed[victim] += 1

    def _has_committed(self, victim):
        if victim == "postgres":
            return (self._written_now() or 0) > self._written
        try:
            return self._lab.metrics(victim, "millrace_storage_writer_batches_total") > 0
        except OSError:
            return False  # not up again yet

    def _written_now(self):
        try:
            return written(self._lab)
        except DevError:
            return None  # it recovers


def _check_the_comparison(lab):
    """It must see one row too few and one too many."""
    device = HttpDevice(lab, "compared", lab.create_device("compared"))
    values = [1.5, 2 ** 60, True, "a\tb\\c\n", [1, 2], -0.0, 1e300]
    receipts = [device.send({"v": value, "w": number}) for number, value in enumerate(values)]
    for receipt in receipts:
        eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == STORED, 60, f"{receipt} to be stored")
    # A time of the device that the platform has stamped already: the stamped point gives way.
    taken = lab.sql("SELECT to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM storage.sample WHERE value = 4")
    receipt = device.send({"ts": taken[0][0], "w": 44})
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == STORED, 60, f"{receipt} to be stored")
    assert log_rows.compare(lab, written(lab)) == (2 * len(values) + 1, [], [])
    lab.sql("UPDATE storage.sample SET value = value + 100 WHERE value = 3")
    count, missing, extra = log_rows.compare(lab, written(lab))
    assert [row[3] for row in missing] == ["3"] and [row[3] for row in extra] == ["103"], (missing, extra)
    lab.sql("UPDATE storage.sample SET value = value - 100 WHERE value = 103")
    lab.sql("INSERT INTO storage.sample SELECT * FROM storage.sample WHERE value = 5")
    count, missing, extra = log_rows.compare(lab, written(lab))
    assert not missing and [row[3] for row in extra] == ["5"], (missing, extra)
    lab.sql("DELETE FROM storage.sample WHERE ctid = (SELECT max(ctid) FROM storage.sample WHERE value = 5) AND value = 5")
    assert log_rows.compare(lab, written(lab)) == (count, [], [])


def test_random_kills_of_writers_and_database(lab):
    lab.allowed_errors |= {"database", "PostgreSQL", "connection", "transaction", "recovery", "fenced", "offset", "group"}
    print(f"seed {SEED}")
    _check_the_comparison(lab)
    dice = random.Random(SEED)
    second = "storage-writer-two"
    lab.add_service("storage-writer", second).wait_ready()
    victims = Victims(lab, ["storage-writer", second])
    begun = time.monotonic()
    sent = 0
    for run in range(-(-KILLS // KILLS_OF_A_RUN)):
        load = Load(lab, "random kills", SEED + 10 * run)
        try:
            load.start(3600)
            for _ in range(min(KILLS_OF_A_RUN, KILLS - sum(victims.killed.values()))):
                victims.kill_one(dice)
            for name in ("postgres", "storage-writer", second):
                lab.wait_ready(name)
            load.run.wait_for_more(1000)
            load.end()
            load.note(victim=dict(victims.killed), fault="SIGKILL", seconds=round(time.monotonic() - begun))
            sent += load.finish()["sent"]
        finally:
            for fleet in (load.run, load.timed):
                if fleet is not None:
                    fleet.stop()
    copies = int(lab.sql("SELECT count(*) FROM storage.dropped_copy")[0][0])
    assert copies == 0, f"{copies} copies: no gateway was killed, and log_rows.py knows no rules about copies"
    rows, missing, extra = log_rows.compare(lab, written(lab))
    assert not missing and not extra, f"only in the log: {missing}; only in the database: {extra}"
    assert rows >= sent
    print(f"{dict(victims.killed)} kills, {sent} messages, {rows} rows of the log are those of the table")
    load.publish_figures("log and table", {"rows": rows, "kills": dict(victims.killed), "sent": sent})
