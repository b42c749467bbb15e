"""The storage tests by themselves, for a database that is not the one of ./dev test: another version of PostgreSQL, TimescaleDB."""
import subprocess

from . import testing
from .processes import sweep

# What a database could break: the programs that speak to it, and the contract of delivery over it.
PROGRAMS = ("device_registry", "fleet", "query_api", "storage_archiver", "storage_writer")
TESTS = ("e2e/test_archive.py", "e2e/test_ledger.py", "e2e/test_life.py", "e2e/test_migrations.py", "e2e/test_payloads.py",
         "e2e/test_query_web.py", "e2e/test_read_side.py", "e2e/test_replay.py", "e2e/test_stored_answers.py",
         "chaos/test_delivery.py", "chaos/test_disk.py")


def run(layout, folder, environment):
    """(whether the integration programs passed, whether those of the whole system did). `environment` says which database."""
    servers = testing.TestServers(layout, folder / "servers")
    try:
        programs = subprocess.run(["ctest", "--test-dir", str(layout.build()), "--output-on-failure", "-R",
                                   f"^integration_({'|'.join(PROGRAMS)})$"],
                                  env={**environment, **servers.start()}, check=False).returncode == 0
    finally:
        servers.stop()
    try:
        tests = subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                                *(str(layout.root / "tests" / test) for test in TESTS)],
                               env=environment, cwd=layout.root, check=False).returncode == 0
    finally:
        sweep(folder)
    return programs, tests
