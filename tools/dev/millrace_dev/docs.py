"""The shell blocks of README.md and docs/: which there are, and what runs each."""
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    place: str  # file:line
    soak: str  # of ```sh NAME: the soak that runs it; empty: tests/e2e/test_docs.py does, against a running system
    text: str


def blocks(root):
    found = []
    for file in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        text = file.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(?:sh|bash)(?:[ \t]+(\S[^\n]*?))?[ \t]*\n(.*?)^```", text, re.M | re.S):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(f"{file.relative_to(root)}:{line}", match.group(1) or "", match.group(2)))
    return found
