"""The benchmark `path`: publish → acknowledged → readable at a steady rate, on a system of its own."""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import bench, environment, say, system
from .processes import tree
from .say import DevError
from .settings import Settings, free_ports
from .stack import Stack

RATE = 5000
SECONDS = 30


def run(layout):
    layout.bench.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="path-", dir=layout.bench))
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    stack = Stack(layout, Settings(folder, free_ports()))
    try:
        with say.Step("a system of its own"):
            system.start(stack)
        with say.Step(f"{RATE} messages/s for {SECONDS} s"):
            before = {name: _cpu(member) for name, member in stack.members().items()}
            report = _fleet(stack)
            spent = {name: _cpu(member) - before[name] for name, member in stack.members().items()}
    finally:
        stack.stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    messages = report["acknowledged"]
    rows = [
        bench.row("acknowledged", messages, "messages"),
        bench.row("lost", report["lost"], "messages", 0),
        bench.row("doubled", report["doubled"], "messages", 0),
        bench.row("publish to acknowledged p50", report["ack_ms"]["p50"], "ms"),
        bench.row("publish to acknowledged p99", report["ack_ms"]["p99"], "ms"),
        bench.row("publish to readable p50", report["readable_ms"]["p50"], "ms", 115),
        bench.row("publish to readable p99", report["readable_ms"]["p99"], "ms", 200),
    ]
    for name, seconds in spent.items():
        rows.append(bench.row(f"{name}: CPU per message", round(seconds * 1e6 / messages, 2), "us"))
    rows.append(bench.row("all servers: CPU per message", round(sum(spent.values()) * 1e6 / messages, 2), "us", 25))
    return rows


def _fleet(stack):
    done = subprocess.run([str(stack.layout.binaries / "millrace-fleet"), "--devices", "200", "--rate", str(RATE),
                           "--duration", str(SECONDS), "--protocol", "mqtt", "--verify", "--json"],
                          env=environment.client_environment(stack), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise DevError(f"millrace-fleet ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _cpu(member):
    """Seconds of CPU of a member and everything below it, ended children included."""
    ticks = 0
    for pid in tree(member.process.pid()):
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in text[text.rindex(")") + 2:].split()[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")
