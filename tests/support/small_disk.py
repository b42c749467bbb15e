"""PostgreSQL's files on a small file system of their own, so that its disk can really be full.

A tmpfs in the place of the data directory: ENOSPC comes from the kernel, to PostgreSQL's tables and to its log alike, and the
machine's own disk stays out of it. Mounting needs root.
"""
import os
import shutil
import subprocess
from pathlib import Path

MIB = 1 << 20


class SmallDisk:
    """`with SmallDisk(lab, spare)`: PostgreSQL is stopped and started at both ends, and has `spare` bytes more than it uses."""

    def __init__(self, lab, spare):
        self._lab = lab
        self._spare = spare
        self._data = lab.folder / "postgres" / "data"
        self._elsewhere = self._data.with_name("data.elsewhere")
        self._ballast = self._data.with_name("data") / "ballast"

    def __enter__(self):
        self._lab.member("postgres").stop()
        self._data.rename(self._elsewhere)
        self._data.mkdir()
        try:
            _root("mount", "-t", "tmpfs", "-o", f"size={_used(self._elsewhere) + self._spare}", "millrace-small-disk", self._data)
        except BaseException:
            self._data.rmdir()
            self._elsewhere.rename(self._data)
            raise
        _copy(self._elsewhere, self._data)
        self._lab.restart("postgres")
        return self

    def __exit__(self, *_):
        self._lab.member("postgres").stop()
        shutil.rmtree(self._elsewhere)
        self._elsewhere.mkdir()
        self._ballast.unlink(missing_ok=True)
        _copy(self._data, self._elsewhere)
        _root("umount", self._data)
        self._data.rmdir()
        self._elsewhere.rename(self._data)
        self._lab.restart("postgres")

    def free(self):
        """Bytes that are left."""
        answer = os.statvfs(self._data)
        return answer.f_bavail * answer.f_frsize

    def fill(self, leave):
        """All but `leave` bytes are somebody else's."""
        with open(self._ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, self.free() - leave))

    def make_room(self):
        self._ballast.unlink()


def _used(folder):
    """What the files take as whole pages, as a tmpfs counts them; a page for each folder."""
    return sum((entry.stat().st_size + 4095) // 4096 * 4096 + 4096 for entry in Path(folder).rglob("*") if not entry.is_symlink())


def _copy(source, target):
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


def _root(*command):
    """Runs a command as root; a machine that does not allow it is told so."""
    done = subprocess.run([*([] if os.geteuid() == 0 else ["sudo", "-n"]), *map(str, command)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"a full disk needs a file system of its own, and this machine does not mount one: {done.stderr}"
