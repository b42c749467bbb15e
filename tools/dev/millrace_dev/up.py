"""./dev up, status, logs, down, reset, kill, start, env."""
import os
import shutil
import signal
import subprocess

from . import build, demo, environment, kafka, packages, say, screen, system, toolchain
from .say import DevError
from .settings import Settings, ports_from_environment
from .stack import Stack


def up(layout, listen=None, data=None, tls=None):
    settings = _settings(layout, listen, data, tls)
    stack = Stack(layout, settings)
    _refuse_other_ports(layout, stack)
    packages.install(packages.BUILD + packages.RUN, layout.install_logs)
    kafka.install(layout)
    build.build(layout)
    settings.save()
    try:
        started = system.start(stack, told=lambda text: say.line(f"  {text}"))
    except DevError as error:
        raise DevError(f"{error}\nWhat was started goes on; ./dev up resumes here, ./dev down ends it.") from None
    fleet = demo.Fleet(stack)
    started += demo.register(stack)
    if not fleet.current():
        fleet.stop()
        fleet.start()
        started.append("demo fleet")
    environment.write_profile(stack)
    latest = fleet.wait_for_readings()
    _install_tools(layout)
    with say.Step("readiness of every service"):
        stack.wait_all_ready()
    screen.show(stack, latest, started)
    return 0


def _install_tools(layout):
    """grpcurl, for those who read back with it: Millrace runs without, so it comes when everything does, and a failure is
    only told."""
    try:
        toolchain.install(layout)
    except DevError as error:
        say.warn(f"no grpcurl; everything else works. The next ./dev up tries again.\n{error}")


def _settings(layout, listen, data, tls):
    stored = Settings.stored(layout.stack)
    options = dict(stored.get("options", {}))
    if data is not None:
        if data and not os.path.isfile(data):
            raise DevError(f"--data: there is no file {data}")
        options["data"] = os.path.abspath(data) if data else ""
    if tls is not None:
        options["tls"] = tls
    return Settings(layout.stack, ports_from_environment(stored.get("ports", {})),
                    listen or stored.get("listen", "127.0.0.1"), options)


def _refuse_other_ports(layout, stack):
    stored = Settings.load(layout.stack)
    if not stored or stored.ports == stack.settings.ports:
        return
    if any(member.alive() for member in stack.members().values()):
        raise DevError("this clone runs already, on other ports; ./dev down ends it first")


def running(layout):
    """The stack of this clone; DevError when ./dev up was never called."""
    settings = Settings.load(layout.stack)
    if settings is None:
        raise DevError("nothing was started here; ./dev up does")
    return Stack(layout, settings)


def down(layout):
    settings = Settings.load(layout.stack)
    if settings is None:
        say.line("nothing was started here")
        return 0
    stack = Stack(layout, settings)
    alive = [name for name, member in _members(stack).items() if member.alive()]
    demo.Fleet(stack).stop()
    forced = stack.stop_all()
    for name in forced:
        say.warn(f"{name} did not end by itself and was killed")
    say.line(f"ended: {', '.join(alive)}" if alive else "nothing was running")
    return 0


def reset(layout):
    down(layout)
    shutil.rmtree(layout.stack, ignore_errors=True)
    if layout.stack.exists():
        raise DevError(f"{layout.stack} could not be removed (files of user postgres? sudo ./dev reset)")
    say.line("the data is dropped")
    return 0


def status(layout):
    stack = running(layout)
    rows, hints = [], []
    for name, member in _members(stack).items():
        pid = member.process.pid()
        state, hint = _state(member, pid)
        if hint:
            hints.append(f"  {name} is {state}: {hint}")
        ports = "" if name == "fleet" else " ".join(
            f"{port.split('_')[-1]}:{stack.settings.ports[port]}" for port in stack.ports_of(name))
        rows.append((name, state, pid or "", f"{_rss(pid)} MB" if pid else "", ports))
    say.line(say.table(rows, ["name", "state", "pid", "memory", "ports"]))
    if all(state == "stopped" for _, state, *_ in rows):
        hints = ["  nothing runs: ./dev up"]
    if hints:
        say.line()
        say.line("\n".join(hints))
    return 1 if hints else 0


def _state(member, pid):
    """In a word, and what to do or what is wrong where it is not well."""
    if not pid:
        return "stopped", f"./dev start {member.name}"
    if _suspended(pid):
        return "suspended", f"./dev start {member.name} wakes it"
    if not hasattr(member, "unready"):
        return "running", None
    why = member.unready()
    return ("ready", None) if why is None else ("not ready", why)


def logs(layout, name, follow):
    stack = running(layout)
    members = _members(stack)
    if name is not None and name not in members:
        raise DevError(f"there is no {name!r}; there are: {', '.join(members)}")
    files = [members[one].process.log for one in ([name] if name else members)]
    existing = [str(file) for file in files if file.exists()]
    if follow:
        return subprocess.run(["tail", "-n", "50", "-F", *existing], check=False).returncode
    for file in existing:
        if len(existing) > 1:
            say.line(f"== {file}")
        say.line(subprocess.run(["tail", "-n", "200" if name else "10", file], capture_output=True, text=True,
                                errors="replace", check=False).stdout.rstrip())
    return 0


def kill(layout, name, number):
    stack = running(layout)
    member = _member(stack, name)
    if number == signal.SIGKILL:
        if not member.alive():
            raise DevError(f"{name} does not run")
        member.kill()
    else:
        member.signal(number)
    say.line(f"{name}: {signal.Signals(number).name}")
    return 0


def start(layout, name):
    stack = running(layout)
    member = _member(stack, name)
    if member.alive() and _suspended(member.process.pid()):
        member.signal(signal.SIGCONT)
    elif member.alive():
        say.line(f"{name} runs already")
        return 0
    elif name == "fleet":
        member.start()
    else:
        stack.start(name)
    say.line(f"{name} runs")
    return 0


def env(layout):
    say.line(environment.shell_lines(running(layout)))
    return 0


def _members(stack):
    return {**stack.members(), "fleet": demo.Fleet(stack)}


def _member(stack, name):
    members = _members(stack)
    if name not in members:
        raise DevError(f"there is no {name!r}; there are: {', '.join(members)}")
    return members[name]


def _suspended(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return text[text.rindex(")") + 2] == "T"


def _rss(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for row in file:
                if row.startswith("VmRSS:"):
                    return int(row.split()[1]) // 1024
    except FileNotFoundError:
        pass
    return 0
