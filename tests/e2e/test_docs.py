"""Every shell block of README.md and docs/ is run against a running system, as pasted."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from millrace_lab import ROOT

# Blocks that are marked `sh docker` need an engine: ./dev soak compose pastes exactly those.
# What installs, builds, tests or ends a system is shown by running it (./dev test is such a run), not from inside a test.
_NOT_HERE = re.compile(r"^\s*\./dev (up|test|down|reset|bench|soak|tidy|format|release)\b", re.M)


def _blocks():
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = file.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(?:sh|bash)\n(.*?)^```", text, re.M | re.S):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match.group(1), id=f"{file.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("block", list(_blocks()))
def test_shell_block(lab, block, tmp_path):
    if _NOT_HERE.search(block):
        lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        for line in lines:
            call = re.match(r"\s*\./dev (\S+)", line)
            assert call, f"a block with ./dev calls that are not run here holds something else: {line}"
            listed = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
            assert re.search(rf"^  {call.group(1)}\b", listed, re.M), f"./dev help does not know {call.group(1)}"
        return
    settings = lab.stack.settings
    if not settings.kept("device_token"):
        settings.keep("device_token", lab.create_device("device-1"))
        settings.keep("device_id", "device-1")
    # `./dev …` in a block acts on the lab: its state folder has the form of that of ./dev up.
    environment = {**os.environ, **lab.environment, "MILLRACE_DEV_STATE": str(_state(lab, tmp_path)),
                   "PATH": f"{lab.binaries}:{lab.layout.tools / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=environment, cwd=ROOT, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def _anchor(heading):
    """The anchor of a heading, as GitHub makes it."""
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", lambda match: match.group(1) or "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def test_links_lead_somewhere():
    """Every relative link of a page names a file of the repository, and its anchor a heading of that page."""
    broken = []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "libs").rglob("*.md"), *(ROOT / "tools").rglob("*.md")]
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M) if file.suffix == ".md" and file.exists() else []
            if not file.exists() or (anchor and anchor not in map(_anchor, headings)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken, broken


def _state(lab, folder: Path):
    state = folder / "state"
    if not state.exists():
        state.mkdir()
        (state / "up").symlink_to(lab.folder)
        lab.stack.settings.save()
        # ./dev env names the profile that ./dev up writes; here the environment says everything that it would.
        (lab.folder / "profile").touch()
    return state
