"""Format, clang-tidy and the contracts: what a machine can say about the source."""
import concurrent.futures
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import build, manifests, packages, say, toolchain
from .say import DevError

FORMAT = "clang-format-19"
TIDY = "clang-tidy-19"
FOLDERS = ("libs", "services", "tools", "tests")
IMAGE = "proto/released.binpb"


def sources(layout, patterns=("*.cpp", "*.hpp")):
    return sorted(file for folder in FOLDERS for pattern in patterns for file in (layout.root / folder).rglob(pattern))


def format_sources(layout):
    packages.install([FORMAT], layout.install_logs)
    subprocess.run([FORMAT, "-i", *map(str, sources(layout))], check=True)
    return 0


def badly_formatted(layout):
    """Names of files that ./dev format would change."""
    done = subprocess.run([FORMAT, "--dry-run", *map(str, sources(layout))], capture_output=True, text=True, check=False)
    return sorted(set(re.findall(r"^(\S+?):\d+:\d+: warning: code should be clang-formatted", done.stderr, re.M)))


# --- clang-tidy ---

def tidy(layout, areas):
    """All of libs/ and services/, or the given folders."""
    packages.install(packages.BUILD + packages.TEST, layout.install_logs)
    build.build(layout)
    faults = tidy_faults(layout, areas or ["libs", "services", "tools"])
    for fault in faults:
        say.line(fault)
    say.line(f"{len(faults)} findings")
    return 1 if faults else 0


def tidy_faults(layout, areas):
    """What clang-tidy finds in the sources below the given folders. A file that was clean is looked at again only when
    it, a header of it, its command or the rules changed."""
    commands = {entry["file"]: entry for entry in
                json.loads((layout.build() / "compile_commands.json").read_text(encoding="utf-8"))}
    roots = [str(layout.root / area) + "/" for area in areas]
    files = sorted(file for file in commands if any(file.startswith(root) for root in roots))
    dependencies = _dependencies(layout)
    clean = layout.state / "tidy"
    clean.mkdir(parents=True, exist_ok=True)
    faults = []
    with say.Step(f"clang-tidy: {', '.join(areas)}") as step, concurrent.futures.ThreadPoolExecutor(
            max_workers=os.cpu_count()) as pool:
        def one(file):
            mark = clean / _tidy_identity(layout, commands[file], dependencies)
            if mark.exists():
                return []
            found = _tidy_file(layout, file)
            if not found:
                mark.touch()
            return found
        for count, found in enumerate(pool.map(one, files), 1):
            step.detail = f"{count} of {len(files)} files"
            faults.extend(found)
    return sorted(set(faults))


def _tidy_file(layout, file):
    done = subprocess.run([TIDY, "-p", str(layout.build()), "--quiet", file], capture_output=True, text=True, check=False)
    found = re.findall(r"^\S+:\d+:\d+: (?:warning|error): .*$", done.stdout, re.M)
    if done.returncode != 0 and not found:
        found = [f"{file}: clang-tidy ended with {done.returncode}: {done.stderr.strip()[-500:]}"]
    return [text.replace(str(layout.root) + "/", "") for text in found]


def _dependencies(layout):
    """Object file → the project's own files that it was made from, as ninja noted them."""
    text = subprocess.run(["ninja", "-C", str(layout.build()), "-t", "deps"], capture_output=True, text=True,
                          check=True).stdout
    found, current = {}, None
    for line in text.splitlines():
        if line and not line.startswith(" "):
            current = found.setdefault(line.split(":")[0], [])
        elif current is not None and line.strip():
            path = (layout.build() / line.strip()).resolve()
            if path.is_relative_to(layout.root):
                current.append(path)
    return found


def _tidy_identity(layout, entry, dependencies):
    digest = hashlib.sha256((layout.root / ".clang-tidy").read_bytes())
    digest.update(entry["command"].encode())
    output = re.search(r" -o (\S+)", entry["command"])
    for path in [Path(entry["file"]), *dependencies.get(output.group(1) if output else "", [])]:
        try:
            digest.update(str(path).encode() + hashlib.sha256(path.read_bytes()).digest())
        except FileNotFoundError:
            digest.update(b"gone")
    return digest.hexdigest()


# --- contracts ---

def contract_faults(layout, folder=None):
    """What buf says of the protos: rules, and changes that would break a peer of the released image."""
    folder = folder or layout.root / "proto"
    faults = _buf(layout, "lint", str(folder))
    image = layout.root / IMAGE
    if not image.exists():
        return faults + [f"{IMAGE} is missing (./dev release makes it)"]
    return faults + _buf(layout, "breaking", str(folder), "--against", str(image))


def breaks_are_refused(layout):
    """Breaks a field on purpose, in a copy; returns a fault when that is not seen."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "proto"
        shutil.copytree(layout.root / "proto", copy)
        proto = copy / "millrace" / "telemetry" / "v1" / "telemetry.proto"
        text = proto.read_text(encoding="utf-8")
        broken = text.replace("string tenant = 4;", "bytes tenant = 4;")
        if broken == text:
            return ["the field that this check breaks is gone: name another one"]
        proto.write_text(broken, encoding="utf-8")
        faults = contract_faults(layout, copy)
        if not any("tenant" in fault for fault in faults):
            return ["a field of another type was not refused"]
    return []


def release(layout, allow_breaking):
    """Renews the image that later changes are compared with."""
    toolchain.install(layout)
    changed = subprocess.run(["git", "-C", str(layout.root), "status", "--porcelain", "--", "proto"],
                             capture_output=True, text=True, check=True).stdout
    if changed.strip():
        raise DevError("proto/ has uncommitted changes; a release names a commit")
    faults = contract_faults(layout)
    faults = [fault for fault in faults if not fault.startswith(f"{IMAGE} is missing")]
    if faults and not allow_breaking:
        raise DevError("\n".join(faults) + "\nA peer of the released contracts would break. --breaking if that is meant.")
    buf = layout.tools / "bin" / "buf"
    subprocess.run([buf, "build", str(layout.root / "proto"), "--exclude-source-info", "-o", str(layout.root / IMAGE)],
                   check=True)
    say.line(f"{IMAGE} is the contract from now on; commit it and tag the commit (git tag -a v…)")
    return 0


def _buf(layout, *arguments):
    done = subprocess.run([layout.tools / "bin" / "buf", *arguments], capture_output=True, text=True, check=False,
                          cwd=layout.root)
    if done.returncode == 0:
        return []
    return (done.stdout + done.stderr).strip().splitlines() or [f"buf {arguments[0]} ended with {done.returncode}"]


# --- as a label of ./dev test ---

def cases(layout):
    """(name, faults) of each check. Of the services one is read by clang-tidy in turn, another one each day."""
    yield "format", badly_formatted(layout)
    yield "contracts", contract_faults(layout)
    yield "a broken contract is refused", breaks_are_refused(layout)
    yield from manifests.cases(layout)
    from . import deploy_checks  # needs a package that only ./dev test installs
    yield "monitoring", deploy_checks.monitoring_faults(layout)
    yield "containers", deploy_checks.container_faults(layout)
    yield "tidy libs", tidy_faults(layout, ["libs"])
    services = sorted(path.name for path in (layout.root / "services").iterdir() if path.is_dir())
    if services:
        service = services[datetime.date.today().toordinal() % len(services)]
        yield f"tidy services/{service}", tidy_faults(layout, [f"services/{service}"])
