"""reads of 14 million points through query-api beside the same SQL over libpq, exports, live tails, and what 100 days of history cost"""
import contextlib
import json
import os
import subprocess
import time

import query_data
from bench_lab import Background, bench_lab, figure, process_cpu
from millrace_dev import bench, say
from millrace_dev.say import DevError
from millrace_dev.services import DATABASE
from millrace_lab import eventually

DEVICES = int(os.environ.get("MILLRACE_BENCH_DEVICES", "10000"))  # 1 of 200 gives a reading every 30 s, the others every 40 minutes
DAYS = int(os.environ.get("MILLRACE_BENCH_DAYS", "7"))
HISTORY = [int(days) for days in os.environ.get("MILLRACE_BENCH_HISTORY", "1,10,100").split(",")]
SECONDS = int(os.environ.get("MILLRACE_BENCH_SECONDS", "60"))  # of the tails; below 60 also fewer calls of the rest
PARTS = os.environ.get("MILLRACE_BENCH_PARTS", "latest,range,week,top,export,overhead,tail,history").split(",")
STEADY = 200  # requests/s
TAILS = min(1000, DEVICES // 2)
TAIL_RATE = 10_000  # messages/s
MINUTE = 60_000_000  # us
EXPORTS = {"CSV": 1}
# The services that the reads do not need stand still, their data with them: this is about reading.
QUIET = {"storage-writer": {"MILLRACE_STORAGE_WRITER_MAINTENANCE_INTERVAL_MS": "0"}}
# Warm means that the hot days fit into the memory of PostgreSQL itself; the system of the tests gives it 128 MB.
MEMORY = {"shared_buffers": "'2GB'"}


def run(layout):
    folder = query_data.prepared_folder(layout, query_data.wanted(DEVICES, DAYS, HISTORY))
    with bench_lab(QUIET, folder, MEMORY) as lab:
        data = query_data.load(lab, DEVICES, DAYS, HISTORY)
        rows = [bench.row("points", int(lab.sql("SELECT (SELECT count(*) FROM storage.sample) + (SELECT sum(n) FROM storage.segment)")[0][0]),
                          "points")]
        for part in PARTS:
            with say.Step(part):
                rows += globals()[f"_{part}"](Bench(lab, data))
        return rows


class Bench:
    """The client of one lab: asks query-api and the database in turn."""

    def __init__(self, lab, data, targets=None):
        self.lab, self.data = lab, data
        self._targets = targets or [(lab.stack.settings.address("query"), query_data.url(lab, DATABASE))]

    def client(self, kind, calls, rate, *arguments, devices=()):
        """What the client printed: an object, or a number, for each target."""
        done = subprocess.run(self.command(kind, calls, rate, *arguments), env=self.environment(), capture_output=True, text=True,
                              check=False, input=lines_of(devices))
        if done.returncode != 0:
            raise DevError(f"query_client {kind} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def command(self, kind, calls, rate, *arguments):
        return [str(self.lab.binaries / "query_client"), kind, str(calls), str(rate), *map(str, arguments)]

    def environment(self):
        return {**self.lab.environment, "MILLRACE_QUERY_ADDR": ",".join(address for address, _ in self._targets),
                "MILLRACE_DATABASE_URL": ",".join(url for _, url in self._targets)}

    def cpu(self):
        return process_cpu(self.lab.member("query-api").process.pid())

    def series(self, metric, database=DATABASE):
        """A metric's name and number, as the client wants them."""
        return metric, self.data.metric_ids[database][metric]

    def read(self, name, kind, calls, *arguments, devices, target=None, rate=0):
        """Rows of one read: through query-api, beside the bare statement."""
        calls = calls if SECONDS >= 60 else max(5, calls // 10)
        before = self.cpu()
        found = self.client(kind, calls, rate, *arguments, devices=devices)[0]
        spent = (self.cpu() - before) * 1e6 / (found["calls"] + min(len(devices), found["calls"]))
        say.line(f"    {name}: {found['p50']:.2f} ms (least {found['least']:.2f}), bare {found['bare_p50']:.2f} ms "
                 f"(least {found['bare_least']:.2f}), {found['rows']:.0f} rows")
        return [figure(f"{name}, p50", found["p50"], "ms", target, floor=found["bare_p50"]),
                figure(f"{name}, p99", found["p99"], "ms", floor=found["bare_p99"]),
                figure(f"{name}, CPU of query-api", spent, "us")], found


def lines_of(devices):
    return "".join(f"{name} {key}\n" for name, key in devices)


def _latest(one):
    return one.read("latest of one device", "latest", 5000, devices=one.data.slow(500), target=0.5)[0]


def _range(one):
    fast, slow = one.data.devices[:one.data.fast], one.data.slow(100)
    rows = []
    for tier, back in _tiers(one.data):
        for what, devices in (("fast", fast), ("slow", slow)):
            rows += one.read(f"24 h of one {what} series, {tier}", "range", 500, *one.series("temperature"), *one.data.bounds(back),
                             devices=devices, target=5)[0]
    return rows


def _week(one):
    return one.read(f"{one.data.days} days at 1 min of a fast series", "buckets", 200, *one.series("current"),
                    *one.data.bounds(0, one.data.days), MINUTE, devices=one.data.devices[:one.data.fast], target=20)[0]


def _top(one):
    rows = []
    for tier, back in _tiers(one.data):
        rows += one.read(f"top 10 of a day, {tier}", "top", 40, *one.series("humidity"), *one.data.bounds(back),
                         devices=one.data.devices[:1], target=80)[0]
    return rows


def _tiers(data):
    """(name, days back) of the newest day of each tier."""
    return [("hot", 0)] + ([("compacted", query_data.HOT_DAYS)] if data.days > query_data.HOT_DAYS else [])


def _export(one):
    rows = []
    for tier, back in _tiers(one.data):
        for name, number in EXPORTS.items():
            before = one.cpu()
            times = 3
            found = one.client("export", times, 0, *one.data.bounds(back), number)[0]
            spent = (one.cpu() - before) * 1e6 / times / found["points"]
            say.line(f"    {tier}, {name}: {found['points_per_s']:,} points/s, one COPY {found['bare_points_per_s']:,}")
            rows += [figure(f"export of a day, {tier}, {name}", found["points_per_s"], "points/s", 1_000_000, at_most=False,
                            floor=found["bare_points_per_s"]),
                     figure(f"export of a day, {tier}, {name}, CPU of query-api", spent, "us/point")]
    return rows


def _overhead(one):
    """At a steady rate: what query-api adds to the statement."""
    rows = []
    for name, kind, arguments in (("latest", "latest", ()),
                                  ("24 h of a slow series", "range", (*one.series("temperature"), *one.data.bounds(0)))):
        read, found = one.read(f"{name} at {STEADY} requests/s", kind, STEADY * 20, *arguments, devices=one.data.slow(500), rate=STEADY)
        rows += read + [figure(f"{name} at {STEADY} requests/s, over the bare SQL, p50", found["p50"] - found["bare_p50"], "ms", 0.3)]
    return rows


# --- tails ---

def _tail(one):
    seconds = max(5, SECONDS // 2)
    devices = one.data.devices[-TAILS:]
    client = subprocess.Popen(one.command("tail", 0, 0), env=one.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with client, contextlib.ExitStack() as ends:
        ends.callback(client.kill)
        client.stdin.write(lines_of(devices) + ".\n")
        client.stdin.flush()
        if client.stdout.readline() != "live\n":
            raise DevError("the tails did not become live")
        with Background(one.lab, TAIL_RATE, "--credentials", _credentials(one.lab, devices)) as load:
            taken = "millrace_query_tail_readings_total"
            eventually(lambda: one.lab.metrics("query-api", taken) > 0, 120, "the first reading at a tail")
            before, begun = one.cpu(), time.monotonic()
            time.sleep(seconds)
            cores = (one.cpu() - before) / (time.monotonic() - begun)
            report = load.finish()
        # What is acknowledged is in the log: it only has to come.
        sent = report["acknowledged"] * 3
        said, _ = client.communicate(f"{sent}\n", timeout=120)
    if client.returncode != 0:
        raise DevError("the tails did not get everything that was sent")
    found = json.loads(said)
    return [bench.row(f"{TAILS} tails: load", round(report["rate"]), "messages/s"),
            bench.row(f"{TAILS} tails: readings delivered", found["readings"], "readings", sent, at_most=False),
            bench.row(f"{TAILS} tails: readings missed", found["missed"], "readings", 0),
            figure(f"{TAILS} tails: from the device's making of a message, p50", found["p50"], "ms"),
            figure(f"{TAILS} tails: from the device's making of a message, p99", found["p99"], "ms", 300),
            figure(f"{TAILS} tails: to acknowledged in the same run, p99", report["ack_ms"]["p99"], "ms"),
            figure(f"{TAILS} tails: CPU of query-api", cores, "cores", 1)]


def _credentials(lab, devices):
    """The lines of these devices, of the file that their import wrote."""
    names = {name for name, _ in devices}
    heading, *lines = (lab.folder / "fleet.tokens.csv").read_text(encoding="ascii").splitlines()
    file = lab.folder / "tails.csv"
    file.write_text("\n".join([heading, *(line for line in lines if line.split(",")[0] in names)]) + "\n", encoding="ascii")
    return file


# --- what history costs ---

def _history(one):
    """The same reads of the newest day, and the same ingest, in turn in databases that differ in the days behind it."""
    query_data.load_history(one.lab, one.data)
    names = [f"query-history-{days}" for days in HISTORY]
    targets = []
    for name, days in zip(names, HISTORY):
        database = query_data.history_database(days)
        service = one.lab.add_service("query-api", name, {
            "MILLRACE_QUERY_API_DATABASE_URL": query_data.url(one.lab, database, "query_api")})
        service.wait_ready(300)
        targets.append((f"127.0.0.1:{service.ports['query']}", query_data.url(one.lab, database)))
    several = Bench(one.lab, one.data, targets)
    try:
        return _history_rows(several)
    finally:
        for name in names:
            one.lab.drop_service(name)


def _history_rows(several):
    data = several.data
    devices, fast = data.few()
    newest = query_data.history_database(HISTORY[0])
    if any(data.metric_ids[query_data.history_database(days)] != data.metric_ids[newest] for days in HISTORY):
        raise DevError("the databases gave the metrics different numbers")
    rows = []
    calls = 400 if SECONDS >= 60 else 40
    reads = (("latest of one device", "latest", calls * 4, (), devices),
             ("24 h of one fast series", "range", calls, (*several.series("temperature", newest), *data.bounds(0)), devices[:fast]),
             ("24 h of one slow series", "range", calls, (*several.series("temperature", newest), *data.bounds(0)), devices[fast:]),
             ("a day at 1 min", "buckets", calls, (*several.series("current", newest), *data.bounds(0), MINUTE), devices[:fast]),
             ("top 10 of a day", "top", calls // 8, (*several.series("humidity", newest), *data.bounds(0)), devices))
    for name, kind, count, arguments, asked in reads:
        found = several.client(kind, count, 0, *arguments, devices=asked)
        rows += _compared(name, [each["p50"] for each in found], "ms")
    found = several.client("export", 3, 0, *data.bounds(0), EXPORTS["CSV"])
    rows += _compared("export of a day", [1e6 / each["points_per_s"] for each in found], "us/point")
    found = several.client("ingest", 10, 0, data.end, devices=devices)
    return rows + _compared("ingest", [1e6 / each for each in found], "us/point")


def _compared(name, values, unit):
    """The first one stands beside the others as what they are compared with."""
    rows = [figure(f"{name}, {HISTORY[0]} day", values[0], unit)]
    for days, value in list(zip(HISTORY, values))[1:]:
        rows += [figure(f"{name}, {days} days", value, unit, floor=values[0]),
                 figure(f"{name}, {days} days to {HISTORY[0]}", value / values[0], "times", 1.1)]
    return rows
