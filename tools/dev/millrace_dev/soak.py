"""./dev soak: what is too long for ./dev test."""
import json
import os
import subprocess
import time

from . import (bench, build, compose_soak, fuzz, kafka, kubernetes, newer_postgres, oracle_soak, packages, say, storage_round, testing,
               toolchain, web_page)
from .processes import sweep
from .say import DevError

NAMES = {
    "browser": "a page in headless Chromium reads and follows over Connect and gRPC-Web, with the example of docs/queries.md",
    "chaos": "every chaos case at full length, three times at QoS 1 and once at QoS 2; figures as a table and JSON",
    "compose": "the container images and docker-compose.yml for real, with a Docker engine of its own; needs root",
    "fuzz": "libFuzzer over every target of tests/fuzz for MILLRACE_FUZZ_SECONDS (1800) in all, two at once, with "
            "sanitizers; MILLRACE_FUZZ_MERGE=1 adds new inputs to the tree",
    "oracle": "every read against a naive oracle over 10,000 random cases, a fifth of them with an archive (MILLRACE_SOAK_CASES; "
              "MILLRACE_SOAK_SEED repeats a run)",
    "sanitizers": "unit and integration tests with AddressSanitizer and UndefinedBehaviorSanitizer, then with ThreadSanitizer",
    "life": "ten days of 50 devices (MILLRACE_LIFE_DEVICES) through all tiers to an S3 server and back",
    "postgres": "the storage tests against the newer versions of PostgreSQL",
    "storage": "200 random SIGKILLs of two writers and the database under load (MILLRACE_SOAK_KILLS); then ledger and table against the log",
    "kubernetes": "deploy/kubernetes and the docs' kubectl blocks on real API server, controllers and scheduler",
}


def run(layout, name):
    if name is None:
        say.line(say.table(sorted(NAMES.items()), ["name", "does"]))
        return 0
    if name not in NAMES:
        raise DevError(f"there is no soak {name!r}; there are: {', '.join(sorted(NAMES))}")
    if name == "compose":
        packages.install(packages.RUN + packages.TEST + packages.CONTAINERS, layout.install_logs)
        return compose_soak.run(layout)
    if name == "fuzz":
        return fuzz.run(layout)
    packages.install(packages.BUILD + packages.RUN + packages.TEST, layout.install_logs)
    kafka.install(layout)
    toolchain.install(layout)
    if name == "chaos":
        return _chaos(layout)
    if name == "kubernetes":
        return _kubernetes(layout)
    if name == "oracle":
        return oracle_soak.run(layout)
    if name == "browser":
        return _browser(layout)
    if name == "postgres":
        return _postgres(layout)
    if name == "life":
        return _life(layout)
    if name == "storage":
        return _load(layout, "storage", layout.root / "tests" / "soak" / "test_storage.py", [{}])
    return _sanitizers(layout)


def _chaos(layout, rounds=3):
    rounds_of = [{"MILLRACE_CHAOS_QOS": str(qos), "MILLRACE_CHAOS_ROUNDS": str(count)} for qos, count in ((1, rounds), (2, 1))]
    return _load(layout, "chaos", layout.root / "tests" / "chaos", [{"MILLRACE_CHAOS_LENGTH": "full", **one} for one in rounds_of])


def _load(layout, name, tests, environments):
    """Tests under verified load, once with each environment; their figures as a table and as JSON."""
    build.build(layout)
    folder = testing.fresh_folder(layout)
    layout.soak.mkdir(parents=True, exist_ok=True)
    figures = layout.soak / f"{name}.jsonl"
    figures.unlink(missing_ok=True)
    environment = dict(testing.test_environment(layout, folder), MILLRACE_CHAOS_FIGURES=str(figures))
    begun = time.monotonic()
    codes = []
    try:
        for one in environments:
            codes.append(subprocess.run(["/usr/bin/python3", "-m", "pytest", "-v", "-p", "no:cacheprovider", str(tests)],
                                        env={**environment, **one}, cwd=layout.root, check=False).returncode)
    finally:
        sweep(folder)
    runs = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()] if figures.exists() else []
    result = {"soak": name, "commit": bench.commit(layout), "machine": bench.machine(), "runs": runs,
              "seconds": round(time.monotonic() - begun)}
    (layout.soak / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    columns = ["case", "rate", "qos", "seed", "sent", "acknowledged", "stored", "lost", "doubled", "wrong_value", "resent", "back_s"]
    say.line(say.table([[str(one.get(column, "")) for column in columns] for one in runs], columns))
    say.line(f"  {layout.soak / name}.json")
    return max(codes)


def _browser(layout):
    page = web_page.install(layout)
    build.build(layout)
    folder = testing.fresh_folder(layout)
    environment = dict(testing.test_environment(layout, folder), MILLRACE_WEB_PAGE=str(page))
    try:
        return subprocess.run(["/usr/bin/python3", "-m", "pytest", "-v", "-p", "no:cacheprovider",
                               str(layout.root / "tests" / "soak" / "test_browser.py")],
                              env=environment, cwd=layout.root, check=False).returncode
    finally:
        sweep(folder)


def _kubernetes(layout):
    packages.install(packages.KUBERNETES, layout.install_logs)
    begun = time.monotonic()
    soak = kubernetes.Soak(layout)
    code = soak.run()
    result = {"soak": "kubernetes", "commit": bench.commit(layout), "machine": bench.machine(),
              "proved": dict(soak.proved), "seconds": round(time.monotonic() - begun)}
    (layout.soak / "kubernetes.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say.line(f"  {layout.soak / 'kubernetes.json'}")
    return code


def _life(layout):
    toolchain.install_s3_server(layout)
    toolchain.install_parquet_reader(layout)
    devices = os.environ.get("MILLRACE_LIFE_DEVICES", "50")
    return _load(layout, "life", layout.root / "tests" / "e2e" / "test_life.py", [{"MILLRACE_LIFE_DEVICES": devices}])


def _postgres(layout):
    toolchain.install_s3_server(layout)
    toolchain.install_parquet_reader(layout)
    build.build(layout)
    rows = []
    for version in newer_postgres.DIGESTS:
        os.environ["MILLRACE_TEST_POSTGRES"] = str(newer_postgres.install(layout, version))
        folder = testing.fresh_folder(layout)
        passed = storage_round.run(layout, folder, testing.test_environment(layout, folder))
        rows.append([version, *("passed" if one else "FAILED" for one in passed)])
    say.line(say.table(rows, ["PostgreSQL", "integration", "e2e and chaos"]))
    return 0 if all("FAILED" not in row for row in rows) else 1


def _sanitizers(layout):
    codes = []
    for preset in ("asan-ubsan", "tsan"):
        build.build(layout, preset)
        os.environ["MILLRACE_BIN"] = str(layout.build(preset) / "bin")
        codes.append(testing.run_labels(layout, ("unit", "integration"), preset))
    return max(codes)
