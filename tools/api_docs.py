#!/usr/bin/python3
"""Writes docs/api.md from the comments of the gRPC contracts; --check only says whether it is current (exit code 1: not)."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AREAS = ("query", "registry", "rules", "alerts", "stream", "devices")
HEAD = """# The gRPC APIs

Written by `tools/api_docs.py` from `proto/`; a test compares. Each call needs the metadata `authorization: Bearer mk_<id>_<secret>`.
With `grpcurl -plaintext ADDRESS list` the running services say the same by reflection.
"""


TABLES = {"message": "| field | type | |\n|---|---|---|", "enum": "| value | |\n|---|---|",
          "service": "| call | from | to | |\n|---|---|---|---|"}


def render(text):
    """A proto file as Markdown: a section with a table for each service, message and enum, nested ones behind their outer."""
    sections, comment, path = [], [], []  # path: names and the sections they write to
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("//"):
            comment.append(line[2:].strip())
            continue
        said, comment = " ".join(comment).replace("|", "\\|"), []
        if opened := re.match(r"(service|message|enum|oneof) (\w+) \{(\})?", line):
            kind, name, closed = opened.groups()
            if kind == "oneof":
                path.append(path[-1])
                continue
            full = f"{path[-1][0]}.{name}" if path else name
            section = ["", f"### {full}", ""] + ([said, ""] if said else []) + ([] if closed else [TABLES[kind]])
            sections.append(section)
            if not closed:
                path.append((full, section))
        elif call := re.match(r"rpc (\w+)\((.+?)\) returns \((.+?)\);", line):
            path[-1][1].append(f"| `{call[1]}` | {call[2]} | {call[3]} | {said} |")
        elif value := re.match(r"(\w+) = (\d+);", line):
            path[-1][1].append(f"| `{value[1]}` = {value[2]} | {said} |")
        elif field := re.match(r"((?:repeated |optional )?[\w.]+) (\w+) = \d+;", line):
            path[-1][1].append(f"| `{field[2]}` | {field[1]} | {said} |")
        elif line == "}":
            path.pop()
    return [line for section in sections for line in section]


def document():
    lines = [HEAD]
    for area in AREAS:
        for proto in sorted((ROOT / "proto/millrace" / area / "v1").glob("*.proto")):
            lines += ["", f"## {proto.relative_to(ROOT / 'proto')}"] + render(proto.read_text(encoding="utf-8"))
    telemetry = ROOT / "proto/millrace/telemetry/v1/telemetry.proto"
    lines += ["", f"## {telemetry.relative_to(ROOT / 'proto')}"] + render(telemetry.read_text(encoding="utf-8"))
    return "\n".join(lines) + "\n"


def main():
    target = ROOT / "docs" / "api.md"
    wanted = document()
    if sys.argv[1:] == ["--check"]:
        if not target.exists() or target.read_text(encoding="utf-8") != wanted:
            print("docs/api.md is not what the protos say: run tools/api_docs.py", file=sys.stderr)
            return 1
        return 0
    target.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
