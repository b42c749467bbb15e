"""./dev soak fuzz: libFuzzer over every target of tests/fuzz, two at once, for a time; what it found, as a table and JSON."""
import json
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import bench, build, packages, say
from .say import DevError

SECONDS = 1800
AT_ONCE = 2
# Machines with a state need more time than decoders.
SHARES = {"broker": 4, "mqtt": 3}
# Longest input that joins the tree: the tests replay each with every prefix and damage.
MOST_TREE_BYTES = 256
SYMBOLIZER = "/usr/bin/llvm-symbolizer-19"

_PROGRESS = re.compile(r"^#\d+\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)/", re.MULTILINE)
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)


@dataclass
class Outcome:
    target: str
    executions: int = 0
    per_second: int = 0
    corpus_before: int = 0
    corpus_after: int = 0
    coverage: int = 0
    seconds: int = 0
    findings: list = field(default_factory=list)


def run(layout):
    seconds = _number("MILLRACE_FUZZ_SECONDS", SECONDS)
    packages.install(packages.BUILD + packages.FUZZ, layout.install_logs)
    build.build(layout, "fuzz", ["fuzzers"])
    programs = _programs(layout)
    lengths = split(seconds, list(programs))
    begun = time.monotonic()
    with say.Step(f"{len(programs)} targets, {seconds} s in all"), ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(_fuzz, layout, name, programs[name], lengths[name])
                   for name in sorted(programs, key=lambda name: -lengths[name])]
        outcomes = sorted((one.result() for one in running), key=lambda one: one.target)
    if os.environ.get("MILLRACE_FUZZ_MERGE") == "1":
        for name, program in programs.items():
            merge(layout, name, program)
    return _report(layout, outcomes, round(time.monotonic() - begun))


def _number(name, default):
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) == 0:
        raise DevError(f"{name}={text} is no number of seconds")
    return int(text)


def _programs(layout):
    found = {path.name.removesuffix("_fuzz"): path for path in sorted((layout.build("fuzz") / "bin").glob("*_fuzz"))}
    found = {name: path for name, path in found.items() if _tree(layout, name).is_dir()}
    if not found:
        raise DevError(f"there are no fuzzers in {layout.build('fuzz') / 'bin'}")
    return found


def split(seconds, names):
    """Seconds of each target when AT_ONCE of them run at a time and all end after `seconds`."""
    whole = sum(SHARES.get(name, 1) for name in names)
    return {name: max(1, seconds * AT_ONCE * SHARES.get(name, 1) // whole) for name in names}


def _tree(layout, name):
    return layout.root / "tests" / "fuzz" / "corpus" / name


def _folder(layout, name):
    return layout.soak / "fuzz" / name


def _environment():
    return dict(os.environ, ASAN_SYMBOLIZER_PATH=SYMBOLIZER, UBSAN_OPTIONS="print_stacktrace=1")


def _fuzz(layout, name, program, seconds):
    """One target; it ends at its first finding. What adds coverage is kept in .dev beside what the tree has."""
    corpus, found = _folder(layout, name) / "corpus", _folder(layout, name) / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    before, begun = set(found.iterdir()), time.monotonic()
    log = _folder(layout, name) / "log"
    with open(log, "w", encoding="utf-8") as out:
        code = subprocess.run([program, f"-max_total_time={seconds}", "-max_len=4096", "-timeout=60", "-rss_limit_mb=2048",
                               "-print_final_stats=1", f"-artifact_prefix={found}/", corpus, _tree(layout, name)],
                              stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=_environment(),
                              cwd=layout.root, check=False).returncode
    outcome = read_log(name, log.read_text(encoding="utf-8", errors="replace"))
    outcome.seconds = round(time.monotonic() - begun)
    outcome.findings = [str(path) for path in sorted(set(found.iterdir()) - before)
                        if not path.name.startswith("slow-unit-")]
    if code != 0 and not outcome.findings:
        outcome.findings = [str(log)]  # it ended without an input that could be kept
    return outcome


def read_log(name, text):
    """What libFuzzer says of its run."""
    outcome = Outcome(name)
    progress = _PROGRESS.findall(text)
    if progress:
        outcome.corpus_before = int(progress[0][1])
        outcome.coverage, outcome.corpus_after = map(int, progress[-1])
    statistics = {key: int(value) for key, value in _STATISTIC.findall(text)}
    outcome.executions = statistics.get("number_of_executed_units", 0)
    outcome.per_second = statistics.get("average_exec_per_sec", 0)
    return outcome


def merge(layout, name, program):
    """Small inputs that reach what none of the tree's does join the tree."""
    corpus = _folder(layout, name) / "corpus"
    small = _folder(layout, name) / "small"
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir()
    for path in corpus.iterdir():
        if path.stat().st_size <= MOST_TREE_BYTES:
            shutil.copy(path, small)
    # Edges alone, without how often each is passed: else nearly every input counts.
    say.run([program, "-set_cover_merge=1", "-use_counters=0", _tree(layout, name), small], _folder(layout, name) / "merge.log",
            f"new inputs of {name} into the tree", env=_environment(), cwd=layout.root)


def _report(layout, outcomes, seconds):
    result = {"soak": "fuzz", "commit": bench.commit(layout), "machine": bench.machine(), "seconds": seconds,
              "targets": [asdict(one) for one in outcomes]}
    (layout.soak / "fuzz.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say.line(say.table([(one.target, one.executions, one.per_second, one.corpus_before, one.corpus_after, one.coverage,
                         one.seconds, len(one.findings)) for one in outcomes],
                       ["target", "executions", "per s", "corpus before", "after", "coverage", "s", "findings"]))
    say.line(f"  {layout.soak / 'fuzz.json'}")
    for outcome in outcomes:
        for finding in outcome.findings:
            _explain(layout, outcome.target, Path(finding))
    return 1 if any(one.findings for one in outcomes) else 0


def _explain(layout, name, finding):
    program = (layout.build("fuzz") / "bin" / f"{name}_fuzz").relative_to(layout.root)
    log = _folder(layout, name) / "log"
    if finding == log:
        return say.line(f"  FOUND by {name}: it ended by itself; see {log}")
    say.line(f"  FOUND by {name}: see {log}, and again by\n"
             f"    ASAN_SYMBOLIZER_PATH={SYMBOLIZER} {program} {finding}\n"
             f"  The smallest input of the kind, for {_tree(layout, name).relative_to(layout.root)}/:\n"
             f"    {program} -minimize_crash=1 -max_total_time=60 -exact_artifact_path=smallest {finding}")
