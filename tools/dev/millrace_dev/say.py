"""What people see: lines, steps with progress, and commands whose output goes to a file until it matters."""
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path


class DevError(Exception):
    """A fault that the user can act on; its text is all that is printed."""


def line(text=""):
    print(text, flush=True)


def warn(text):
    print(f"dev: {text}", file=sys.stderr, flush=True)


class Step:
    """A long step. On a terminal one line that changes; elsewhere a line every 15 seconds, so that a log shows life."""

    def __init__(self, title):
        self.title = title
        self.detail = ""
        self._begun = time.monotonic()
        self._tty = sys.stdout.isatty()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        if self._tty:
            self._show()
        else:
            line(f"  {self.title} …")
        self._thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._done.set()
        self._thread.join()
        took = time.monotonic() - self._begun
        mark = "failed" if kind else "done"
        if self._tty:
            print(f"\r\x1b[2K  {self.title}: {mark} ({took:.0f} s)", flush=True)
        elif kind or took > 2:
            line(f"  {self.title}: {mark} ({took:.0f} s)")
        return False

    def _run(self):
        pause = 0.2 if self._tty else 15
        while not self._done.wait(pause):
            self._show()

    def _show(self):
        took = time.monotonic() - self._begun
        text = f"  {self.title} … {took:.0f} s  {self.detail}"
        if self._tty:
            width = os.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{text[:width]}", end="", flush=True)
        else:
            line(text[:150])


_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run(argv, log: Path, title=None, env=None, cwd=None, tail=25, detail=lambda text: text):
    """Runs a command with its output in `log`; a failure raises DevError with the end of that output. `detail` makes what
    the step shows of a line of it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    step = Step(title) if title else None
    if step:
        step.__enter__()
    code = -1
    try:
        with open(log, "w", encoding="utf-8") as out:
            child = subprocess.Popen([str(part) for part in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, errors="replace", env=env, cwd=cwd)
            for text in child.stdout:
                out.write(text)
                if step:
                    step.detail = detail(_ANSI.sub("", text).strip())
            code = child.wait()
    finally:
        if step:
            step.__exit__(None if code == 0 else DevError, None, None)
    if code != 0:
        raise DevError(f"{' '.join(str(part) for part in argv[:4])} … ended with {code}; the end of {log}:\n"
                       + tail_of(log, tail))


def tail_of(path: Path, lines=25):
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 200 * 1024))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return "  (no such file)"
    return "\n".join("  " + part for part in text.splitlines()[-lines:])


def table(rows, headings=None):
    """Columns as wide as they must be."""
    everything = ([headings] if headings else []) + [list(map(str, row)) for row in rows]
    if not everything:
        return ""
    widths = [max(len(row[i]) for row in everything) for i in range(len(everything[0]))]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                     for row in everything)
