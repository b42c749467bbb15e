"""Parts of ./dev that need no running system."""
import contextlib
import http.server
import io
import os
import re
import signal
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "dev"))

from millrace_dev import arrow, environment, fuzz, postgres, screen, services, testing, toolchain, up  # noqa: E402
from millrace_dev.layout import Layout, private_folder  # noqa: E402
from millrace_dev.processes import Process, is_stopped, wait_until  # noqa: E402
from millrace_dev.say import DevError  # noqa: E402
from millrace_dev.settings import DEFAULT_PORTS, Settings, free_ports  # noqa: E402
from millrace_dev.stack import Stack  # noqa: E402

NOT_READY = (b'{"ready":false,"stopping":false,"checks":{"kafka":{"ok":false,"detail":"no broker answers"},'
             b'"database":{"ok":true,"detail":"fine"}},"detail":{}}')


@contextlib.contextmanager
def ops_endpoint(answers):
    """A service's /readyz that gives the answers (status, body) one by one, the last one for ever; its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def gateway(port):
    """A service as ./dev sees it, with its ops endpoint at `port`."""
    stack = Stack(Layout(), Settings(Path("/nonexistent"), {**DEFAULT_PORTS, "gateway_ops": port}))
    return stack.services["protocol-gateway"]


class Readiness(unittest.TestCase):
    def test_an_answer_names_the_checks_that_fail_and_no_others(self):
        self.assertEqual(services.failing_checks(NOT_READY.decode()), "kafka: no broker answers")
        self.assertEqual(services.failing_checks('{"stopping":true,"checks":{}}'), "it is stopping")
        for other in ("bad gateway", "[]", "{}", '{"stopping":false,"checks":{"a":1}}'):
            self.assertEqual(services.failing_checks(other), other)

    def test_a_service_says_why_it_is_not_ready(self):
        with ops_endpoint([(503, NOT_READY), (200, b"{}")]) as port:
            self.assertEqual(gateway(port).unready(), "kafka: no broker answers")
            self.assertIsNone(gateway(port).unready())
        self.assertIn("no answer from", gateway(port).unready())

    def test_status_shows_the_reason_and_what_starts_a_stopped_one(self):
        with ops_endpoint([(503, NOT_READY)]) as port:
            member = gateway(port)
            self.assertEqual(up._state(member, os.getpid()), ("not ready", "kafka: no broker answers"))
            self.assertEqual(up._state(member, None), ("stopped", "./dev start protocol-gateway"))

    def test_up_waits_until_all_are_ready_at_once_and_says_which_is_not(self):
        members = {"a": SimpleNamespace(name="a", alive=lambda: True, unready=mock.Mock(side_effect=[None, "busy", None])),
                   "b": SimpleNamespace(name="b", alive=lambda: True, unready=mock.Mock(side_effect=["not yet", None, None]))}
        Stack.wait_all_ready(SimpleNamespace(services=members), timeout=10)
        self.assertEqual(members["a"].unready.call_count, 3)
        members["a"].unready = lambda: None
        members["b"].unready = lambda: "kafka: no broker answers"
        with self.assertRaisesRegex(DevError, "all services to be ready: \n  b: kafka: no broker answers"):
            Stack.wait_all_ready(SimpleNamespace(services=members), timeout=0)

    def test_a_wait_says_why_it_was_in_vain(self):
        with self.assertRaisesRegex(DevError, "waited 0 s for the moon: clouds"):
            wait_until(lambda: False, 0, "the moon", why=lambda: "clouds")


class Folders(unittest.TestCase):
    def test_nobody_else_reads_what_a_system_keeps(self):
        with tempfile.TemporaryDirectory() as folder:
            stack = Path(folder) / "up"
            Settings(stack, DEFAULT_PORTS).save()
            process = Process(stack, "sleeper")
            process.start(["/bin/sleep", "60"])
            process.stop()
            self.assertEqual(stack.stat().st_mode & 0o066, 0)
            for name in ("log", "run"):
                self.assertEqual((stack / name).stat().st_mode & 0o777, 0o700, name)

    def test_a_folder_that_was_open_is_closed(self):
        with tempfile.TemporaryDirectory() as folder:
            old = Path(folder) / "log"
            old.mkdir(mode=0o755)
            self.assertEqual(private_folder(old).stat().st_mode & 0o777, 0o700)


class Environment(unittest.TestCase):
    def test_the_superuser_of_the_database_is_not_in_it(self):
        with tempfile.TemporaryDirectory() as folder:
            stack = Stack(Layout(), Settings(Path(folder), DEFAULT_PORTS))
            url = environment.exports(stack)["MILLRACE_DATABASE_URL"]
            self.assertIn("//storage_writer:", url)
            self.assertNotIn(stack.settings.secret("database_superuser"), environment.shell_lines(stack))

    def test_what_a_newcomer_pastes_fits_the_transport(self):
        for tls, there, missing in ((False, "grpcurl -plaintext", "MQTTS"), (True, 'grpcurl -cacert "$MILLRACE_CA_FILE"', "-plaintext")):
            with tempfile.TemporaryDirectory() as folder:
                stack = Stack(Layout(), Settings(Path(folder), DEFAULT_PORTS, options={"tls": tls}))
                for name in ("device_id", "device_token"):
                    stack.settings.keep(name, "device-1")
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    screen.show(stack, "", started=True)
                self.assertIn(there, said.getvalue())
                self.assertNotIn(missing, said.getvalue())
                self.assertEqual(f"--cafile {folder}" in said.getvalue(), tls)


class Tools(unittest.TestCase):
    def test_what_go_does_is_shown_as_that(self):
        self.assertEqual(toolchain.go_step("go: downloading golang.org/x/crypto v0.40.0"),
                         "go: downloading golang.org/x/crypto v0.40.0")
        self.assertEqual(toolchain.go_step("golang.org/x/crypto/blake2b"), "compiling golang.org/x/crypto/blake2b")

    def test_grpcurl_that_cannot_be_had_stops_nothing(self):
        said = io.StringIO()
        with mock.patch.object(toolchain, "install", side_effect=DevError("no network")), contextlib.redirect_stderr(said):
            up._install_tools(None)
        self.assertIn("no network", said.getvalue())


class Arrow(unittest.TestCase):
    def test_without_it_one_line_says_what_is_missing(self):
        for machine, failure, said in (("x86_64", DevError("no network\nand more"), "no network"), ("aarch64", None, "aarch64")):
            with tempfile.TemporaryDirectory() as name:
                layout = SimpleNamespace(root=Layout().root, tools=Path(name), install_logs=Path(name))
                told = io.StringIO()
                with mock.patch.object(arrow, "_install", side_effect=failure), contextlib.redirect_stderr(told), \
                        mock.patch.object(arrow.platform, "machine", return_value=machine):
                    self.assertFalse(arrow.offer(layout))
                self.assertEqual(told.getvalue().count("\n"), 1)
                self.assertIn(said, told.getvalue())
                self.assertIn("parquet-worker is not built", told.getvalue())

    def test_cmake_looks_again_once_it_came(self):
        with tempfile.TemporaryDirectory() as name:
            layout = SimpleNamespace(tools=Path(name))
            made = Path(name) / "build.ninja"
            made.touch()
            self.assertFalse(arrow.newer_than(layout, made))
            (Path(name) / "arrow").mkdir()
            (Path(name) / "arrow" / "installed").touch()
            os.utime(made, (1, 1))
            self.assertTrue(arrow.newer_than(layout, made))


FUZZ_LOG = """INFO: seed corpus: files: 12
#13	INITED cov: 120 ft: 300 corp: 11/2Kb exec/s: 0 rss: 40Mb
#90	NEW    cov: 125 ft: 320 corp: 12/2Kb lim: 4096 exec/s: 0 rss: 44Mb L: 9/90 MS: 1 CopyPart-
#9001	DONE   cov: 131 ft: 340 corp: 17/3Kb lim: 4096 exec/s: 450 rss: 50Mb
stat::number_of_executed_units: 9001
stat::average_exec_per_sec:     450
"""


class Folder(unittest.TestCase):
    def test_a_second_run_of_the_same_process_begins_with_a_fresh_one(self):
        with tempfile.TemporaryDirectory() as name:
            layout = SimpleNamespace(test=Path(name) / "test")
            with mock.patch.object(testing, "_test_root", lambda one: one.test), mock.patch.object(testing, "sweep"):
                layout.test.mkdir()
                first = testing.fresh_folder(layout)
                (first / "left").touch()
                self.assertEqual(testing.fresh_folder(layout), first)
                self.assertEqual(list(first.iterdir()), [])


class TimescaleDb(unittest.TestCase):
    def _integration(self, offered):
        """What a run of the integration tests says, and the environments in which the storage tests ran once more."""
        servers = mock.Mock(start=lambda: {}, offer_timescaledb=lambda: offered)
        said, environments = io.StringIO(), []

        def storage_tests(_layout, _folder, environment):
            environments.append(environment)
            return True, False
        with tempfile.TemporaryDirectory() as name, mock.patch.multiple(
                testing, fresh_folder=lambda _: Path(name), test_environment=lambda *_: {"A": "b"}, sweep=mock.DEFAULT,
                TestServers=lambda *_: servers, _run_label=mock.DEFAULT), mock.patch.object(
                testing.storage_round, "run", storage_tests), contextlib.redirect_stdout(said):
            testing.run_labels(SimpleNamespace(), ["integration"])
        return said.getvalue(), environments

    def test_a_run_without_it_says_so_in_one_line(self):
        said, environments = self._integration(False)
        self.assertEqual(sum("TimescaleDB" in line for line in said.splitlines()), 1, said)
        self.assertEqual(environments, [])

    def test_the_storage_tests_run_once_more_where_it_is(self):
        said, environments = self._integration(True)
        self.assertEqual([one["MILLRACE_TEST_TIMESCALEDB"] for one in environments], ["1"])
        self.assertIn("FAILED timescaledb: e2e and chaos", said)
        self.assertNotIn("MILLRACE_TEST_TIMESCALEDB", os.environ)


class Ports(unittest.TestCase):
    def test_tests_that_run_at_once_choose_from_different_ports(self):
        chosen = []
        for part in ("0/2", "1/2"):
            with mock.patch.dict(os.environ, MILLRACE_TEST_PORTS=part):
                chosen.append([port for _ in range(5) for port in free_ports().values()])
        self.assertLess(max(chosen[0]), min(chosen[1]))


class Halves(unittest.TestCase):
    def test_every_file_is_in_one_half_and_the_halves_are_alike(self):
        with tempfile.TemporaryDirectory() as name:
            files = [Path(name) / f"test_{size}.py" for size in (9, 7, 3, 2, 1)]
            for file in files:
                file.write_bytes(b"#" * int(file.stem.removeprefix("test_")))
            halves = testing._halves(files)
            self.assertEqual(sorted(halves[0] + halves[1]), sorted(files))
            sums = [sum(file.stat().st_size for file in half) for half in halves]
            self.assertEqual(sums, [11, 11])


class FakeFuzzer:
    """A layout with one target whose fuzzer is a script."""

    def __init__(self, folder, script):
        self.root, self.soak = Path(folder), Path(folder) / "soak"
        (self.root / "tests" / "fuzz" / "corpus" / "json").mkdir(parents=True)
        self.program = self.build("fuzz") / "bin" / "json_fuzz"
        self.program.parent.mkdir(parents=True)
        self.program.write_text(f"#!/bin/sh\nfor last; do case $last in -artifact_prefix=*) found=${{last#*=}};; esac; done\n{script}\n",
                                encoding="utf-8")
        self.program.chmod(0o755)

    def build(self, preset):
        return self.root / "build" / preset


class Fuzz(unittest.TestCase):
    def test_its_log_is_understood(self):
        outcome = fuzz.read_log("json", FUZZ_LOG)
        self.assertEqual((outcome.executions, outcome.per_second, outcome.corpus_before, outcome.corpus_after,
                          outcome.coverage), (9001, 450, 11, 17, 131))

    def test_the_time_is_what_was_asked_for(self):
        lengths = fuzz.split(600, ["broker", "json", "cbor"])
        self.assertEqual(sum(lengths.values()), 600 * fuzz.AT_ONCE)
        self.assertEqual(lengths["broker"], fuzz.SHARES["broker"] * lengths["json"])

    def test_what_was_found_is_kept_and_counts_once(self):
        with tempfile.TemporaryDirectory() as folder:
            layout = FakeFuzzer(folder, "echo {} >${found}crash-1; echo x >${found}slow-unit-2; exit 77")
            outcome = fuzz._fuzz(layout, "json", layout.program, 1)
            self.assertEqual([Path(one).name for one in outcome.findings], ["crash-1"])
            said = io.StringIO()
            with contextlib.redirect_stdout(said), mock.patch.object(fuzz.bench, "commit", return_value="now"):
                self.assertEqual(fuzz._report(layout, [outcome], 1), 1)
            self.assertIn(f"build/fuzz/bin/json_fuzz {outcome.findings[0]}", said.getvalue())

    def test_an_end_without_an_input_is_a_finding_and_a_good_end_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            layout = FakeFuzzer(folder, "exit 1")
            self.assertEqual(fuzz._fuzz(layout, "json", layout.program, 1).findings, [str(layout.soak / "fuzz" / "json" / "log")])
        with tempfile.TemporaryDirectory() as folder:
            layout = FakeFuzzer(folder, "exit 0")
            outcome = fuzz._fuzz(layout, "json", layout.program, 1)
            said = io.StringIO()
            with contextlib.redirect_stdout(said), mock.patch.object(fuzz.bench, "commit", return_value="now"):
                self.assertEqual(fuzz._report(layout, [outcome], 1), 0)


class Signals(unittest.TestCase):
    def test_sigstop_returns_when_the_process_has_stopped(self):
        with tempfile.TemporaryDirectory() as folder:
            busy = Process(Path(folder), "busy")
            busy.start([sys.executable, "-c", "import threading\n"
                        "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()\n"
                        "[None for _ in iter(int, 1)]"])
            try:
                self.assertFalse(is_stopped(busy.pid()))
                busy.signal(signal.SIGSTOP)
                self.assertTrue(is_stopped(busy.pid()))
                busy.signal(signal.SIGCONT)
                wait_until(lambda: not is_stopped(busy.pid()), 60, "it to go on")
            finally:
                busy.kill()


class DatabaseSettings(unittest.TestCase):
    def test_a_read_over_as_many_days_as_the_writer_makes_finds_locks_enough(self):
        limit = re.search(r"STORAGE_WRITER_PARTITIONS_LIMIT` \|[^|]*\| `(\d+)`", (ROOT / "docs/configuration.md").read_text("utf-8"))
        locks = 4 * int(limit.group(1))  # a table and an index each, of rows and of segments
        texts = {"./dev": " ".join(f"{name}={value}" for name, value in postgres.SETTINGS.items())}
        for name in ("docker-compose.yml", "deploy/kubernetes/overlays/single-node/postgres.yaml"):
            texts[name] = (ROOT / name).read_text("utf-8")
        for name, text in texts.items():
            def setting(of, default, text=text):
                found = re.search(rf"\b{of}=(\d+)", text)
                return int(found.group(1)) if found else default
            self.assertGreater(setting("max_connections", 100) * setting("max_locks_per_transaction", 64), 2 * locks, name)


if __name__ == "__main__":
    unittest.main()
