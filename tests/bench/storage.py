"""the writing side: storage-writer from Kafka to COPY, CPU and bytes a point, wide tables, compaction, Parquet, 1 to 100 days stored; beside a raw COPY"""
import datetime
import os

from bench_lab import figure
from millrace_dev import bench, say
from millrace_dev.say import DevError
from stored_days import compact, copy_days
from wide_table import wide_rows
from writer_lab import writer_lab

DAYS = int(os.environ.get("MILLRACE_BENCH_DAYS", "1"))  # of telemetry, 2,008,800 points each; up to 7
# Some of them, with commas between; those behind `writer` need what it has stored.
PARTS = os.environ.get("MILLRACE_BENCH_PARTS", "statements,writer,bytes,wide,history").split(",")
HISTORY = (1, 10, 100)  # days stored
# DAYS of telemetry, then those that `history` measures with; the copies that it stores lie before. All in the past.
FIRST = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=30)
OLDEST = FIRST - datetime.timedelta(days=200)  # stored without `latest`, then archived
NEVER_MS = 60_000  # the longest LATEST_INTERVAL_MS: longer than the run


def run(_layout):
    with writer_lab() as lab:
        lab.sql("CREATE DATABASE floor", "postgres")
        rows, raw = _statements(lab)
        if "writer" in PARTS:
            rows += _writer(lab, raw)
        if "bytes" in PARTS:
            rows += _hot_and_archived(lab)
        if "wide" in PARTS:
            rows += wide_rows(lab, FIRST)
        if "history" in PARTS or "bytes" in PARTS:
            rows += _compacted(lab)
        if "history" in PARTS:
            rows += _history(lab)
    return rows


def _statements(lab):
    """COPY alone, on the server of everything else; the second value is the raw rate that all ratios are against."""
    with say.Step("floor: raw COPY, and the statements of the writer and of a wide table"):
        one = _rates(lab, "." if "statements" in PARTS else "raw_heap")
    raw = one["raw_heap_copy"]
    rows = [bench.row("binary COPY into a heap without index, one session", raw, "rows/s")]
    for name, target, told in (("offset_and_sorted_copy", 0.22, "offset and sorted COPY into the indexed partition, statements alone"),
                               ("wide_copy", 0.5, "wide table with index, statements alone: values")):
        if name in one:
            rows += [bench.row(told, one[name], "rows/s", floor=raw),
                     figure(f"{told}, share of the raw COPY", one[name] / raw, "", target, at_most=False)]
    return rows, raw


def _rates(lab, which):
    done = lab.program("storage_bench", f"--benchmark_filter={which}", "--benchmark_format=json",
                       MILLRACE_TEST_DATABASE_URL=lab.url_of("floor"))
    failed = [one["error_message"] for one in done["benchmarks"] if one.get("error_occurred")]
    if failed:
        raise DevError(f"storage_bench: {failed[0]}")
    return {one["name"].split("/")[0]: round(one["items_per_second"]) for one in done["benchmarks"]}


def _writer(lab, raw):
    with say.Step("storage-writer, a day in the log, latest not written meanwhile"):
        lab.fill(OLDEST, 1)
        bare = lab.store(LATEST_INTERVAL_MS=NEVER_MS)
    with say.Step(f"storage-writer, {DAYS} days in the log"):
        lab.fill(FIRST, DAYS)
        whole = lab.store(LATEST_INTERVAL_MS=1_000)
    # The machine may have changed meanwhile.
    raw = (raw + _rates(lab, "raw_heap")["raw_heap_copy"]) / 2
    rows = []
    for told, one, target in (("storage-writer from Kafka, copy rules on, latest not written", bare, 0.22),
                              ("storage-writer from Kafka, copy rules on, latest every second", whole, 0.18)):
        rows += [figure(f"{told}: points", one["points_per_s"], "points/s", floor=raw),
                 figure(f"{told}: share of the raw COPY", one["points_per_s"] / raw, "", target, at_most=False),
                 figure(f"{told}: CPU of storage-writer", one["writer_us"], "us/point", 0.6),
                 figure(f"{told}: CPU of PostgreSQL", one["database_us"], "us/point")]
    return rows


def _hot_and_archived(lab):
    """What `_writer` has stored, as it left it, and a day of it as a file."""
    points = lab.number("SELECT count(*) FROM storage.sample")
    parts = "FROM pg_inherits WHERE inhparent = 'storage.sample'::regclass"
    heap = lab.number(f"SELECT sum(pg_relation_size(inhrelid)) {parts}") / points
    index = lab.number(f"SELECT sum(pg_indexes_size(inhrelid)) {parts}") / points
    with say.Step("a day archived"):
        archived = lab.archive(OLDEST)
    return [figure("bytes a point, hot, as the writer left it", heap + index, "B", 90),
            figure("bytes a point, its index", index, "B"),
            figure("bytes a point, Parquet", archived["bytes"], "B", 3.2),
            figure("archived, read back and dropped", archived["points_per_s"], "points/s")]


def _compacted(lab):
    with say.Step("a day compacted"):
        packed = compact(lab, FIRST)
    return [figure("bytes a point, compacted, with index", packed["bytes"], "B", 13),
            figure("bytes a point, roll-ups beside it", packed["roll_up_bytes"], "B"),
            figure("compaction, one session, roll-ups included", packed["points_per_s"], "points/s"),
            figure("longest time that the day was locked", packed["locked_ms"], "ms")]


def _history(lab):
    """The rate of the writer with more and more compacted days before the ones it writes."""
    rates, number = {}, DAYS
    for stored in HISTORY:
        with say.Step(f"storage-writer with {stored} days stored"):
            there = int(lab.number("SELECT count(*) FROM storage.day WHERE state = 3"))
            copy_days(lab, FIRST, FIRST - datetime.timedelta(days=stored - 1), stored - there)
            found = []
            for _ in range(2):  # the better one: what disturbs only makes it slower
                lab.fill(FIRST + datetime.timedelta(days=number), 1)
                number += 1
                found.append(lab.store(LATEST_INTERVAL_MS=1_000)["points_per_s"])
            rates[stored] = max(found)
    least = HISTORY[0]
    rows = [figure(f"storage-writer with {stored} days stored", rate, "points/s", floor=rates[least]) for stored, rate in rates.items()]
    return rows + [figure(f"with {stored} days stored, share of the rate with {least}", rate / rates[least], "", 0.9, at_most=False)
                   for stored, rate in rates.items() if stored != least]
