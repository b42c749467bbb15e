"""One process that outlives the call which started it: found again by its pid, its start time and the machine's boot."""
import contextlib
import glob
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .layout import private_folder
from .say import DevError, tail_of

_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid):
    """(state, parent, start time) of /proc/PID/stat, or None. The name in it may hold anything, so count from its end."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2:].split()
    return fields[0], int(fields[1]), int(fields[19])


def _gone(pid, start):
    """Whether the process that began at `start` is over. The first thread of a killed process can be a zombie while
    others still hold its sockets."""
    stat = _stat(pid)
    if not stat or stat[2] != start or stat[0] == "X":
        return True
    try:
        return stat[0] == "Z" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_zombie(pid):
    """Whether the process is over and only waits for its parent to take note."""
    stat = _stat(pid)
    return bool(stat) and stat[0] == "Z"


def is_stopped(pid):
    """Whether no thread of it runs, or it is gone."""
    for task in glob.glob(f"/proc/{pid}/task/*/stat"):
        try:
            state = Path(task).read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "TtZX":
            return False
    return True


def working_in(folder: Path):
    """Pids of the processes whose working directory is `folder`."""
    found = []
    real = str(folder.resolve())
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{entry}/cwd") == real:
                found.append(int(entry))
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return found


def tree(pid):
    """The process and all its descendants, parents first."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(int(entry))
            if stat:
                children.setdefault(stat[1], []).append(int(entry))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def wait_until(condition, timeout, what, interval=0.05, while_alive=None, why=lambda: None):
    """Waits for a condition; DevError names what did not come and `why`. `while_alive` ends the wait when its process is
    gone."""
    deadline = time.monotonic() + timeout
    while True:
        if condition():
            return
        if while_alive is not None and not while_alive.alive():
            raise DevError(f"{while_alive.name} ended while waiting for {what}; the end of {while_alive.log}:\n"
                           + tail_of(while_alive.log))
        if time.monotonic() > deadline:
            end = f"; the end of {while_alive.log}:\n{tail_of(while_alive.log)}" if while_alive else ""
            reason = why()
            raise DevError(f"waited {timeout:.0f} s for {what}{f': {reason}' if reason else ''}{end}")
        time.sleep(interval)


class Process:
    """A named process of one stack. The record of it is folder/run/NAME.json, its output folder/log/NAME.log."""

    def __init__(self, folder: Path, name, stop_signal=signal.SIGTERM, stop_timeout=30):
        self.name = name
        self.log = folder / "log" / f"{name}.log"
        self._record = folder / "run" / f"{name}.json"
        self._stop_signal = stop_signal
        self._stop_timeout = stop_timeout
        self._child = None

    def start(self, argv, env=None, cwd=None):
        if self.alive():
            raise DevError(f"{self.name} runs already (pid {self.pid()})")
        private_folder(self.log.parent)
        private_folder(self._record.parent)
        argv = [str(part) for part in argv]
        with open(self.log, "ab") as out:
            self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                           env=env, cwd=cwd, start_new_session=True)
        stat = _stat(self._child.pid)
        record = {"pid": self._child.pid, "start": stat[2] if stat else -1, "boot": _BOOT,
                  "fingerprint": fingerprint(argv, env)}
        temporary = self._record.with_suffix(".tmp")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.replace(self._record)

    def record(self):
        try:
            return json.loads(self._record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def pid(self):
        """The pid while the process lives, else None."""
        record = self.record()
        if not record or record["boot"] != _BOOT:
            return None
        if self._child is not None and self._child.pid == record["pid"]:
            self._child.poll()  # reaps it; a zombie would look alive to nobody but its parent
        return None if _gone(record["pid"], record["start"]) else record["pid"]

    def alive(self):
        return self.pid() is not None

    def matches(self, argv, env):
        """Whether the running process is what start(argv, env) would start now."""
        record = self.record()
        return self.alive() and record["fingerprint"] == fingerprint([str(part) for part in argv], env)

    def signal(self, number, whole_tree=False):
        """Sends a signal; with whole_tree also to the descendants, until no new ones appear. Of a SIGSTOP it waits for the
        effect: until one thread of a process has had the processor, the others go on."""
        pid = self.pid()
        if pid is None:
            raise DevError(f"{self.name} does not run")
        told = set()
        while True:
            fresh = [one for one in (tree(pid) if whole_tree else [pid]) if one not in told]
            if not fresh:
                break
            for one in fresh:
                told.add(one)
                try:
                    os.kill(one, number)
                except ProcessLookupError:
                    pass
        if number == signal.SIGSTOP:
            wait_until(lambda: all(is_stopped(one) for one in told), 60, f"{self.name} to stop")

    def kill(self, whole_tree=True):
        """SIGKILL, and waits until nothing of it is left."""
        pid = self.pid()
        if pid is None:
            return
        members = [(one, _stat(one)) for one in (tree(pid) if whole_tree else [pid])]
        self.signal(signal.SIGKILL, whole_tree)
        self._wait_gone(members, 30)

    def stop(self, orphans=False):
        """Asks it to end (a stopped one is woken first), waits, and kills it when it does not. True if it ended itself.
        With `orphans`, descendants that outlive it are killed."""
        pid = self.pid()
        if pid is None:
            self._record.unlink(missing_ok=True)
            return True
        members = [(one, _stat(one)) for one in tree(pid)]
        self.signal(signal.SIGCONT, whole_tree=True)
        self.signal(self._stop_signal)
        clean = True
        try:
            self._wait_gone(members[:1], self._stop_timeout)
        except DevError:
            clean = False
            self.kill()
        if orphans:
            for one, before in members[1:]:
                if before is not None and not _gone(one, before[2]):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
            self._wait_gone(members, 30)
        self._record.unlink(missing_ok=True)
        return clean

    def _wait_gone(self, members, timeout):
        def gone():
            if self._child is not None:
                self._child.poll()
            return all(before is None or _gone(one, before[2]) for one, before in members)
        wait_until(gone, timeout, f"the end of {self.name}")


def fingerprint(argv, env):
    """Changes with the command, its environment and the program's file, so that a rebuilt service is started anew."""
    digest = hashlib.sha256(json.dumps([argv, sorted((env or {}).items())]).encode())
    try:
        stat = os.stat(argv[0])
        digest.update(f"{stat.st_mtime_ns} {stat.st_size}".encode())
    except FileNotFoundError:
        pass
    return digest.hexdigest()


def sweep(folder: Path):
    """Ends what earlier runs left below `folder` (a killed test run, for example). Returns the names of what it ended."""
    ended = []
    for record in folder.glob("**/run/*.json"):
        process = Process(record.parent.parent, record.stem)
        if process.alive():
            process.kill()
            ended.append(record.stem)
    return ended
