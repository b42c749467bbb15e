"""./dev soak compose: the images and docker-compose.yml for real, as the documents tell it, and a killed container."""
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

from . import bench, containers, docs, kafka, say, toolchain
from .compose_fleet import Fleet
from .containers import docker
from .processes import wait_until
from .say import DevError
from .settings import free_ports

ARCHIVE = "storage-archiver"
SERVICES = ("protocol-gateway", "device-registry", "stream-processing", "storage-writer", "query-api", "notifier", ARCHIVE)
PROJECT = "millrace-soak"
LABEL = "com.docker.compose"
PROFILES = ("--profile", "demo", "--profile", "monitoring", "--profile", "tools", "--profile", "archive")


def run(layout):
    if os.geteuid() != 0:
        raise DevError("a Docker engine of its own needs root: sudo ./dev soak compose")
    kafka.install(layout)
    compose = toolchain.install_compose(layout)
    layout.soak.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    engine = containers.Engine(layout)
    result = {"soak": "compose", "commit": bench.commit(layout), "machine": bench.machine(), "passed": False}
    try:
        engine.start()
        scenario = _Scenario(layout, engine.environment(compose))
        try:
            scenario.run(result)
            result["passed"] = True
        finally:
            scenario.end()
    finally:
        engine.stop()
        result["seconds"] = round(time.monotonic() - begun)
        (layout.soak / "compose.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say.line(say.table(sorted((one, f"{size} MB") for one, size in result["images"].items()), ["image", "size"]))
    columns = ["sent", "acknowledged", "stored", "lost", "doubled", "wrong_value", "resent", "back_s"]
    rows = [[name, *(str(result[name].get(column, "")) for column in columns)] for name in ("undisturbed", "killed")]
    say.line(say.table(rows, ["fleet", *columns]))
    say.line(f"  {layout.soak / 'compose.json'}; the engine's data stays in {engine.folder} and makes the next run quick")
    return 0


class _Scenario:
    """One installation from its first command to its last, in a copy of the tree: an .env of the clone is left alone."""

    def __init__(self, layout, env):
        self._layout = layout
        self._tree = layout.state / "docker" / "tree"
        ports = iter(free_ports().values())
        names = ("MQTT", "HTTP", "COAPS", "REGISTRY", "QUERY", "PROMETHEUS", "GRAFANA")
        self._ports = {name: next(ports) for name in names}
        self._env = dict(env, COMPOSE_PROJECT_NAME=PROJECT, MILLRACE_REVISION=bench.commit(layout),
                         BUILD_JOBS=os.environ.get("MILLRACE_DEV_JOBS", ""),
                         **{f"MILLRACE_{name}_PORT": str(port) for name, port in self._ports.items()})

    def run(self, result):
        self._copy_tree()
        result["engine"] = docker(self._env, "version", "--format", "{{.Server.Version}}").strip()
        result["compose"] = self._compose("version", "--short").strip()
        containers.make_base(self._layout, self._env)
        containers.make_stand_ins(self._layout, self._env)
        readme, *others = self._blocks()
        self._check_configuration()
        result["build_s"] = self._build("all images")
        result["rebuild_s"] = self._rebuild_after_a_change()
        result["readme_s"] = self._paste(readme, "the block of README.md")
        self._start_archive()
        self._check_hardening()
        result["undisturbed"] = self._fleet("calm", seconds=10).finish()
        result["killed"] = self._kill_under_load()
        self._check_monitoring()
        for number, block in enumerate(others, 1):
            self._paste(block, f"block {number} of docs/")
        result["exit_codes"] = self._stop_all()
        self._check_data_survived()
        result["images"] = dict(containers.sizes(self._env))

    def end(self):
        """Takes the installation down. What its containers said is kept."""
        with say.Step("taking all down"):
            logs = subprocess.run(["docker", "compose", *PROFILES, "logs", "--no-color", "--timestamps"], env=self._env,
                                  cwd=self._tree, capture_output=True, check=False).stdout
            (self._layout.soak / "compose-containers.log").write_bytes(logs)
            subprocess.run(["docker", "compose", *PROFILES, "down", "--volumes", "--timeout", "60"], env=self._env,
                           cwd=self._tree, capture_output=True, check=False)

    # --- the tree and the documents ---

    def _copy_tree(self):
        shutil.rmtree(self._tree, ignore_errors=True)
        listed = subprocess.run(["git", "-C", self._layout.root, "ls-files", "-z", "-co", "--exclude-standard"],
                                check=True, capture_output=True).stdout.decode().split("\0")
        for name in filter(None, listed):
            source, target = self._layout.root / name, self._tree / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def _blocks(self):
        found = [block for block in docs.blocks(self._tree) if block.soak == "compose"]
        if sum(block.place.startswith("README.md:") for block in found) != 1:
            raise DevError("README.md must have one block that is marked `sh compose`")
        return [block.text for block in found]

    def _paste(self, block, title):
        begun = time.monotonic()
        log = self._layout.soak / (re.sub(r"\W+", "-", title) + ".log")
        say.run(["bash", "-euo", "pipefail", "-c", block], log, title, env=self._env, cwd=self._tree)
        return round(time.monotonic() - begun, 1)

    # --- steps ---

    def _compose(self, *arguments):
        done = subprocess.run(["docker", "compose", *map(str, arguments)], env=self._env, cwd=self._tree, text=True,
                              capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise DevError(f"docker compose {' '.join(map(str, arguments))} ended with {done.returncode}:\n"
                           f"{done.stdout[-1500:]}{done.stderr[-3000:]}")
        return done.stdout

    def _check_configuration(self):
        """Both generations of compose read the file without a word of complaint; without an .env it is refused."""
        refused = subprocess.run(["docker", "compose", "config", "--quiet"], env=self._env, cwd=self._tree, text=True,
                                 capture_output=True, check=False)
        if refused.returncode == 0 or "make-env" not in refused.stderr:
            raise DevError(f"without .env, compose should point to make-env; it said: {refused.stderr.strip()}")
        subprocess.run([self._tree / "deploy" / "docker" / "make-env"], check=True, capture_output=True)
        if (self._tree / ".env").stat().st_mode & 0o077:
            raise DevError(".env can be read by others")
        for program in (["docker", "compose"], ["/usr/bin/docker-compose"]):
            done = subprocess.run([*program, *PROFILES, "config", "--quiet"], env=self._env, cwd=self._tree, text=True,
                                  capture_output=True, check=False)
            if done.returncode != 0 or done.stderr.strip():
                raise DevError(f"{' '.join(program)} config: {done.stderr.strip()}")
        (self._tree / ".env").unlink()

    def _build(self, what, log="build.log"):
        begun = time.monotonic()
        made = subprocess.run(["deploy/docker/make-env"], cwd=self._tree, check=True, capture_output=True, text=True)
        say.run(["docker", "compose", "--progress", "plain", *PROFILES, "build"], self._layout.soak / log,
                f"building {what}", env=self._env, cwd=self._tree, tail=60)
        if "is written" in made.stdout:
            (self._tree / ".env").unlink()  # the documents' own command makes it
        return round(time.monotonic() - begun, 1)

    def _rebuild_after_a_change(self):
        """A changed service is a new image; no other image changes."""
        def identities():
            return {name: docker(self._env, "image", "inspect", "--format", "{{.Id}}", f"millrace/{name}:local").strip()
                    for name in SERVICES}
        before = identities()
        source = self._tree / "services" / "notifier" / "main.cpp"
        text = source.read_text(encoding="utf-8")
        source.write_text(text.replace('"cannot start"', '"cannot start at all"'), encoding="utf-8")
        took = self._build("after a change of notifier", "rebuild.log")
        changed = [name for name, identity in identities().items() if identity != before[name]]
        if changed != ["notifier"]:
            raise DevError(f"after a change of notifier these images were new: {changed}")
        source.write_text(text, encoding="utf-8")
        self._build("as it was", "rebuild-back.log")
        return took

    def _containers(self):
        identities = docker(self._env, "ps", "--quiet", "--filter", f"label={LABEL}.project={PROJECT}").split()
        return json.loads(docker(self._env, "inspect", *identities))

    def _container(self, service):
        return next(one for one in self._containers() if one["Config"]["Labels"][f"{LABEL}.service"] == service)

    def _start_archive(self):
        """The one service that is only there when it is asked for."""
        with say.Step("the profile archive"):
            if ARCHIVE in self._running():
                raise DevError(f"{ARCHIVE} runs without its profile")
            self._compose("--profile", "archive", "up", "--detach", "--wait", ARCHIVE)

    def _running(self):
        return {one["Config"]["Labels"][f"{LABEL}.service"] for one in self._containers()}

    def _check_hardening(self):
        for one in self._containers():
            name, host = one["Name"], one["HostConfig"]
            user = one["Config"]["User"]
            if user in ("", "root", "0") or not host["ReadonlyRootfs"] or host["CapDrop"] != ["ALL"]:
                raise DevError(f"{name} is not confined: user {user!r}, read-only root: {host['ReadonlyRootfs']}")
            if not host["Memory"] or "no-new-privileges:true" not in host["SecurityOpt"]:
                raise DevError(f"{name} has no memory limit or may gain privileges")
        if missing := set(SERVICES) - self._running():
            raise DevError(f"these do not run: {sorted(missing)}")

    def _fleet(self, prefix, seconds):
        return Fleet(self._env, self._tree, prefix, seconds)

    def _kill_under_load(self, name="storage-writer"):
        """SIGKILL as the kernel sends it when memory is short: after `docker kill` the engine would not start it again."""
        fleet = self._fleet("killed", seconds=40)
        try:
            fleet.wait_for_load()
            before = self._container(name)
            with say.Step(f"{name} killed under load"):
                os.kill(before["State"]["Pid"], signal.SIGKILL)
                begun = time.monotonic()

                def back():
                    now = self._container_or_none(name)
                    return (now is not None and now["RestartCount"] > before["RestartCount"]
                            and now["State"].get("Health", {}).get("Status") == "healthy")
                wait_until(back, 120, f"{name} to be healthy again", interval=0.2)
                took = round(time.monotonic() - begun, 1)
            return dict(fleet.finish(), back_s=took)
        finally:
            fleet.stop()

    def _container_or_none(self, service):
        try:
            return self._container(service)
        except StopIteration:
            return None  # between its end and its restart it does not run

    def _check_monitoring(self):
        """Prometheus reads every service; its rules are loaded and none of them fails."""
        self._compose("--profile", "monitoring", "up", "--detach", "--no-deps", "prometheus")

        def ask(path):
            url = f"http://127.0.0.1:{self._ports['PROMETHEUS']}/api/v1/{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]

        def all_up():
            try:
                up = {one["labels"]["service"] for one in ask("targets")["activeTargets"] if one["health"] == "up"}
            except OSError:
                return False
            return up == set(SERVICES)

        def all_evaluated():
            return all(rule["health"] == "ok" for group in ask("rules")["groups"] for rule in group["rules"])
        with say.Step("Prometheus reads all services"):
            wait_until(all_up, 90, "all targets of Prometheus", interval=1)
            wait_until(all_evaluated, 60, "the rules to be evaluated", interval=1)
        firing = [one["labels"]["alertname"] for one in ask("alerts")["alerts"] if one["state"] == "firing"]
        if firing:
            raise DevError(f"these alerts fire on a system at rest: {firing}")

    def _stop_all(self):
        """SIGTERM, and every service ends by itself with 0."""
        identities = {one["Config"]["Labels"][f"{LABEL}.service"]: one["Id"] for one in self._containers()}
        with say.Step("a clean stop"):
            self._compose(*PROFILES, "stop")
        codes = {name: int(docker(self._env, "inspect", "--format", "{{.State.ExitCode}}", identities[name]))
                 for name in SERVICES}
        if any(codes.values()):
            raise DevError(f"not every service ended with 0: {codes}")
        return codes

    def _check_data_survived(self):
        """Comes back under the older generation of compose, with what was stored under the newer one."""
        def older(*arguments):
            done = subprocess.run(["/usr/bin/docker-compose", *arguments], env=self._env, cwd=self._tree, text=True,
                                  capture_output=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode != 0:
                raise DevError(f"docker-compose 1.29.2 {arguments[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
            return done.stdout
        with say.Step("down, up again with compose 1.29.2, and a reading from before"):
            self._compose(*PROFILES, "down")
            try:
                older("up", "--detach")
                told = older("run", "--rm", "-T", "tools", "millrace", "latest", "killed-1", "--json")
            finally:
                older("down")
        if not json.loads(told)["latest"]:
            raise DevError(f"what was stored before is gone: {told}")
