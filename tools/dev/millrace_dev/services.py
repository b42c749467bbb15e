"""What has to be known to run each service of Millrace."""
import http.client
import json
import os
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from .layout import private_folder
from .processes import Process, wait_until
from .say import DevError

DATABASE = "millrace"


@dataclass(frozen=True)
class Description:
    """One service: its program, the port of its ops endpoint, further ports by configuration key, those that never leave this
    machine, its database role, fixed settings."""
    name: str
    ops_port: str
    ports: dict
    local_ports: dict = field(default_factory=dict)
    secure_ports: dict = field(default_factory=dict)  # only with TLS
    certificate: tuple = ()                           # with TLS: the keys that name certificate and key
    role: str | None = None
    kafka: bool = True
    state_dir: bool = False
    migrates: bool = False
    registry_key: str = ""  # the secret with which it calls device-registry
    archive: bool = False   # reads archived days
    instance: bool = False  # has a name of its own in its consumer group
    values: dict = field(default_factory=dict)

    @property
    def prefix(self):
        return "MILLRACE_" + self.name.upper().replace("-", "_") + "_"


DESCRIPTIONS = {
    one.name: one for one in (
        Description("device-registry", "registry_ops", {"GRPC_ADDR": "registry"}, role="device_registry", migrates=True,
                    certificate=("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE")),
        Description("storage-writer", "writer_ops", {}, role="storage_writer", migrates=True),
        Description("stream-processing", "stream_ops", {}, instance=True),
        Description("query-api", "query_ops", {"GRPC_ADDR": "query", "HTTP_ADDR": "query_http"}, role="query_api",
                    archive=True, certificate=("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE")),
        Description("protocol-gateway", "gateway_ops", {"MQTT_ADDR": "mqtt", "MQTT_WS_ADDR": "mqtt_ws", "HTTP_ADDR": "http",
                                                        "COAP_ADDR": "coap", "COAPS_ADDR": "coaps"},
                    local_ports={"MQTT_OPEN_ADDR": "open_mqtt"}, state_dir=True, registry_key="gateway_key",
                    secure_ports={"MQTTS_ADDR": "mqtts", "MQTT_WSS_ADDR": "mqtt_wss", "HTTPS_ADDR": "https"},
                    certificate=("TLS_CERTIFICATE_FILES", "TLS_KEY_FILES")),
        Description("storage-archiver", "archiver_ops", {}, role="storage_writer", kafka=False, state_dir=True),
        # A receiver on the same machine is what a newcomer tries first.
        Description("notifier", "notifier_ops", {}, values={"ALLOW_PRIVATE_ADDRESSES": "true"}),
    )
}


def failing_checks(report):
    """What an answer of /readyz says of the checks that fail: `kafka: no broker answers; registry: ...`."""
    try:
        said = json.loads(report)
        failing = [f"{name}: {check['detail'] or 'not yet'}" for name, check in said["checks"].items() if not check["ok"]]
        return "; ".join(["it is stopping"] * said["stopping"] + failing) or report.strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return report.strip() or "an empty answer"


class Service:
    """One instance of a service in a stack."""

    def __init__(self, description, settings, binaries, kafka, postgres, name=None, ports=None, extra=None):
        self.name = name or description.name
        self.description = description
        self.process = Process(settings.folder, self.name, stop_timeout=40)
        self.ports = dict(ports or settings.ports)
        self._settings = settings
        self._program = binaries / description.name
        self._kafka = kafka
        self._postgres = postgres
        self.extra = dict(extra or {})

    @property
    def ops_url(self):
        return f"http://127.0.0.1:{self.ports[self.description.ops_port]}"

    def environment(self):
        """Its configuration. Nothing of the caller's own Millrace settings leaks in, except those of the service."""
        prefix = self.description.prefix
        env = {key: value for key, value in os.environ.items()
               if key in ("PATH", "HOME", "LANG", "TZ") or key.startswith(prefix)}
        values = {"OPS_ADDR": f"{self._settings.listen}:{self.ports[self.description.ops_port]}"}
        values.update(self.description.values)
        for key, port in self.description.ports.items():
            values[key] = f"{self._settings.listen}:{self.ports[port]}"
        if self._settings.authority and self.description.certificate:
            for key, port in self.description.secure_ports.items():
                values[key] = f"{self._settings.listen}:{self.ports[port]}"
            values.update(zip(self.description.certificate, map(str, self._settings.server_certificate())))
        for key, port in self.description.local_ports.items():
            values[key] = f"127.0.0.1:{self.ports[port]}"
        if self.description.kafka:
            values["KAFKA_BOOTSTRAP"] = self._kafka.bootstrap
        if self.description.instance:
            values["KAFKA_INSTANCE"] = self.name
        if self.description.role:
            role = self.description.role
            values["DATABASE_URL"] = self._postgres.url(DATABASE, role, self._settings.secret(f"database_{role}"))
        if self.description.state_dir:
            values["STATE_DIR"] = str(private_folder(self._settings.folder / "state" / self.name))
        if self.description.archive and (self._program.parent / "parquet-worker").exists():
            values["ARCHIVE_STORE"] = "directory"
            values["ARCHIVE_DIRECTORY"] = str(private_folder(self._settings.archive))
        if self.description.registry_key:
            values["REGISTRY_ADDR"] = self._settings.address("registry")
            values["REGISTRY_KEY_FILE"] = str(self._settings.key_file(self.description.registry_key))
            if self._settings.authority:
                values["REGISTRY_CA_FILE"] = str(self._settings.authority.ca)
        for key, value in values.items():
            env.setdefault(prefix + key, value)
        env.update(self.extra)
        return env

    def argv(self):
        return [str(self._program)]

    def start(self):
        if not self._program.exists():
            raise DevError(f"{self._program} is not built")
        self.process.start(self.argv(), env=self.environment(), cwd=self._settings.folder)

    def current(self):
        """Whether it runs with the program and the configuration of now."""
        return self.process.matches(self.argv(), self.environment())

    def ready(self):
        return self.unready() is None

    def unready(self):
        """None while it is ready, else why it is not, in one line."""
        url = self.ops_url + "/readyz"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return None
        except urllib.error.HTTPError as error:
            return failing_checks(error.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as error:
            return f"no answer from {url} ({getattr(error, 'reason', error)})"

    def wait_ready(self, timeout=120):
        wait_until(self.ready, timeout, f"{self.name} to be ready ({self.ops_url}/readyz)", while_alive=self.process,
                   why=self.unready)

    def call(self, *arguments, timeout=120, secret=False):
        """Runs the program with arguments (migrate, bootstrap) under its configuration; returns what it prints."""
        try:
            done = subprocess.run([*self.argv(), *arguments], env=self.environment(), text=True, capture_output=True,
                                  check=False, timeout=timeout, stdin=subprocess.DEVNULL, cwd=self._settings.folder)
        except subprocess.TimeoutExpired:
            raise DevError(f"{self.description.name} {' '.join(arguments)} did not end within {timeout} s") from None
        if done.returncode != 0:
            shown = "" if secret else done.stdout
            raise DevError(f"{self.description.name} {' '.join(arguments)} ended with {done.returncode}:\n"
                           f"{shown}{done.stderr}")
        return done.stdout

    def alive(self):
        return self.process.alive()

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def signal(self, number):
        self.process.signal(number)
