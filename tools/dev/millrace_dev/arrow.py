"""Arrow C++ out of the pyarrow wheel, pinned by its digest: what parquet-worker is built with. Optional: where it cannot be
had, everything but the archive is built and runs."""
import platform
import shutil
import tempfile
import zipfile
from pathlib import Path

from . import say, toolchain
from .say import DevError

LIBRARIES = ("libarrow.so.2600", "libparquet.so.2600", "libarrow_s3.so.2600")
MACHINE = "x86_64"  # of the pinned wheel
ABSENT = "Arrow C++ is not here ({}): parquet-worker is not built, closed days stay in the database"


def folder(layout):
    """Where cmake/Arrow.cmake finds it."""
    return layout.tools / "arrow"


def offer(layout):
    """Installs it if it can be had; whether it is there. A failure is one line, told each time."""
    stamp = folder(layout) / "installed"
    wanted = _requirements(layout).read_text(encoding="ascii")
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return True
    if platform.machine() != MACHINE:
        say.warn(ABSENT.format(f"the pinned wheel is for {MACHINE}, this is {platform.machine()}"))
        return False
    try:
        _install(layout)
    except (DevError, OSError, zipfile.BadZipFile) as error:
        say.warn(ABSENT.format(str(error).splitlines()[0]))
        return False
    stamp.write_text(wanted, encoding="ascii")
    return True


def newer_than(layout, file):
    """Whether it came after `file` was made: CMake has to look again."""
    stamp = folder(layout) / "installed"
    return stamp.exists() and stamp.stat().st_mtime > file.stat().st_mtime


def _requirements(layout):
    return layout.root / "tools" / "dev" / "arrow" / "requirements.txt"


def _install(layout):
    target = folder(layout)
    layout.tools.mkdir(parents=True, exist_ok=True)
    pip = toolchain.python(layout, "venv") / "bin" / "pip"
    with tempfile.TemporaryDirectory(dir=layout.tools) as scratch:
        say.run([pip, "download", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:", "--dest", scratch,
                 "-r", _requirements(layout)], layout.install_logs / "arrow.log", "Arrow C++ (pyarrow's wheel) from PyPI")
        wheel = next(Path(scratch).glob("pyarrow-*.whl"))
        unpacked = Path(scratch) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if _is_wanted(name)])
        shutil.rmtree(target, ignore_errors=True)
        (unpacked / "pyarrow" / "include").rename(_made(target) / "include")
        for name in LIBRARIES:
            (unpacked / "pyarrow" / name).rename(_made(target / "lib") / name)


def _is_wanted(name):
    return name.startswith("pyarrow/include/") or name in {f"pyarrow/{library}" for library in LIBRARIES}


def _made(path):
    path.mkdir(parents=True, exist_ok=True)
    return path
