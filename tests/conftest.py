"""Fixtures of the tests that run the whole system."""
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

import millrace_lab  # noqa: E402

_current = None  # the lab that the tests share while none of them failed


@pytest.fixture(scope="session", autouse=True)
def _servers():
    programs = ["protocol-gateway", "device-registry", "storage-writer", "storage-archiver", "query-api", "notifier", "millrace",
                "millrace-fleet"]
    missing = [name for name in programs if not (millrace_lab.Layout().binaries / name).exists()]
    if missing:
        pytest.exit(f"not built: {', '.join(missing)} (./dev test builds them)", returncode=1)
    millrace_lab.install_kafka()
    yield
    _drop()


@pytest.fixture
def lab(request):
    """A running system. Tests share it as long as they pass; a failed one is followed by a fresh one."""
    global _current
    if _current is None:
        fresh = millrace_lab.Lab()
        try:
            fresh.start()
        except Exception:
            print(fresh.tails())
            fresh.close()
            raise
        _current = fresh
    _current.allowed_errors = set()
    _current.mark_logs()
    yield _current
    failed = getattr(request.node, "failed", False)
    unexpected = _current.error_lines()
    if failed or unexpected:
        print(_current.tails())
        _drop()
    assert not unexpected, "unexpected error lines:\n" + "\n".join(unexpected[:20])


@pytest.fixture
def lab_of_its_own():
    """A context manager: a system for one test, its services with further settings, {service: {variable: value}}. The shared one
    ends before, for its memory."""
    @contextlib.contextmanager
    def own(settings):
        _drop()
        fresh = millrace_lab.Lab()
        for service, variables in settings.items():
            fresh.member(service).extra.update(variables)
        try:
            fresh.start()
            yield fresh
            unexpected = fresh.error_lines()
            assert not unexpected, "unexpected error lines:\n" + "\n".join(unexpected[:20])
        except BaseException:
            print(fresh.tails())
            raise
        finally:
            fresh.close()
        if not os.environ.get("MILLRACE_TEST_KEEP"):
            millrace_lab.remove_folder(fresh)
    return own


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.failed = True


def _drop():
    global _current
    if _current is not None:
        lab, _current = _current, None
        lab.close()
        if not os.environ.get("MILLRACE_TEST_KEEP"):
            millrace_lab.remove_folder(lab)


@pytest.fixture(scope="session")
def data_folder():
    """Recorded data sets; in CI they must be there."""
    folder = millrace_lab.Layout().data()
    if folder is None:
        if os.environ.get("CI"):
            pytest.fail("no recorded data sets: set MILLRACE_DATA")
        pytest.skip("no recorded data sets here (MILLRACE_DATA names their folder)")
    return folder


@pytest.fixture
def parquet_worker():
    """Where Arrow cannot be had there is no archive to test; in CI it must be there."""
    program = millrace_lab.Layout().binaries / "parquet-worker"
    if not program.exists():
        why = "Arrow C++ is not here: parquet-worker is not built"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return program


@pytest.fixture
def run_program(lab):
    """Runs one of the project's programs against the lab."""
    def run(name, *arguments, timeout=120, check=True, stdin=""):
        done = subprocess.run([str(lab.binaries / name), *map(str, arguments)], env=lab.environment, text=True,
                              capture_output=True, input=stdin, timeout=timeout, check=False)
        if check:
            assert done.returncode == 0, f"{name} {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done
    return run
