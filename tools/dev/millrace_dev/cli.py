"""The calls of ./dev."""
import fcntl
import signal
import sys

from . import say
from .layout import Layout
from .say import DevError


def main(arguments):
    # A call that is ended by SIGTERM unwinds like one that is interrupted: servers of a test are stopped.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    name, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if name in ("-h", "--help"):
        name = "help"
    call = CALLS.get(name)
    if call is None:
        say.warn(f"there is no call {name!r}; ./dev help lists them")
        return 2
    try:
        return call[0](Layout(), rest) or 0
    except DevError as error:
        say.warn(str(error))
        return 1
    except KeyboardInterrupt:
        say.warn("interrupted")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


class _Locked:
    """Two calls that change the running system do not overlap."""

    def __init__(self, layout):
        layout.state.mkdir(parents=True, exist_ok=True)
        self._path = layout.state / "lock"

    def __enter__(self):
        self._file = open(self._path, "w", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say.line("  another ./dev call of this clone is at work; waiting for it")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self._file.close()


def _test(layout, rest):
    from . import testing
    return testing.run(layout, rest)


def _help(_layout, _rest):
    say.line("./dev CALL: builds, runs and tests Millrace on this machine\n")
    say.line(say.table([(usage, text) for _, usage, text in CALLS.values()]))
    return 0


CALLS = {
    "test": (_test, "test [LABEL…]", "everything from a bare machine: unit, integration, conformance, e2e, chaos"),
    "help": (_help, "help", "this list"),
}
