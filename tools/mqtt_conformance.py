#!/usr/bin/python3
"""Writes docs/mqtt-conformance.md: every normative statement of MQTT 3.1.1 and 5.0 with the tests that prove it.

The statements are in tests/conformance/mqtt/statements-<version>.tsv: id, what must hold, and where no test can prove it the
reason. A test names what it proves in a comment inside or above it: `// [MQTT-3.1.2-22]`, of 3.1.1 `// 3.1.1 [MQTT-3.1.2-24]`.

--check says whether the page is current and whether every statement has a test or a reason (exit code 1: not)."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATEMENTS = ROOT / "tests/conformance/mqtt"
PAGE = ROOT / "docs/mqtt-conformance.md"
VERSIONS = ("5.0", "3.1.1")
SOURCES = ("tests/unit/mqtt/*.cpp", "tests/integration/protocol-gateway/*.cpp", "tests/e2e/test_mqtt*.py", "tests/e2e/test_tls.py",
           "tests/conformance/mqtt/*.py", "tests/unit/protocol-gateway/*.cpp")
TAG = re.compile(r"(3\.1\.1 )?\[(MQTT-\d+\.\d+\.\d+-\d+)\]")
TEST = re.compile(r"^\s*(?:TEST|TEST_F|TEST_P)\((\w+), (\w+)\)|^(?:    )?def (test_\w+)\(")
HEAD = """# What MQTT demands, and the tests that prove it

Written by `tools/mqtt_conformance.py`; a test compares. All normative statements of MQTT 5.0 (OASIS, March 2019, appendix B) and MQTT 3.1.1
(OASIS, October 2014, appendix B) by number, in our own words, each with the tests that prove it or the reason why there is none.
"""


def statements(version):
    """[(id, text, reason)] in the order of the standard."""
    rows = []
    for line in (STATEMENTS / f"statements-{version}.tsv").read_text(encoding="utf-8").splitlines():
        columns = line.split("\t") + [""]
        rows.append((columns[0], columns[1], columns[2]))
    return rows


def proofs():
    """{(version, id): [test, ...]}"""
    found = {}
    for pattern in SOURCES:
        for source in sorted(ROOT.glob(pattern)):
            test, above = None, []
            for line in source.read_text(encoding="utf-8").splitlines():
                if opened := TEST.match(line):
                    suite, name, function = opened.groups()
                    test = f"{suite}.{name}" if suite else f"{source.name}::{function}"
                elif line == "}":
                    test = None
                named = [("3.1.1" if old else "5.0", statement) for old, statement in TAG.findall(line)]
                if test is None:  # a comment above a test belongs to it
                    above += named
                    continue
                for one in above + named:
                    if test not in found.setdefault(one, []):
                        found[one].append(test)
                above = []
    return found


def document():
    """The page, and what is wrong with it."""
    proved, lines, faults = proofs(), [HEAD], []
    for version in VERSIONS:
        rows = statements(version)
        known = {one[0] for one in rows}
        faults += [f"{version}: {statement} is named by {tests[0]} and is not in the standard"
                   for (of, statement), tests in sorted(proved.items()) if of == version and statement not in known]
        lines += [f"## MQTT {version}", "", f"{len(rows)} statements.", "", "| statement | what must hold | shown by |",
                  "|---|---|---|"]
        for statement, text, reason in rows:
            tests = proved.get((version, statement), [])
            if not tests and not reason:
                faults.append(f"{version}: {statement} has neither a test nor a reason: {text}")
            shown = ", ".join(f"`{test}`" for test in tests) if tests else reason or "**nothing yet**"
            lines.append(f"| {statement} | {text} | {shown} |".replace("\\|", "|"))
        lines.append("")
    return "\n".join(lines), faults


def main():
    page, faults = document()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        faults.append(f"{PAGE.relative_to(ROOT)} is not current: call tools/mqtt_conformance.py")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
