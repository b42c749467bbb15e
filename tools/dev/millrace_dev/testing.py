"""./dev test: everything from a bare machine, one summary."""
import contextlib
import os
import re
import shutil
import subprocess
import time
import xml.etree.ElementTree as xml
from pathlib import Path

from . import build, kafka, mqtt_clients, packages, postgres, quality, say, storage_round, toolchain
from .processes import sweep
from .say import DevError
from .settings import Settings, free_ports
from .stack import Stack

CTEST = ("unit", "integration", "conformance")
PYTEST = ("e2e", "chaos")
LABELS = CTEST + PYTEST + ("lint",)
NEEDS_SERVERS = ("integration", "conformance")
NO_TIMESCALEDB = "TimescaleDB is not installed here: the storage tests ran without it"


class Tally:
    def __init__(self):
        self.rows = []  # label, passed, failed, skipped, seconds
        self.failures = []

    def add(self, label, cases, seconds):
        count = {"passed": 0, "failed": 0, "skipped": 0}
        for name, outcome in cases:
            count[outcome] += 1
            if outcome == "failed":
                self.failures.append(f"{label}: {name}")
        self.rows.append((label, count["passed"], count["failed"], count["skipped"], f"{seconds:.0f} s"))

    def total(self, column):
        return sum(row[column] for row in self.rows)


def run(layout, labels):
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise DevError(f"there is no label {unknown[0]!r}; there are: {', '.join(LABELS)}")
    wanted = [label for label in LABELS if not labels or label in labels]
    prepare(layout)
    if "e2e" in wanted:
        mqtt_clients.install(layout)
    build.build(layout)
    return run_labels(layout, wanted)


def run_labels(layout, labels, preset="release"):
    """Runs the tests of a finished build; a failing label does not hide the others."""
    begun = time.monotonic()
    folder = fresh_folder(layout)
    tally = Tally()
    servers = None
    timescaledb = None  # not asked yet
    try:
        environment = test_environment(layout, folder)
        for label in labels:
            if label in NEEDS_SERVERS and servers is None:
                servers = TestServers(layout, folder / "servers")
                try:
                    environment.update(servers.start())
                    timescaledb = servers.offer_timescaledb()
                except DevError as error:
                    say.warn(str(error))
                    tally.add(label, [("Kafka and PostgreSQL for the tests", "failed")], 0)
                    continue
            if label not in NEEDS_SERVERS and servers is not None:
                servers.stop()
                servers = None
            _run_label(layout, label, folder, environment, tally, preset)
    finally:
        if servers:
            servers.stop()
        sweep(folder)
    if timescaledb:
        _timescaledb(layout, folder / "timescaledb", environment, tally)
    return _summary(tally, time.monotonic() - begun, [] if timescaledb in (None, True) else [NO_TIMESCALEDB])


def _timescaledb(layout, folder, environment, tally):
    """The storage tests once more, in databases with the extension."""
    say.line("== storage tests with TimescaleDB")
    begun = time.monotonic()
    folder.mkdir()
    os.environ[postgres.TIMESCALEDB] = "1"
    try:
        passed = storage_round.run(layout, folder, {**environment, postgres.TIMESCALEDB: "1", "MILLRACE_TEST_DIR": str(folder)})
    finally:
        del os.environ[postgres.TIMESCALEDB]
    cases = zip(("integration", "e2e and chaos"), passed)
    tally.add("timescaledb", [(name, "passed" if one else "failed") for name, one in cases], time.monotonic() - begun)


def prepare(layout):
    packages.install(packages.BUILD + packages.RUN + packages.TEST, layout.install_logs)
    kafka.install(layout)
    toolchain.install(layout)
    toolchain.install_coap_client(layout)
    toolchain.install_manifest_checks(layout)
    toolchain.install_s3_server(layout)
    toolchain.install_parquet_reader(layout)


def fresh_folder(layout):
    """A folder of its own for each run; what earlier runs left running is ended, their folders are removed."""
    root = _test_root(layout)
    for old in root.iterdir():
        owner = old.name.rsplit("-", 1)[-1]
        if owner.isdigit() and int(owner) != os.getpid() and Path(f"/proc/{owner}").exists():
            continue  # another ./dev test of this clone is at work
        sweep(old)
        shutil.rmtree(old, ignore_errors=True)
    folder = root / f"run-{os.getpid()}"
    folder.mkdir()
    return folder


def _test_root(layout):
    """.dev/test, or a folder of the system where the user postgres cannot enter the clone."""
    layout.test.mkdir(parents=True, exist_ok=True)
    if postgres.can_enter(layout.test):
        return layout.test
    root = Path("/var/tmp") / f"millrace-test-{os.getuid()}"
    root.mkdir(exist_ok=True)
    say.line(f"the user postgres cannot enter {layout.test}: the tests use {root}")
    return root


def test_environment(layout, folder):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_DEV_PORT")}
    environment.update(MILLRACE_TEST_REQUIRE="1", MILLRACE_TEST_DIR=str(folder), MILLRACE_BIN=str(layout.binaries),
                       PYTHONDONTWRITEBYTECODE="1")
    data = layout.data()
    if data:
        environment["MILLRACE_DATA"] = str(data)
    return environment


class TestServers:
    """The Kafka and PostgreSQL that integration tests share; each test makes its own topics and databases."""

    def __init__(self, layout, folder):
        self._stack = Stack(layout, Settings(folder, free_ports()), fast_database=True)

    def start(self):
        with say.Step("Kafka and PostgreSQL for the tests"):
            self._stack.start_servers()
        return {"MILLRACE_TEST_KAFKA": self._stack.kafka.bootstrap,
                "MILLRACE_TEST_DATABASE_URL": self._stack.postgres.url(),
                "MILLRACE_TEST_VERSITYGW": str(self._stack.layout.tools / "bin" / "versitygw")}

    def offer_timescaledb(self):
        return self._stack.postgres.offers_timescaledb()

    def stop(self):
        self._stack.stop_all()


def _run_label(layout, label, folder, environment, tally, preset):
    say.line(f"== {label}")
    begun = time.monotonic()
    results = folder / f"results-{label}"
    results.mkdir()
    try:
        if label in CTEST:
            cases = _ctest(layout.build(preset), label, results, environment)
        elif label == "lint":
            cases = _lint(layout)
        else:
            cases = _pytest(layout, label, results, environment)
    except (DevError, OSError, subprocess.SubprocessError, xml.ParseError) as error:
        say.warn(str(error))
        cases = [(f"{label} could not run: {str(error).splitlines()[0]}", "failed")]
    tally.add(label, cases, time.monotonic() - begun)


def _lint(layout):
    cases = []
    for name, faults in quality.cases(layout):
        say.line(f"  {name}: {'ok' if not faults else f'{len(faults)} faults'}")
        for fault in faults[:50]:
            say.line(f"    {fault}")
        cases.append((name, "failed" if faults else "passed"))
    return cases


def _ctest(folder, label, results, environment):
    """CTest runs programs; what is counted is their GoogleTest cases."""
    report = results / "ctest.xml"
    gtest = results / "gtest"
    gtest.mkdir()
    jobs = "2" if label == "unit" else "1"
    subprocess.run(["ctest", "--test-dir", str(folder), "-L", f"^{label}$", "--output-on-failure", "-j", jobs,
                    "--no-tests=ignore", "--output-junit", str(report)],
                   env=dict(environment, GTEST_OUTPUT=f"xml:{gtest}/"), check=False)
    cases = []
    for test in xml.parse(report).getroot().iter("testcase"):
        name, status = test.get("name"), test.get("status")
        # GoogleTest numbers the file when two runs share a name; each program is registered once.
        inside = _junit_cases(gtest / f"{name}.xml")
        if status == "run" and inside:
            cases.extend(inside)
        elif status == "run":
            cases.append((name, "passed"))
        elif status in ("notrun", "disabled"):
            cases.append((name, "skipped"))
        else:
            broken = [case for case in inside if case[1] == "failed"]
            cases.extend(inside)
            if not broken:
                cases.append((f"{name} (ended without a failed case: crash or time-out)", "failed"))
    return cases


def _pytest(layout, label, results, environment):
    """Two processes at once, each with a system of its own: most of the time a test waits for something."""
    files = sorted((layout.root / "tests" / label).glob("test_*.py"), key=lambda file: file.stat().st_size, reverse=True)
    halves = [half for half in _halves(files) if half]
    if label == "chaos" and len(halves) > 1:  # what one load was meant to be, together
        environment = {"MILLRACE_CHAOS_RATE": "1500", **environment}
    with contextlib.ExitStack() as open_logs, say.Step(f"{label}: {len(files)} files in {len(halves)} processes"):
        running = []
        for number, half in enumerate(halves):
            log = open_logs.enter_context(open(results / f"pytest-{number}.log", "w+", encoding="utf-8"))
            command = ["/usr/bin/python3", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--durations=10",
                       f"--junitxml={results / f'pytest-{number}.xml'}", *map(str, half)]
            ports = {"MILLRACE_TEST_PORTS": f"{number}/{len(halves)}"}
            running.append((subprocess.Popen(command, env={**environment, **ports}, cwd=layout.root, stdout=log,
                                             stderr=subprocess.STDOUT), log))
        codes = [child.wait() for child, _ in running]
        logs = []
        for _, log in running:
            log.seek(0)
            logs.append(log.read())
    for log in logs:
        say.line(log.rstrip())
    cases = []
    for number, code in enumerate(codes):
        report = results / f"pytest-{number}.xml"
        found = _junit_cases(report)
        if not report.exists() or (code not in (0, 1, 5) and not any(case[1] == "failed" for case in found)):
            found.append((f"{label}: pytest ended with {code}", "failed"))
        cases += found
    return cases


def _halves(files):
    """Largest first, each to the half that has less so far: long files are, by and large, long tests."""
    halves, sizes = ([], []), [0, 0]
    for file in files:
        smaller = sizes.index(min(sizes))
        halves[smaller].append(file)
        sizes[smaller] += file.stat().st_size
    return halves


def _junit_cases(path):
    """(name, outcome) of each test case of a JUnit or GoogleTest report."""
    if not path.exists():
        return []
    cases = []
    for test in xml.parse(path).getroot().iter("testcase"):
        name = re.sub(r"\s+", " ", f"{test.get('classname', '')}.{test.get('name', '')}").strip(".")
        if test.find("failure") is not None or test.find("error") is not None:
            cases.append((name, "failed"))
        elif test.find("skipped") is not None or test.get("status") == "notrun":
            cases.append((name, "skipped"))
        else:
            cases.append((name, "passed"))
    return cases


def _summary(tally, seconds, notes):
    say.line()
    say.line(say.table(tally.rows, ["label", "passed", "failed", "skipped", "time"]))
    for failure in tally.failures:
        say.line(f"  FAILED {failure}")
    for note in notes:
        say.line(f"  {note}")
    say.line(f"  {seconds / 60:.1f} minutes in all")
    say.line()
    passed, failed, skipped = tally.total(1), tally.total(2), tally.total(3)
    say.line(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0
