"""The calls of ./dev."""
import argparse
import fcntl
import signal
import sys

from . import bench, quality, say, soak, testing, up
from .layout import Layout
from .say import DevError
from .settings import DEFAULT_PORTS, port_setting


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
    except SystemExit as ended:  # of argparse: --help, or a wrong option
        return ended.code
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


def _options(name, rest, add=lambda parser: None):
    parser = argparse.ArgumentParser(prog=f"./dev {name}", description=CALLS[name][2])
    add(parser)
    return parser.parse_args(rest)


def _up(layout, rest):
    def add(parser):
        parser.add_argument("--listen", metavar="ADDRESS", help="where the services listen (127.0.0.1)")
        parser.add_argument("--data", metavar="FILE.csv",
                            help="replay this data set instead of synthetic meters; '' goes back to them")
        parser.add_argument("--tls", action=argparse.BooleanOptionalAction, default=None,
                            help="TLS for MQTT, WebSocket, HTTP and gRPC, with certificates of a CA made for it")
    options = _options("up", rest, add)
    with _Locked(layout):
        return up.up(layout, options.listen, options.data, options.tls)


def _down(layout, rest):
    _options("down", rest)
    with _Locked(layout):
        return up.down(layout)


def _reset(layout, rest):
    _options("reset", rest)
    with _Locked(layout):
        return up.reset(layout)


def _status(layout, rest):
    _options("status", rest)
    return up.status(layout)


def _logs(layout, rest):
    def add(parser):
        parser.add_argument("service", nargs="?")
        parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    options = _options("logs", rest, add)
    return up.logs(layout, options.service, options.follow)


def _kill(layout, rest):
    def add(parser):
        parser.add_argument("service")
        parser.add_argument("signal", nargs="?", default="KILL", help="name or number (KILL)")
    options = _options("kill", rest, add)
    with _Locked(layout):
        return up.kill(layout, options.service, _signal(options.signal))


def _signal(text):
    try:
        return signal.Signals(int(text)) if text.isdigit() else signal.Signals["SIG" + text.upper().removeprefix("SIG")]
    except (KeyError, ValueError):
        raise DevError(f"there is no signal {text!r}") from None


def _start(layout, rest):
    options = _options("start", rest, lambda parser: parser.add_argument("service"))
    with _Locked(layout):
        return up.start(layout, options.service)


def _env(layout, rest):
    _options("env", rest)
    return up.env(layout)


def _test(layout, rest):
    options = _options("test", rest, lambda parser: parser.add_argument("label", nargs="*"))
    return testing.run(layout, options.label)


def _bench(layout, rest):
    options = _options("bench", rest, lambda parser: parser.add_argument("name", nargs="?"))
    return bench.run(layout, options.name)


def _soak(layout, rest):
    options = _options("soak", rest, lambda parser: parser.add_argument("name", nargs="?"))
    return soak.run(layout, options.name)


def _format(layout, rest):
    _options("format", rest)
    return quality.format_sources(layout)


def _tidy(layout, rest):
    options = _options("tidy", rest, lambda parser: parser.add_argument("folder", nargs="*"))
    return quality.tidy(layout, options.folder)


def _release(layout, rest):
    options = _options("release", rest, lambda parser: parser.add_argument(
        "--breaking", action="store_true", help="even if a peer of the released contracts would break"))
    return quality.release(layout, options.breaking)


def _help(_layout, _rest):
    say.line("./dev CALL: builds, runs and tests Millrace on this machine\n")
    say.line(say.table([(usage, text) for _, usage, text in CALLS.values()]))
    say.line("\nEverything it starts and fetches is below .dev/ (MILLRACE_DEV_STATE names another folder). "
             "MILLRACE_DEV_PORT_OFFSET\nshifts all ports, so that two clones run at once; each port has a setting:")
    say.line(say.table([(port_setting(name), port) for name, port in DEFAULT_PORTS.items()]))
    return 0


CALLS = {
    "up": (_up, "up [--listen ADDRESS] [--data FILE.csv] [--tls|--no-tls]",
           "install what is missing, build, start everything, stream a demo fleet"),
    "env": (_env, "env", "print export lines: addresses, demo credentials, paths"),
    "status": (_status, "status", "what runs, and whether it is ready"),
    "logs": (_logs, "logs [SERVICE] [-f]", "the end of the logs"),
    "kill": (_kill, "kill SERVICE [SIGNAL]", "send a signal to one service, kafka, postgres or the fleet"),
    "start": (_start, "start SERVICE", "start it again, or wake it after SIGSTOP"),
    "down": (_down, "down", "end what was started here, and nothing else"),
    "reset": (_reset, "reset", "down, and drop the data"),
    "test": (_test, "test [LABEL…]", "everything from a bare machine: unit, integration, conformance, e2e, chaos, lint"),
    "bench": (_bench, "bench [NAME]", "a benchmark as a table and .dev/bench/NAME.json; without a name: the list"),
    "soak": (_soak, "soak [NAME]", "what is too long for test; without a name: the list"),
    "format": (_format, "format", "clang-format over all sources"),
    "tidy": (_tidy, "tidy [FOLDER…]", "clang-tidy over libs, services and tools, or over FOLDER"),
    "release": (_release, "release [--breaking]", "make the protos of now the released contracts"),
    "help": (_help, "help", "this list"),
}
