"""What the benchmarks of the whole system share: a system of its own with Kafka's full compiler, a fleet, CPU by process."""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

from millrace_dev import bench, kafka, say
from millrace_dev.processes import sweep, tree
from millrace_dev.say import DevError
from millrace_lab import Lab, remove_folder


@contextlib.contextmanager
def bench_lab(extra=None, folder=None, database=None):
    """A started system on free ports; its folder is removed afterwards. `extra`: further settings by service. `folder`: one that is
    kept with all its data, for the next run. `database`: further settings of PostgreSQL."""
    if folder:
        sweep(folder)  # of a run that was killed
    lab = Lab(folder=folder, jvm=kafka.LARGE)
    for name, values in (extra or {}).items():
        lab.stack.services[name].extra.update(values)
    lab.stack.postgres.extra.update(database or {})
    try:
        with say.Step("a system of its own"):
            lab.start()
        yield lab
    finally:
        lab.close()
        if not folder:
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


def figure(name, value, unit, target=None, at_most=True, floor=None):
    def rounded(one):
        return None if one is None else round(one) if abs(one) >= 1000 else round(float(one), 2)
    return bench.row(name, rounded(value), unit, target, at_most, rounded(floor))


def write_credentials(lab, prefix, count):
    """Makes devices <prefix>-0..; returns the file of their tokens that millrace-fleet reads."""
    tokens = lab.create_devices([f"{prefix}-{number}" for number in range(count)])
    file = lab.folder / f"{prefix}.csv"
    file.write_text("device,token\n" + "".join(f"{one},{token}\n" for one, token in tokens.items()), encoding="ascii")
    return file


def mqtt_connections(lab, gateway):
    return lab.metrics(gateway.name, "millrace_gateway_mqtt_connections")


def resident(gateway):
    """Bytes; the middle of several looks, since buffers for Kafka come and go."""
    found = []
    for _ in range(9):
        with open(f"/proc/{gateway.process.pid()}/status", encoding="ascii") as status:
            found += [int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:")]
        time.sleep(0.3)
    return statistics.median(found)


class Background:
    """A fleet that runs until it is told to end."""

    def __init__(self, lab, rate, *more):
        self._command = fleet_command(lab, rate, 0, *more)
        self._environment = lab.environment
        self._child = None

    def __enter__(self):
        self._child = subprocess.Popen(self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
        return self

    def finish(self):
        """Its report."""
        self._child.send_signal(signal.SIGTERM)
        return json.loads(self._child.communicate(timeout=300)[0])

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()
