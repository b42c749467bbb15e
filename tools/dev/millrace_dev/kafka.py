"""Kafka without Docker: jars through Maven, one KRaft node."""
import base64
import hashlib
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from . import say
from .layout import private_folder
from .processes import Process, wait_until
from .say import DevError
from .settings import free_ports

# A small and quick start; a benchmark asks for the full compiler and a larger heap and says so.
SMALL = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
LARGE = ["-Xmx1g", "-XX:+UseG1GC"]


def install(layout):
    """Fetches the jars that deploy/kafka/pom.xml names and checks them against jars.sha256."""
    expected_file = layout.deploy / "kafka" / "jars.sha256"
    expected = dict(reversed(line.split()) for line in expected_file.read_text(encoding="ascii").splitlines())
    stamp = layout.kafka_jars.parent / "checked"
    identity = hashlib.sha256(expected_file.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == identity:
        return
    shutil.rmtree(layout.kafka_jars, ignore_errors=True)
    layout.kafka_archive.unlink(missing_ok=True)
    say.run(["mvn", "-B", "-f", layout.deploy / "kafka" / "pom.xml", "dependency:copy-dependencies",
             f"-DoutputDirectory={layout.kafka_jars}"], layout.install_logs / "maven.log", "Kafka's jars through Maven")
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in layout.kafka_jars.glob("*.jar")}
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            raise DevError(f"{layout.kafka_jars / name} is not the file that deploy/kafka/jars.sha256 expects "
                           "(a damaged local Maven repository? remove it there and run this again)")
    _archive_classes(layout)
    stamp.write_text(identity, encoding="ascii")


def _archive_classes(layout):
    """Lets one broker start and stop to write a class-data archive: later starts take half the time. Without the
    archive everything works, only slower, so a failure here is only told."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-kafka-"))
    try:
        with say.Step("Kafka's class archive"):
            ports = free_ports()
            broker = Kafka(layout, folder, ports["kafka"], ports["kafka_controller"],
                           extra=[f"-XX:ArchiveClassesAtExit={layout.kafka_archive}"])
            broker.start()
            broker.wait_ready()
            broker.stop()
    except DevError as error:
        say.warn(f"no class archive for Kafka, its starts will be slower: {error}")
    finally:
        Kafka(layout, folder, 0, 0).kill()
        shutil.rmtree(folder, ignore_errors=True)


def _cluster_id():
    """A random one. The storage tool takes a leading dash for an option."""
    while True:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not cluster.startswith("-"):
            return cluster


class Kafka:
    """One broker whose files are below folder/kafka."""

    def __init__(self, layout, folder: Path, port, controller_port, jvm=None, extra=()):
        self.name = "kafka"
        self.port = port
        self.controller_port = controller_port
        self.process = Process(folder, "kafka", stop_timeout=60)
        self._layout = layout
        self._folder = folder / "kafka"
        self._jvm = list(jvm or SMALL)
        self._extra = list(extra)
        self._log_mark = 0

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self._write_config()
        if not (self._folder / "data" / "meta.properties").exists():
            self._format()
        self._log_mark = self.process.log.stat().st_size if self.process.log.exists() else 0
        archive = self._layout.kafka_archive
        options = self._extra or ([f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive.exists() else [])
        self.process.start(self.java(options) + ["kafka.Kafka", self._config])

    def wait_ready(self, timeout=120):
        def started():
            with open(self.process.log, "rb") as log:
                log.seek(self._log_mark)
                return b"Kafka Server started" in log.read()
        wait_until(started, timeout, "Kafka to be ready", while_alive=self.process)

    def alive(self):
        return self.process.alive()

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def signal(self, number):
        self.process.signal(number)

    @property
    def _config(self):
        return self._folder / "server.properties"

    def java(self, options=()):
        """The command line of a Java program of Kafka's, without its class."""
        settings = self._layout.deploy / "kafka" / "log4j2.properties"
        return ["/usr/bin/java", *self._jvm, *options, "-cp", f"{self._layout.kafka_jars}/*",
                f"-Dlog4j2.configurationFile={settings}"]

    def _write_config(self):
        private_folder(self._folder)
        text = (self._layout.deploy / "kafka" / "server.properties.in").read_text(encoding="utf-8")
        for name, value in (("CONTROLLER_PORT", self.controller_port), ("PORT", self.port),
                            ("DATA", self._folder / "data")):
            text = text.replace(f"@{name}@", str(value))
        self._config.write_text(text, encoding="utf-8")

    def _format(self):
        shutil.rmtree(self._folder / "data", ignore_errors=True)  # of a format that was interrupted
        cluster = _cluster_id()
        done = subprocess.run([str(part) for part in self.java()] +
                              ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._config)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DevError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
