"""Packages of the distribution: what is needed, what is missing, how it is installed without starting servers."""
import contextlib
import os
import subprocess
from pathlib import Path

from . import say
from .layout import Layout
from .say import DevError

# What compiles Millrace. A file, so that deploy/docker/Dockerfile installs exactly the same.
BUILD = (Layout().deploy / "docker" / "build-packages.txt").read_text(encoding="ascii").split()
RUN = """
    postgresql postgresql-client openjdk-17-jre-headless maven mosquitto-clients libcoap3-bin curl python3-venv
""".split()
TEST = """
    autoconf automake python3-dev
    python3-pytest python3-grpcio python3-protobuf python3-paho-mqtt python3-psycopg2
    clang-format-19 clang-tidy-19
    python3-yaml prometheus mosquitto haproxy
""".split()
BENCH = ["mosquitto"]  # what a benchmark is held against
FUZZ = "clang-19 libclang-rt-19-dev llvm-19".split()  # libFuzzer, and names in what it reports
KUBERNETES = ["etcd-server", "openssl"]
# A container engine and what makes a base image for it without a registry (./dev soak compose).
CONTAINERS = "docker.io containerd runc iptables debootstrap docker-compose".split()

_POLICY = Path("/usr/sbin/policy-rc.d")
_SAVED = Path("/usr/sbin/policy-rc.d.millrace-saved")


def install(wanted, log):
    missing = sorted(set(wanted) - _installed())
    if not missing:
        return
    _check_distribution()
    say.line("  These packages of the distribution are missing and are installed now (no server is started):")
    for begin in range(0, len(missing), 6):
        say.line("    " + " ".join(missing[begin:begin + 6]))
    root = [] if os.geteuid() == 0 else ["sudo"]
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    with _no_server_starts(root):
        say.run(root + ["apt-get", "update", "-q"], log / "apt-update.log", "package lists")
        say.run(root + quiet + ["apt-get", "install", "-q", "-y", "--no-install-recommends"] + missing,
                log / "apt-install.log", f"{len(missing)} packages")
    still = sorted(set(wanted) - _installed())
    if still:
        raise DevError(f"these packages are still not installed: {' '.join(still)} (see {log / 'apt-install.log'})")


def _installed():
    try:
        text = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"], check=True,
                              capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise DevError("this machine has no dpkg: ./dev installs packages on Debian 12 only") from None
    return {line.split()[1] for line in text.splitlines() if line.startswith("ii ")}


def _check_distribution():
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    if 'VERSION_CODENAME=bookworm' not in release:
        say.warn("this is not Debian 12 (bookworm); the package names may not fit")


@contextlib.contextmanager
def _no_server_starts(root):
    """While packages are installed, policy-rc.d forbids their servers to start. A machine's own policy is put back."""
    if _SAVED.exists():  # a call that was killed left its policy here: what it saved is the machine's own
        subprocess.run(root + ["mv", "-f", str(_SAVED), str(_POLICY)], check=True)
    had_own = _POLICY.exists()
    if had_own:
        subprocess.run(root + ["mv", str(_POLICY), str(_SAVED)], check=True)
    try:
        subprocess.run(root + ["sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{_POLICY} && chmod 755 {_POLICY}"],
                       check=True)
        yield
    finally:
        if had_own:
            subprocess.run(root + ["mv", "-f", str(_SAVED), str(_POLICY)], check=True)
        else:
            subprocess.run(root + ["rm", "-f", str(_POLICY)], check=True)
