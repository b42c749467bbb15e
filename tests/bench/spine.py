"""the whole path, MQTT QoS 1 with rules on: highest rate that holds, CPU of each process, latencies; beside bare Kafka and COPY"""
import json
import os
import subprocess
import threading
import time

from bench_lab import bench_lab, cpu_seconds, fleet
from millrace_dev import bench, say
from millrace_dev.say import DevError
from millrace_lab import eventually

SECONDS = int(os.environ.get("MILLRACE_BENCH_SECONDS", "60"))
STEADY = 5000
RECORD_BYTES = 300  # about what one message is in the log
# Behind at the end of a run by more than this: the rate did not hold.
MOST_BEHIND = 2.0  # seconds
LEAST = 10_000  # messages/s: below, the search for the highest rate ends
RULES = (
    {"rule": "bench-critical", "metric": "sequence", "raise": "value < 0", "severity": 3, "enabled": True},
    {"rule": "bench-load", "metric": "sequence", "raise": "value % 1000 == 3", "clear": "value % 1000 == 5", "severity": 2,
     "enabled": True},
)


def run(_layout):
    with bench_lab() as lab:
        for rule in RULES:
            lab.registry("CreateRule", rule=rule)
        eventually(lambda: lab.metrics("stream-processing", "millrace_stream_rules") >= len(RULES), 60, "the rules to arrive")
        floor = _floors(lab)
        steady = _load(lab, STEADY)
        highest = _highest(lab)
        half = _load(lab, round(highest["rate"] / 2))
    rows = [
        bench.row("bare librdkafka, one producer", floor["produce_per_s"], "records/s"),
        bench.row("bare librdkafka, one consumer", floor["consume_per_s"], "records/s"),
        bench.row("binary COPY into a heap", floor["raw_heap_copy"], "rows/s"),
        bench.row("offset and sorted COPY into the indexed table", floor["offset_and_sorted_copy"], "rows/s"),
        bench.row("highest rate that holds, into the database", round(highest["rate"]), "messages/s", 20_000, at_most=False,
                  floor=round(floor["offset_and_sorted_copy"] / 3)),
        bench.row("points of it", round(highest["rate"] * 3), "points/s", 60_000, at_most=False,
                  floor=floor["offset_and_sorted_copy"]),
    ]
    for name, report in ((f"at {STEADY}/s", steady), ("at half of the highest rate", half), ("at the highest rate", highest)):
        rows += _rows(name, report, floor)
    return rows


def _rows(name, report, floor):
    steady = name == f"at {STEADY}/s"
    rows = [bench.row(f"{name}: messages, lost, doubled", f"{report['acknowledged']:,}, {report.get('lost', '-')}, "
                      f"{report.get('doubled', '-')}", "")]
    for share in ("p50", "p99"):
        rows.append(bench.row(f"{name}: publish to acknowledged {share}", report["ack_ms"][share], "ms",
                              floor=floor[f"report_{share}_ms"] if steady else None))
    if "readable_ms" in report:
        for share, target in (("p50", 230), ("p99", 300)):
            rows.append(bench.row(f"{name}: publish to readable {share}", report["readable_ms"][share], "ms",
                                  target if steady else None))
    for member, microseconds in report["cpu"].items():
        rows.append(bench.row(f"{name}: CPU, {member}", microseconds, "us/message"))
    rows.append(bench.row(f"{name}: CPU, all servers", round(sum(report["cpu"].values()), 1), "us/message",
                          50 if name == "at the highest rate" else None))
    rows.append(bench.row(f"{name}: CPU, millrace-fleet", report["cpu_us_per_message"], "us/message"))
    return rows


def _load(lab, rate, seconds=SECONDS):
    """One verified run: the fleet's report, and the CPU of each member in microseconds a message, from the start until store
    and streams had caught up; the checks of --verify come after that."""
    with say.Step(f"{rate} messages/s for {seconds} s"):
        before, reports = cpu_seconds(lab), []
        run_of_fleet = threading.Thread(target=lambda: reports.append(fleet(lab, rate, seconds, "--verify")))
        run_of_fleet.start()
        begun = time.monotonic()
        time.sleep(seconds)
        after = eventually(lambda: _all_done(lab) and cpu_seconds(lab), 600, "the store to catch up")
        # With the second that the fleet needs to connect. What the fleet's report calls caught up has its reading of all rows in it.
        behind = time.monotonic() - begun - seconds
        run_of_fleet.join()
    if not reports:
        raise DevError("the fleet failed")
    report = reports[0]
    report["behind_s"] = round(behind, 1)
    report["cpu"] = {name: round((after[name] - before[name]) * 1e6 / report["acknowledged"], 2) for name in after}
    say.line(f"    {report['acknowledged']} acknowledged at {report['rate']:.0f}/s, {behind:.1f} s behind, "
             f"all servers {sum(report['cpu'].values()):.1f} us a message")
    return report


def _all_done(lab):
    return (lab.metrics("storage-writer", "millrace_storage_writer_lag_records") == 0
            and lab.metrics("stream-processing", "millrace_stream_lag_records") == 0)


def _highest(lab):
    """The highest rate at which storage and streams keep up for the whole run: from what a short run at full speed could
    store, downwards by what stayed behind."""
    fast = _load(lab, 0, seconds=15)
    rate = fast["acknowledged"] / (fast["seconds"] + fast["behind_s"]) * 0.9
    while rate >= LEAST:
        report = _load(lab, round(rate))
        if report["behind_s"] <= MOST_BEHIND and report["rate"] >= rate * 0.97:
            return report
        rate = 0.93 * report["acknowledged"] / (report["seconds"] + report["behind_s"])
    raise DevError(f"not even {LEAST} messages/s hold")


def _floors(lab):
    """What Kafka and PostgreSQL of this very system give to programs that do nothing else."""
    with say.Step("floors: bare librdkafka and COPY"):
        lab.millrace("admin", "topics", "--topic-prefix", "floor.")
        kafka = _program(lab, "kafka_floor", lab.stack.kafka.bootstrap, "floor.telemetry", 1_000_000, RECORD_BYTES, STEADY)
        lab.stack.postgres.sql("CREATE DATABASE floor")
        copy = _program(lab, "storage_bench", "--benchmark_format=json",
                        MILLRACE_TEST_DATABASE_URL=lab.stack.postgres.url("floor"))
        lab.stack.postgres.sql("DROP DATABASE floor")
    rates = {one["name"].split("/")[0]: round(one["items_per_second"]) for one in copy["benchmarks"]}
    return {**kafka, **rates}


def _program(lab, name, *arguments, **environment):
    done = subprocess.run([str(lab.binaries / name), *map(str, arguments)], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    if done.returncode != 0:
        raise DevError(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)
