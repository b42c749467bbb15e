"""./dev soak oracle: every read against a naive oracle, over so many random cases."""
import os
import random
import subprocess
import time

from . import build, say, testing

CASES = 10_000
_AT_ONCE = 500  # then a database and an archive of their own: what they hold grows with each case
_ARCHIVED = 5  # one stretch of so many has days in an archive too: there a case takes ten times as long
_STEP = 1_000_003  # between the seeds of two cases, as the program has it


def run(layout):
    """MILLRACE_SOAK_CASES and MILLRACE_SOAK_SEED set what is tried."""
    cases = int(os.environ.get("MILLRACE_SOAK_CASES") or CASES)
    seed = int(os.environ.get("MILLRACE_SOAK_SEED") or random.randrange(1, 1 << 31))
    build.build(layout)
    folder = testing.fresh_folder(layout)
    environment = testing.test_environment(layout, folder)
    servers = testing.TestServers(layout, folder / "servers")
    hot = layout.binaries / "integration_query_api"
    archived = layout.binaries / "integration_query_archive"
    if not archived.exists():
        say.warn("parquet-worker is not built: the oracle runs without an archive")
        archived = hot
    say.line(f"== {cases} cases, MILLRACE_SOAK_SEED={seed}")
    begun = time.monotonic()
    failed = 0
    try:
        environment.update(servers.start())
        for first in range(0, cases, _AT_ONCE):
            program = archived if first // _AT_ONCE % _ARCHIVED == 0 else hot
            failed += _some(program, folder, environment, seed + first * _STEP, min(_AT_ONCE, cases - first))
            say.line(f"  {min(first + _AT_ONCE, cases)} cases, {time.monotonic() - begun:.0f} s")
    finally:
        servers.stop()
    say.line(f"== {cases} cases of seed {seed} in {time.monotonic() - begun:.0f} s: {'passed' if not failed else 'FAILED'}")
    return 1 if failed else 0


def _some(program, folder, environment, seed, cases):
    """1 if they failed; the output of a failure names the seed and the case."""
    done = subprocess.run([program, "--gtest_filter=Oracle.*"], cwd=folder, check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**environment, "MILLRACE_TEST_ORACLE_CASES": str(cases),
                                                         "MILLRACE_TEST_ORACLE_SEED": str(seed)})
    if done.returncode == 0:
        return 0
    told = [line for line in done.stdout.splitlines() if '"level":"info"' not in line]
    say.line("\n".join(told[-60:]))
    return 1
