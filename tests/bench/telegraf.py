"""the whole path beside mosquitto, Telegraf, Kafka, Telegraf and PostgreSQL: rate, CPU a message, lost and doubled after the same kills"""
import os
import threading
import time

from bench_lab import bench_lab, figure, fleet, process_cpu, write_credentials
from millrace_dev import bench, packages, say, toolchain
from millrace_dev.say import DevError
from millrace_lab import eventually
from telegraf_path import TelegrafPath

SECONDS = int(os.environ.get("MILLRACE_BENCH_SECONDS", "60"))
DEVICES = 200
POINTS = 3  # of a message, the sequence among them
KILL_RATE = 2_000  # messages/s
MOST_BEHIND = 2.0  # seconds
LEAST = 500  # messages/s: below, the search for the highest rate ends
PATH = ("device-registry", "protocol-gateway", "storage-writer", "query-api")  # query-api only for the check afterwards
QUIET = 30  # seconds without a new row: nothing more is coming
# Telegraf's agents wait 200 ms for company (telegraf_path.py). By default the gateway waits 2 ms and the writer 8, which costs CPU.
AS_PATIENT = {"protocol-gateway": {"MILLRACE_PROTOCOL_GATEWAY_KAFKA_LINGER_US": "200000"},
              "storage-writer": {"MILLRACE_STORAGE_WRITER_BATCH_LINGER_MS": "200"}}


def run(layout):
    packages.install(packages.BENCH, layout.install_logs)
    program = toolchain.install_telegraf(layout)
    with bench_lab() as lab:
        credentials = write_credentials(lab, "meter", DEVICES)
        for service in lab.stack.services.values():
            service.stop()
        with TelegrafPath(lab, program) as path:
            theirs = Theirs(lab, credentials, path)
            theirs.wait_for_first()
            their_highest = _highest(theirs)
            their_damage = _kills(theirs, ("telegraf-to-postgres", "postgres", "telegraf-to-kafka"))
        for name in PATH:
            lab.begin(name)
            lab.wait_ready(name)
        ours = Ours(lab, credentials)
        our_same = _load(ours, their_highest["rate"], SECONDS)
        our_highest = _highest(ours)
        our_damage = _kills(ours, ("storage-writer", "postgres", "protocol-gateway"))
        for name, settings in AS_PATIENT.items():
            lab.stack.services[name].extra.update(settings)
            lab.stack.services[name].stop()
            lab.restart(name)
        our_patient = _load(ours, their_highest["rate"], SECONDS)
    return _rows(our_highest, (our_same, our_patient), our_damage, their_highest, their_damage)


def _rows(highest, at_theirs, damage, their_highest, their_damage):
    same, patient = at_theirs
    rows = [figure("highest rate that is stored in time", highest["rate"], "messages/s", 2 * round(their_highest["rate"]), at_most=False,
                   floor=their_highest["rate"]),
            figure(f"CPU of all servers, both at {their_highest['rate']:.0f}/s", same["us"], "us/message", round(their_highest["us"] / 2, 1),
                   floor=their_highest["us"]),
            figure("the same, ours as patient as Telegraf (200 ms)", patient["us"], "us/message", round(their_highest["us"] / 2, 1),
                   floor=their_highest["us"]),
            figure("CPU of all servers, ours at its own highest rate", highest["us"], "us/message")]
    for name, share in sorted(same["cpu"].items()):
        rows.append(figure(f"of it, {name}", share, "us/message"))
    for name, share in sorted(their_highest["cpu"].items()):
        rows.append(figure(f"Telegraf's path, {name}", share, "us/message"))
    for what in ("lost", "doubled"):
        rows.append(bench.row(f"{what}, of {damage['acknowledged']} acknowledged over three kills", damage[what], "messages", 0,
                              floor=their_damage[what]))
    return rows


class Theirs:
    name = "Telegraf"

    def __init__(self, lab, credentials, path):
        self.lab, self._credentials, self._path = lab, credentials, path

    def wait_for_first(self):
        """A message before Telegraf's subscription goes nowhere; from then on mosquitto keeps them for its session."""
        with say.Step("Telegraf's first row"):
            eventually(lambda: self.load(1, 1) and self._path.rows(), 300, "Telegraf to store a message", interval=1)
            time.sleep(5)  # what was under way comes before the first run counts

    def load(self, rate, seconds):
        return fleet(self.lab, rate, seconds, "--mqtt", self._path.address, "--credentials", self._credentials, devices=DEVICES)

    def begin_run(self):
        self._path.forget()

    def missing(self, report):
        return report["acknowledged"] - self._path.rows()

    def cpu(self):
        return self._path.cpu()

    def kill(self, name):
        if name == "postgres":
            self.lab.kill(name)
            self.lab.restart(name)
        else:
            self._path.kill(name)
            self._path.begin(name)

    def expect_damage(self):
        """Nothing to do: the table is looked at afterwards."""

    def damage(self, report):
        """Once nothing more comes."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET:
            if (now := self._path.rows()) != seen:
                seen, since = now, time.monotonic()
            time.sleep(1)
        different = self._path.different()
        return {"acknowledged": report["acknowledged"], "lost": max(0, report["acknowledged"] - different), "doubled": seen - different}


class Ours:
    name = "Millrace"

    def __init__(self, lab, credentials):
        self.lab, self._credentials, self._verify, self._stored = lab, credentials, (), 0

    def load(self, rate, seconds):
        return fleet(self.lab, rate, seconds, "--credentials", self._credentials, *self._verify, devices=DEVICES)

    def begin_run(self):
        self._stored = self._points()

    def missing(self, report):
        return report["acknowledged"] * POINTS - (self._points() - self._stored)

    def _points(self):
        """By the ledger, which moves in the transactions of the rows."""
        return int(self.lab.sql("SELECT coalesce(sum(inserted), 0) FROM storage.ledger_hour")[0][0])

    def cpu(self):
        pids = {name: self.lab.member(name).process.pid() for name in (*PATH, "kafka", "postgres")}
        return {name: process_cpu(pid) for name, pid in pids.items()}

    def kill(self, name):
        self.lab.kill(name)
        self.lab.restart(name)

    def expect_damage(self):
        """The fleet follows every acknowledged message to its row."""
        self._verify = ("--verify",)

    def damage(self, report):
        self._verify = ()
        return {name: report[name] for name in ("acknowledged", "lost", "doubled")}


def _load(path, rate, seconds):
    """Messages/s until all were stored, and the CPU of each server in microseconds a message until then."""
    with say.Step(f"{path.name}: {rate:.0f} messages/s for {seconds} s" if rate else f"{path.name}: full speed for {seconds} s"):
        path.begin_run()
        before = path.cpu()
        report = path.load(round(rate), seconds)
        ended = time.monotonic()
        eventually(lambda: path.missing(report) <= 0, 900, "all messages to be stored", interval=0.2)
        behind = time.monotonic() - ended
        after = path.cpu()
    acknowledged = report["acknowledged"]
    if not acknowledged:
        raise DevError(f"no message was acknowledged: {report}")
    cpu = {name: (after[name] - before[name]) * 1e6 / acknowledged for name in after}
    say.line(f"    {acknowledged} acknowledged at {report['rate']:.0f}/s, {behind:.1f} s behind, {sum(cpu.values()):.1f} us a message")
    return {"rate": report["rate"], "kept": acknowledged / (report["seconds"] + behind), "behind": behind, "cpu": cpu, "us": sum(cpu.values())}


def _highest(path):
    """The highest rate at which the store keeps up for the whole run: from what full speed got stored, downwards."""
    rate = 0.9 * _load(path, 0, min(10, SECONDS))["kept"]
    while rate >= LEAST:
        done = _load(path, rate, SECONDS)
        if done["behind"] <= MOST_BEHIND and done["rate"] >= 0.97 * rate:
            return done
        rate = 0.93 * done["kept"]
    raise DevError(f"{path.name}: not even {LEAST} messages/s hold")


def _kills(path, victims):
    """The same load and the same moments for both; each victim is started again at once."""
    with say.Step(f"{path.name}: {KILL_RATE} messages/s for {SECONDS} s, {len(victims)} kills"):
        path.begin_run()
        path.expect_damage()
        reports = []
        load = threading.Thread(target=lambda: reports.append(path.load(KILL_RATE, SECONDS)))
        load.start()
        for victim in victims:
            time.sleep(SECONDS / (len(victims) + 1))
            path.kill(victim)
        load.join()
        if not reports:
            raise DevError(f"{path.name}: the fleet failed")
        damage = path.damage(reports[0])
    say.line(f"    {damage['acknowledged']} acknowledged, {damage['lost']} lost, {damage['doubled']} doubled")
    return damage
