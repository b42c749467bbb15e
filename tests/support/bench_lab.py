"""What the benchmarks of the whole system share: a system of its own with Kafka's full compiler, a fleet, CPU by process."""
import contextlib
import json
import os
import subprocess
from pathlib import Path

from millrace_dev import kafka, say
from millrace_dev.processes import tree
from millrace_dev.say import DevError
from millrace_lab import Lab, remove_folder


@contextlib.contextmanager
def bench_lab(extra=None):
    """A started system on free ports; its folder is removed afterwards. `extra`: further settings by service."""
    lab = Lab(jvm=kafka.LARGE)
    for name, values in (extra or {}).items():
        lab.stack.services[name].extra.update(values)
    try:
        with say.Step("a system of its own"):
            lab.start()
        yield lab
    finally:
        lab.close()
        remove_folder(lab)


def fleet_command(lab, rate, seconds, *more, devices=200):
    """millrace-fleet over MQTT QoS 1, two readings and a sequence number a message."""
    return [str(lab.binaries / "millrace-fleet"), "--devices", str(devices), "--rate", str(rate), "--duration", str(seconds),
            "--protocol", "mqtt", "--payload-points", "2", "--json", *map(str, more)]


def fleet(lab, rate, seconds, *more, devices=200):
    """Runs a fleet to its end; returns its report."""
    done = subprocess.run(fleet_command(lab, rate, seconds, *more, devices=devices), env=lab.environment, capture_output=True,
                          text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode not in (0, 1):
        raise DevError(f"millrace-fleet ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def cpu_seconds(lab):
    """CPU of each member so far, its children included."""
    return {name: process_cpu(member.process.pid()) for name, member in lab.stack.members().items()}


def process_cpu(root):
    """CPU seconds of a process and its descendants so far."""
    ticks = 0
    for pid in tree(root):
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in text[text.rindex(")") + 2:].split()[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def percentile(values, share):
    """The value below which so much of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
