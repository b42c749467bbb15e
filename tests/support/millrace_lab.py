"""A whole Millrace of its own for one test: Kafka, PostgreSQL and the services on free ports in a folder of its own.

The servers are started, killed and stopped by the same code as those of ./dev up (tools/dev/millrace_dev).
"""
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "dev"))

from millrace_dev import environment, kafka, say, system  # noqa: E402
from millrace_dev.layout import Layout  # noqa: E402
from millrace_dev.processes import wait_until  # noqa: E402
from millrace_dev.settings import Settings, free_ports  # noqa: E402
from millrace_dev.services import DATABASE, DESCRIPTIONS, Service  # noqa: E402
from millrace_dev.stack import Stack  # noqa: E402

import protos  # noqa: E402
from http_device import HttpDevice  # noqa: E402

TENANT = environment.TENANT


class Lab:
    """Start with start(), end with close(). Members are named as in ./dev: kafka, postgres, protocol-gateway, …"""

    def __init__(self, folder=None, jvm=None):
        self.layout = Layout()
        self.folder = Path(folder or new_folder())
        self.stack = Stack(self.layout, Settings(self.folder, free_ports()), jvm=jvm)
        self.allowed_errors = set()  # messages of error lines that the test expects
        self._extra_services = {}
        self._log_marks = {}
        self._channels = {}

    # --- life ---

    def start(self):
        system.start(self.stack)
        return self

    def close(self):
        for channel in self._channels.values():
            channel.close()
        for service in self._extra_services.values():
            service.stop()
        self.stack.stop_all()

    def member(self, name):
        return self._extra_services.get(name) or self.stack.member(name)

    def kill(self, name, number=signal.SIGKILL):
        """SIGKILL returns when nothing of the member is left; SIGSTOP of PostgreSQL stops its sessions too."""
        if number == signal.SIGKILL:
            self.member(name).kill()
        else:
            self.member(name).signal(number)

    def begin(self, name):
        """Starts a member again without waiting for it to be ready."""
        self.member(name).start()

    def wait_ready(self, name, timeout=120):
        self.member(name).wait_ready(timeout)

    def restart(self, name, timeout=120):
        self.begin(name)
        self.wait_ready(name, timeout)

    def add_service(self, kind, name, extra=None):
        """A second instance of a service, on ports of its own."""
        ports = free_ports()
        ports.update(kafka=self.stack.settings.ports["kafka"], postgres=self.stack.settings.ports["postgres"])
        service = Service(DESCRIPTIONS[kind], self.stack.settings, self.layout.binaries, self.stack.kafka,
                          self.stack.postgres, name=name, ports=ports, extra=extra)
        self._extra_services[name] = service
        self._mark_log(service)  # one of this name may have written into it before
        service.start()
        return service

    def drop_service(self, name):
        """Ends a further instance; the lab forgets it."""
        service = self._extra_services.pop(name)
        if service.alive():  # or the test has ended it
            service.stop()

    def wait_all_ready(self, timeout=120):
        for service in self.stack.services.values():
            service.wait_ready(timeout)

    # --- what a test asks ---

    @property
    def environment(self):
        """The variables of ./dev env, for `millrace`, `millrace-fleet` and scripts."""
        return environment.client_environment(self.stack)

    @property
    def binaries(self):
        return self.layout.binaries

    @property
    def http_url(self):
        return f"http://{self.stack.settings.address('http')}"

    @property
    def mqtt_port(self):
        return self.stack.settings.ports["mqtt"]

    @property
    def open_mqtt_port(self):
        return self.stack.settings.ports["open_mqtt"]

    @property
    def api_key(self):
        return self.stack.settings.kept("api_key")

    def millrace(self, *arguments, timeout=120):
        return system.millrace(self.stack, *arguments, timeout=timeout)

    def sql(self, text):
        """Rows of a query, as lists of text, straight from the database."""
        output = self.stack.postgres.sql(text, DATABASE)
        return [row.split("|") for row in output.splitlines()]

    def create_device(self, device, tenant_key=None):
        """A new device that the gateway knows; returns its token."""
        token = self.registry("CreateDevice", key=tenant_key, device=device).token
        if tenant_key is None and self.stack.services["protocol-gateway"].alive():
            probe = HttpDevice(self, device, token)
            # Refused for its content type, which is looked at after the credentials: nothing is stored.
            eventually(lambda: probe.post(b"", {"Content-Type": "text/plain"})[0] == 415, 60, f"the gateway to know {device}")
            probe.close()
        return token

    def create_devices(self, names):
        """Many devices over one stream; returns {device: token}."""
        pb = protos.registry()
        requests = [pb.CreateDeviceRequest(device=name) for name in names]
        call = self._channel("registry").stream_stream(
            "/millrace.registry.v1.RegistryService/ImportDevices",
            request_serializer=pb.CreateDeviceRequest.SerializeToString,
            response_deserializer=pb.ImportDeviceResult.FromString)
        tokens = {}
        for result in call(iter(requests), metadata=self._metadata(), timeout=120):
            assert not result.error, f"{result.device}: {result.error}"
            tokens[result.device] = result.token
        assert set(tokens) == set(names)
        return tokens

    def registry(self, method, key=None, **fields):
        """A unary call of RegistryService by its name."""
        return self._unary("registry", protos.registry(), "RegistryService", method, key, fields)

    def query(self, method, key=None, **fields):
        """A unary call of QueryService by its name."""
        return self._unary("query", protos.query(), "QueryService", method, key, fields)

    def range_samples(self, device, metric, begin_us, end_us, key=None):
        """All raw samples of one series, over all pages; none while the metric has never been stored."""
        import grpc
        samples, token = [], ""
        while True:
            try:
                page = self.query("Range", key, device=device, metric=metric, from_us=begin_us, to_us=end_us,
                                  page_size=10000, page_token=token)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.NOT_FOUND and "no metric" in error.details():
                    return samples
                raise
            samples.extend(page.samples)
            token = page.next_page_token
            if not token:
                return samples

    def metrics(self, service, name):
        """Sum of a Prometheus metric over its labels."""
        with urllib.request.urlopen(self.member(service).ops_url + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        total = 0.0
        for line in text.splitlines():
            if line.startswith((name + " ", name + "{")):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def readyz(self, service):
        """(whether it is ready, what it says of each check)."""
        try:
            with urllib.request.urlopen(self.member(service).ops_url + "/readyz", timeout=10) as answer:
                return True, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return False, refused.read().decode()

    # --- logs ---

    def mark_logs(self):
        """Error lines before now belong to an earlier test."""
        for service in self.services():
            self._mark_log(service)

    def _mark_log(self, service):
        log = service.process.log
        self._log_marks[service.name] = log.stat().st_size if log.exists() else 0

    def error_lines(self):
        """Error lines of the services since mark_logs() that the test did not allow, and lines that are no JSON."""
        found = []
        for service in self.services():
            if not service.process.log.exists():
                continue
            with open(service.process.log, "rb") as log:
                log.seek(self._log_marks.get(service.name, 0))
                lines = log.read().decode("utf-8", "replace").splitlines()
            for line in lines:
                try:
                    entry = json.loads(line)
                    level, message = entry.get("level"), entry.get("message") or entry.get("msg") or ""
                except ValueError:
                    level, message = "error", line
                if level == "error" and not any(allowed in message for allowed in self.allowed_errors):
                    found.append(f"{service.name}: {line}")
        return found

    def tails(self, lines=30):
        everyone = list(self.stack.members().values()) + list(self._extra_services.values())
        return "\n".join(f"== {member.name} ({member.process.log})\n{say.tail_of(member.process.log, lines)}"
                         for member in everyone)

    # --- inside ---

    def services(self):
        """All instances of all services, further ones included."""
        return list(self.stack.services.values()) + list(self._extra_services.values())

    def _channel(self, port):
        import grpc
        if port not in self._channels:
            self._channels[port] = grpc.insecure_channel(self.stack.settings.address(port), options=[
                ("grpc.max_receive_message_length", 64 << 20), ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500)])
        return self._channels[port]

    def _metadata(self, key=None):
        return (("authorization", f"Bearer {key or self.api_key}"),)

    def _unary(self, port, module, service, method, key, fields):
        descriptor = module.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        request = protos.message_class(descriptor.input_type)(**fields)
        call = self._channel(port).unary_unary(
            f"/{descriptor.containing_service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=protos.message_class(descriptor.output_type).FromString)
        return call(request, metadata=self._metadata(key), timeout=60, wait_for_ready=True)


def new_folder():
    """A folder for one lab, below the one that ./dev test sweeps."""
    base = os.environ.get("MILLRACE_TEST_DIR") or Layout().test / f"run-{os.getpid()}"
    Path(base).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="lab-", dir=base)
    # PostgreSQL runs as a user of its own and must be able to pass through.
    os.chmod(folder, 0o711)
    return Path(folder)


def remove_folder(lab):
    shutil.rmtree(lab.folder, ignore_errors=True)


def eventually(condition, timeout, what, interval=0.05):
    """Waits for a condition and returns its value; the failure says what did not come."""
    value = []

    def check():
        value[:] = [condition()]
        return value[0]
    wait_until(check, timeout, what, interval)
    return value[0]


def install_kafka():
    kafka.install(Layout())


def now_us():
    return time.time_ns() // 1000
