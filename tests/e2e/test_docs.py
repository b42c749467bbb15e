"""Every shell block of README.md and docs/ is run against a running system, as pasted. A block that begins with ```sh NAME
needs more than that (an engine for containers, a cluster): ./dev soak NAME runs it."""
import contextlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from millrace_dev import docs, soak
from millrace_lab import ROOT
from tls_front import Front

# What installs, builds, tests or ends a system is shown by running it (./dev test is such a run), not from inside a test.
_NOT_HERE = re.compile(r"^\s*\./dev (up|test|down|reset|bench|soak|tidy|format|release)\b", re.M)


_BLOCKS = docs.blocks(ROOT)


@pytest.mark.parametrize("block", [pytest.param(one, id=one.place) for one in _BLOCKS if one.soak])
def test_block_of_a_soak(block):
    assert block.soak in soak.NAMES, f"{block.place}: there is no ./dev soak {block.soak}"


@pytest.mark.parametrize("block", [pytest.param(one.text, id=one.place) for one in _BLOCKS if not one.soak])
def test_shell_block(lab, block, tmp_path, request):
    if _NOT_HERE.search(block):
        lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        for line in lines:
            call = re.match(r"\s*\./dev (\S+)", line)
            assert call, f"a block with ./dev calls that are not run here holds something else: {line}"
            listed = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
            assert re.search(rf"^  {call.group(1)}\b", listed, re.M), f"./dev help does not know {call.group(1)}"
        return
    if "storage-archiver once" in block:
        request.getfixturevalue("parquet_worker")
    settings = lab.stack.settings
    if not settings.kept("device_token"):
        settings.keep("device_token", lab.create_device("device-1"))
        settings.keep("device_id", "device-1")
    # `./dev …` in a block acts on the lab: its state folder has the form of that of ./dev up.
    environment = {**os.environ, **lab.environment, "MILLRACE_DEV_STATE": str(_state(lab, tmp_path)),
                   "PATH": f"{lab.binaries}:{lab.layout.tools / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"}
    with contextlib.ExitStack() as ends:
        if "MILLRACE_CA_FILE" in block:  # of a system that runs with --tls
            environment.update(_secure(lab, tmp_path, ends, registry='/millrace" ' in block))
        _run(block, environment)


def _secure(lab, folder, ends, registry):
    """A gateway with TLS, and a registry for `millrace`, which then speaks TLS too; what ./dev env prints for them."""
    front = Front(lab, folder / "tls")
    ends.callback(front.close)
    if not registry:
        return front.environment
    files = dict(zip(("CERTIFICATE", "KEY"), front.authority.server()))
    service = lab.add_service("device-registry", "tls-registry", extra={
        f"MILLRACE_DEVICE_REGISTRY_TLS_{name}_FILE": str(file) for name, file in files.items()})
    ends.callback(lab.drop_service, "tls-registry")
    service.wait_ready()
    return {**front.environment, "MILLRACE_REGISTRY_ADDR": f"127.0.0.1:{service.ports['registry']}"}


def _run(block, environment):
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
