"""2,000,000 devices: imported over a kill, known to restarted services, and half of them publish once"""
import os
import time
from pathlib import Path

from bench_lab import bench_lab
from device_fleet import (Import, check_tokens, count_lines, publish_once, summary, tokens_of, wait_for_lines,
                          wait_until_known, write_fleet)
from millrace_dev import bench, say

DEVICES = int(os.environ.get("MILLRACE_BENCH_DEVICES", "2000000"))
CONNECTIONS = 1000
# Services that keep a copy of the devices; the gateway's is the one with a budget. (stream-processing keeps none: it knows
# devices by their readings.)
KEEPERS = ("protocol-gateway", "device-registry", "storage-writer", "query-api")


def run(_layout):
    with bench_lab() as lab:
        few = _memory_after_restart(lab, 0)
        file = lab.folder / "fleet.csv"
        write_fleet(file, DEVICES, "meter")
        rows = _import(lab, file)
        many = _memory_after_restart(lab, DEVICES)
        for name in KEEPERS:
            budget = (60, 200) if name == "protocol-gateway" else (None, None)
            rows.append(bench.row(f"{name}: ready, all devices known after", round(many[name][0], 1), "s", budget[0]))
            rows.append(bench.row(f"{name}: memory per device", round((many[name][1] - few[name][1]) / DEVICES), "B", budget[1]))
        return rows + _publish(lab, file)


def _memory_after_restart(lab, devices):
    """{service: (seconds until it was ready and knew so many devices, bytes resident then)}, one after the other. Not every
    service waits for its copy before it says that it is ready."""
    found = {}
    for name in KEEPERS:
        with say.Step(f"{name} starts anew"):
            lab.member(name).stop()
            begun = time.monotonic()
            lab.restart(name, timeout=600)
            wait_until_known(lab, [name], devices, 600)
            found[name] = (time.monotonic() - begun, _resident(lab, name))
    return found


def _resident(lab, name):
    for line in Path(f"/proc/{lab.member(name).process.pid()}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{name} has no resident memory")


def _import(lab, file):
    tokens = tokens_of(file)
    with say.Step(f"{DEVICES} devices: the first half"):
        first = Import(lab, file)
        wait_for_lines(tokens, first, DEVICES // 2, 3600)
        first.kill()
        half = count_lines(tokens)
    with say.Step("the same call again, to the end"):
        second = Import(lab, file)
        created, there, refused = summary(second.finish())
    check_tokens(tokens, DEVICES)
    with say.Step("all services know them"):
        begun = time.monotonic()
        wait_until_known(lab, KEEPERS, DEVICES, 3600)
        behind = time.monotonic() - begun
    return [
        bench.row("devices imported", DEVICES, "devices"),
        bench.row("lines when the import was killed", half, "lines"),
        bench.row("devices without a token afterwards", DEVICES - created - there, "devices", 0),
        bench.row("lines refused", refused, "lines", 0),
        bench.row("import, both calls together", round(DEVICES / (first.seconds + second.seconds)), "devices/s", 5000, at_most=False),
        bench.row("peak memory of the importer, first call", round(first.peak_bytes / 2**20), "MiB", 100),
        bench.row("peak memory of the importer, second call", round(second.peak_bytes / 2**20), "MiB", 300),
        bench.row("last service knows the last device after", round(behind, 1), "s"),
    ]


def _publish(lab, file):
    """Every other device, so that both calls' tokens are used."""
    some = file.with_name("half.csv")
    with open(tokens_of(file), encoding="ascii") as source, open(some, "w", encoding="ascii") as out:
        out.writelines(line for number, line in enumerate(source) if number == 0 or number % 2 == 1)
    count = count_lines(some)
    with say.Step(f"{count} devices publish once"):
        report = publish_once(lab, some, CONNECTIONS)
    return [
        bench.row("devices that publish once", count, "devices"),
        bench.row("acknowledged", report["acknowledged"], "messages", count, at_most=False),
        bench.row("lost", report["lost"], "messages", 0),
        bench.row("doubled", report["doubled"], "messages", 0),
        bench.row("with a wrong value", report["wrong_value"], "points", 0),
        bench.row("connect, publish, acknowledgement, disconnect", round(report["rate"]), "devices/s"),
        bench.row("turn to acknowledgement, p99", report["ack_ms"]["p99"], "ms"),
        bench.row("in the database after the last one", report["caught_up_s"], "s"),
    ]
