"""Fleets of many devices: their file, an import that is killed and goes on, and one message of each of them."""
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path

from millrace_lab import eventually


def write_fleet(file: Path, count, prefix):
    """A CSV file as operators have it: ids and an attribute."""
    with open(file, "w", encoding="ascii") as out:
        out.write("device,site\n")
        for index in range(count):
            out.write(f"{prefix}-{index:07d},site-{index % 100}\n")


def tokens_of(file: Path):
    return file.with_name(file.stem + ".tokens.csv")


def count_lines(file: Path):
    """Complete lines behind the header."""
    if not file.exists():
        return 0
    with open(file, "rb") as source:
        return max(0, sum(block.count(b"\n") for block in iter(lambda: source.read(1 << 20), b"")) - 1)


class Import:
    """`millrace device import FILE`, as a child that may be killed."""

    def __init__(self, lab, file: Path, *more):
        self._begun = time.monotonic()
        self._child = subprocess.Popen([str(lab.binaries / "millrace"), "device", "import", str(file), *more], env=lab.environment,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._errors = []
        self._reader = threading.Thread(target=lambda: self._errors.extend(self._child.stderr), daemon=True)
        self._reader.start()

    def running(self):
        # Left to _end() to take: its exit code and its peak of memory come together.
        return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self):
        """SIGKILL; returns the seconds it ran."""
        assert self.running(), f"the import ended too early:\n{self.errors()}"
        self._child.kill()
        self._end()
        return self.seconds

    def finish(self, code=0):
        """Waits for the end; returns what it printed."""
        self._end()
        assert self._child.returncode == code, f"{self._child.returncode}:\n{self.output[-2000:]}\n{self.errors()[-2000:]}"
        return self.output

    def errors(self):
        return "".join(self._errors)

    def _end(self):
        self.output = self._child.stdout.read()
        _, status, usage = os.wait4(self._child.pid, 0)
        self._child.returncode = os.waitstatus_to_exitcode(status)
        self._reader.join(10)
        self.seconds = time.monotonic() - self._begun
        self.peak_bytes = usage.ru_maxrss * 1024


def wait_for_lines(file: Path, running, count, timeout):
    """Until the import has written so many tokens."""
    def there():
        assert running.running(), f"the import ended too early:\n{running.errors()}"
        return count_lines(file) >= count
    eventually(there, timeout, f"{count} tokens", interval=0.2)


def summary(output):
    """(created, already there, refused) of an import's last line."""
    found = re.search(r"created (\d+), already there (\d+), refused (\d+)", output)
    assert found, output
    return tuple(map(int, found.groups()))


def check_tokens(tokens: Path, expected):
    """Each device has exactly one line, with a token of its own."""
    devices, secrets = set(), set()
    with open(tokens, encoding="ascii") as source:
        assert source.readline() == "device,token\n"
        for line in source:
            device, token = line.rstrip("\n").split(",")
            devices.add(device)
            secrets.add(token)
    lines = count_lines(tokens)
    assert lines == len(devices) == len(secrets) == expected, (lines, len(devices), len(secrets), expected)
    assert not tokens.with_name(tokens.name + ".secret").exists()


def wait_until_known(lab, services, count, timeout):
    """Until the copies of these services hold so many devices."""
    for name in services:
        eventually(lambda name=name: lab.metrics(name, "millrace_registry_view_devices") >= count, timeout,
                   f"{name} to know {count} devices", interval=0.1)


def publish_once(lab, credentials, connections, rate=0, protocol="mqtt,mqtt5", timeout=3600):
    """One message of each device; returns the fleet's report. 1 (not clean) is the caller's to judge."""
    done = subprocess.run([str(lab.binaries / "millrace-fleet"), "--once", "--credentials", str(credentials), "--connections",
                           str(connections), "--rate", str(rate), "--protocol", protocol, "--verify", "--json",
                           "--verify-timeout", "1800"],
                          env=lab.environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=timeout)
    assert done.returncode in (0, 1), f"millrace-fleet ended with {done.returncode}:\n{done.stderr[-2000:]}"
    return json.loads(done.stdout)
