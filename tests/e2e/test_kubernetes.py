"""What deploy/kubernetes says to the programs, tried without a cluster: the broker's configuration, the steps of the setup
Job and the settings of every service, as the single-node overlay has them. Only addresses and folders are other ones."""
import base64
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from millrace_dev import kafka, manifests, processes, toolchain
from millrace_dev.manifest_rules import WORKLOADS, containers
from millrace_dev.postgres import Postgres
from millrace_dev.services import DESCRIPTIONS
from millrace_dev.settings import free_ports
from millrace_lab import Layout, eventually, new_folder


class Broker(kafka.Kafka):
    """Runs with the overlay's server.properties."""
    text = ""

    def _write_config(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        text = self.text
        for old, new in (("listeners=PLAINTEXT://:9092", f"listeners=PLAINTEXT://127.0.0.1:{self.port}"),
                         ("127.0.0.1:9093", f"127.0.0.1:{self.controller_port}"), ("kafka:9092", self.bootstrap),
                         ("/var/lib/kafka/data/log", str(self._folder / "data"))):
            assert old in text, f"server.properties says nothing of {old}"
            text = text.replace(old, new)
        self._config.write_text(text, encoding="utf-8")


class Site:
    """The overlay's objects, and processes in the place of its pods."""

    def __init__(self):
        self.layout = Layout()
        self.folder = new_folder()
        self.ports = free_ports()
        kustomize, _ = toolchain.install_manifest_checks(self.layout)
        with manifests.copy_with_secrets(self.layout) as folder:
            self.objects = manifests.render(kustomize, folder / manifests.OVERLAYS[0])
        self.kafka = Broker(self.layout, self.folder, self.ports["kafka"], self.ports["kafka_controller"])
        self.kafka.text = next(one["data"]["server.properties"] for one in self.objects
                               if one["kind"] == "ConfigMap" and "server.properties" in one["data"])
        secret = next(one for one in self.objects if one["kind"] == "Secret" and "superuser-password" in one["data"])
        self.password = base64.b64decode(secret["data"]["superuser-password"]).decode()
        self.postgres = Postgres(self.folder, self.ports["postgres"], self.password, fast=True)
        self.services = {}

    def start(self):
        for one in (self.kafka, self.postgres):
            one.start()
        for one in (self.kafka, self.postgres):
            one.wait_ready()
        roles = next(one["data"]["roles.sql"] for one in self.objects
                     if one["kind"] == "ConfigMap" and "roles.sql" in one["data"])
        (self.folder / "roles.sql").write_text(roles, encoding="utf-8")

    def close(self):
        for process in self.services.values():
            process.stop()
        self.postgres.stop()
        self.kafka.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def template(self, kind, name):
        return next(one for one in self.objects if one["kind"] == kind and one["metadata"]["name"] == name)["spec"]["template"]

    def environment(self, container, name):
        return {"PATH": f"{self.layout.binaries}:/usr/bin:/bin",
                **{one["name"]: self._here(one["name"], self._value(container, one, name)) for one in container.get("env", [])}}

    def _value(self, container, one, name):
        if "value" in one:
            return one["value"]
        kind, source = next(iter(one["valueFrom"].items()))
        if kind == "fieldRef":
            return f"{name}-0"
        if kind == "resourceFieldRef":
            return container["resources"]["limits"]["cpu"]
        data = next((other["data"] for other in self.objects
                     if other["kind"] == {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}[kind]
                     and other["metadata"]["name"] == source["name"]), None)
        if data is None and source.get("optional"):
            return ""
        return base64.b64decode(data[source["key"]]).decode() if kind == "secretKeyRef" else data[source["key"]]

    def _here(self, setting, value):
        if setting == "PGHOST":
            return "127.0.0.1"
        if setting.endswith("_STATE_DIR"):
            (self.folder / "gateway").mkdir(exist_ok=True)
            return str(self.folder / "gateway")
        if setting.endswith("_ADDR"):
            description = next(one for one in DESCRIPTIONS.values() if setting.startswith(one.prefix))
            key = setting.removeprefix(description.prefix)
            ports = {"OPS_ADDR": description.ops_port, "REGISTRY_ADDR": "registry", **description.ports}
            return f"127.0.0.1:{self.ports[ports[key]]}"
        return value.replace("@postgres:5432", f"@127.0.0.1:{self.postgres.port}").replace("kafka:9092", self.kafka.bootstrap)

    def set_up(self):
        """The steps of the Job in their order; what they print."""
        printed = []
        for container in containers(self.template("Job", "setup")):
            image = container["image"].partition(":")[0].removeprefix("millrace/")
            argv = container.get("command", [image]) + container.get("args", [])
            argv = [part.replace("/sql/roles.sql", str(self.folder / "roles.sql")) for part in argv]
            environment = {**self.environment(container, "setup"), "PGPORT": str(self.postgres.port)}
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False,
                                  stdin=subprocess.DEVNULL)
            assert done.returncode == 0, f"{container['name']}: {shlex.join(argv)}\n{done.stdout}{done.stderr}"
            printed.append(done.stdout + done.stderr)
        return "".join(printed)

    def run_services(self):
        for kind in WORKLOADS:
            for one in self.objects:
                name = one["metadata"]["name"]
                if one["kind"] == kind and name in DESCRIPTIONS:
                    process = processes.Process(self.folder, name, stop_timeout=40)
                    container = one["spec"]["template"]["spec"]["containers"][0]
                    process.start([self.layout.binaries / name], env=self.environment(container, name), cwd=self.folder)
                    self.services[name] = process

    def ready(self, name):
        try:
            port = self.ports[DESCRIPTIONS[name].ops_port]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def may(self, role, statement):
        """Whether the role, with the address of its Secret, may do it."""
        container = self.template("Deployment", role)["spec"]["containers"][0]
        url = self.environment(container, role)[DESCRIPTIONS[role].prefix + "DATABASE_URL"]
        done = subprocess.run(["psql", "-X", "-q", "-c", statement, url], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "permission denied" in done.stderr, done.stderr
        return done.returncode == 0


@pytest.fixture(scope="module")
def site():
    one = Site()
    try:
        one.start()
        yield one
    finally:
        one.close()


def test_the_setup_job_makes_topics_roles_and_schema_and_may_be_repeated(site):
    assert "created millrace.telemetry" in site.set_up()
    again = site.set_up()
    assert "created" not in again and "schema storage: 0 migrations applied" in again


def test_each_role_may_do_what_it_needs_and_no_more(site):
    site.set_up()
    assert site.may("query-api", "SELECT count(*) FROM storage.latest")
    assert not site.may("query-api", "DELETE FROM storage.latest")
    assert not site.may("query-api", "SELECT * FROM registry.api_key")
    assert site.may("device-registry", "SELECT count(*) FROM storage.dead_letter, storage.ingest_offset")
    assert not site.may("device-registry", "SELECT count(*) FROM storage.latest")


def test_a_gateway_finds_the_key_for_the_registry_where_its_secret_is_mounted(site):
    spec = site.template("StatefulSet", "protocol-gateway")["spec"]
    container = spec["containers"][0]
    file = next(one["value"] for one in container["env"] if one["name"].endswith("_REGISTRY_KEY_FILE"))
    mount = next(one for one in container["volumeMounts"] if file == f"{one['mountPath']}/key")
    secret = next(one["secret"] for one in spec["volumes"] if one["name"] == mount["name"])
    assert mount["readOnly"] and secret["secretName"] == "gateway-registry"
    assert secret["optional"], "who makes no devices this way needs no key"
    address = next(one["value"] for one in container["env"] if one["name"].endswith("_REGISTRY_ADDR"))
    service = next(one for one in site.objects if one["kind"] == "Service" and one["metadata"]["name"] == "device-registry")
    assert address == f"device-registry:{service['spec']['ports'][0]['port']}"


def test_every_service_is_ready_with_its_settings_and_ends_by_itself(site):
    site.set_up()
    site.run_services()
    assert set(site.services) == set(DESCRIPTIONS)
    for name in site.services:
        eventually(lambda one=name: site.ready(one), 120, f"{name} to be ready", interval=0.2)
    for name, process in site.services.items():
        assert process.stop(), f"{name} had to be killed"
