"""./dev bench: one JSON file and one table per run."""
import ast
import datetime
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys

from . import build, demo, packages, say, testing, toolchain, kafka
from .processes import sweep
from .say import DevError
from .settings import Settings
from .stack import Stack


def run(layout, name):
    benches = available(layout)
    if name is None:
        say.line(say.table(sorted((one, text) for one, (text, _) in benches.items()), ["name", "measures"]))
        return 0
    if name not in benches:
        raise DevError(f"there is no benchmark {name!r}; there are: {', '.join(sorted(benches))}")
    packages.install(packages.BUILD + packages.RUN, layout.install_logs)
    kafka.install(layout)
    toolchain.install(layout)
    build.build(layout)
    with _quiet_demo(layout):
        rows = benches[name][1](layout)
    result = {"bench": name, "commit": commit(layout), "machine": machine(), "rows": rows}
    write(layout, name, result)
    return 0 if all(row["holds"] in (True, None) for row in rows) else 1


def row(name, value, unit, target=None, at_most=True, floor=None):
    """One figure. `floor` is what the same machine does at best (a bare copy, for example), for comparison."""
    holds = None if target is None else (value <= target if at_most else value >= target)
    return {"name": name, "value": value, "unit": unit, "target": target, "holds": holds, "floor": floor}


def write(layout, name, result):
    layout.bench.mkdir(parents=True, exist_ok=True)
    file = layout.bench / f"{name}.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say.line(f"{name}  {result['commit']}  {result['machine']}")
    say.line(say.table([(one["name"], _figure(one["value"]), one["unit"], _figure(one["target"]),
                         {True: "yes", False: "NO", None: ""}[one["holds"]], _figure(one["floor"]))
                        for one in result["rows"]], ["name", "value", "unit", "target", "holds", "floor"]))
    say.line(f"  {file}")


def available(layout):
    """Benchmarks by name, (what it measures, call): the programs *_bench of the build, and tests/bench/*.py, which measure
    a whole system of their own."""
    found = {}
    for program in sorted((layout.build() / "bin").glob("*_bench")):
        name = program.name.removesuffix("_bench")
        found[name] = (f"{program.name}, a Google Benchmark program", lambda one, program=program: _google(one, program))
    for file in sorted((layout.root / "tests" / "bench").glob("*.py")):
        measures = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        found[file.stem] = (measures, lambda one, file=file: _system(one, file))
    return found


def _system(layout, file):
    """Runs one benchmark of the whole system in this process; what it leaves behind is ended."""
    folder = testing.fresh_folder(layout)
    os.environ.update(testing.test_environment(layout, folder))
    sys.path[:0] = [str(file.parent), str(layout.root / "tests" / "support")]
    try:
        return importlib.import_module(file.stem).run(layout)
    finally:
        sweep(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _google(layout, program):
    """The programs find Kafka and PostgreSQL where integration tests do."""
    folder = testing.fresh_folder(layout)
    servers = testing.TestServers(layout, folder / "servers")
    try:
        environment = dict(os.environ, **servers.start())
        done = subprocess.run([str(program), "--benchmark_format=json"], capture_output=True, text=True, check=False, env=environment)
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode != 0:
        raise DevError(f"{program.name} ended with {done.returncode}:\n{done.stderr}")
    rows = []
    for one in json.loads(done.stdout)["benchmarks"]:
        rows.append(row(one["name"], round(one["cpu_time"], 2), one["time_unit"]))
        if "items_per_second" in one:
            rows.append(row(one["name"], round(one["items_per_second"]), "items/s"))
    return rows


class _quiet_demo:
    """The demo fleet of a running ./dev up pauses while something is measured."""

    def __init__(self, layout):
        settings = Settings.load(layout.stack)
        self._fleet = demo.Fleet(Stack(layout, settings)) if settings else None

    def __enter__(self):
        self._paused = self._fleet is not None and self._fleet.alive()
        if self._paused:
            self._fleet.stop()

    def __exit__(self, *_):
        if self._paused:
            self._fleet.start()


def commit(layout):
    return subprocess.run(["git", "-C", str(layout.root), "describe", "--tags", "--always", "--dirty"],
                          capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 30)
    today = datetime.date.today().isoformat()
    return f"{os.cpu_count()} x {model}, {memory} GB, Linux {platform.release()}, {today}"


def _figure(value):
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else (f"{value:,.2f}" if isinstance(value, float) else str(value))
