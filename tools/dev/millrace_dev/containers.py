"""A container engine of our own, below .dev/docker, and the images that a machine without an image registry lacks."""
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import kafka, say
from .processes import Process, wait_until
from .say import DevError

BASE = "debian:bookworm-slim"
RECIPE = "millrace.base.recipe"  # a label: what it was made from, beside the distribution
# Services of docker-compose.yml whose public images have a stand-in under tools/dev/stand_ins.
STAND_INS = ("kafka", "postgres", "prometheus")


class Engine:
    """dockerd with its own data, sockets and networks. The machine's firewall and bridges are put back at the end."""

    def __init__(self, layout):
        self._layout = layout
        self.folder = layout.state / "docker"
        self._socket = self.folder / "docker.sock"
        self._process = Process(self.folder, "dockerd", stop_timeout=60)
        self._network = _Network(self.folder / "network-before.json")

    def start(self):
        self.stop()  # what a call that was killed left
        running = _engines()
        if running:
            raise DevError(f"another Docker engine runs here (pid {running[0]}); two at once spoil each other's networks")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process.log.unlink(missing_ok=True)
        self._network.save()
        with say.Step("a Docker engine of our own"):
            self._process.start(["dockerd", "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                                 "--pidfile", self.folder / "dockerd.pid", "--storage-driver", self._driver(),
                                 "--host", f"unix://{self._socket}"], env=dict(os.environ))
            wait_until(lambda: self._answers(), 60, "the Docker engine", while_alive=self._process)

    def stop(self):
        self._process.stop(orphans=True)  # the commands of a build that was interrupted
        self._unmount()
        self._network.restore()

    def _unmount(self):
        """What a build that was interrupted leaves below the folder; with its network namespace its link goes too."""
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.folder}/"):
                subprocess.run(["umount", mount], check=False)

    def environment(self, compose):
        """For `docker` and `docker compose` against this engine."""
        plugins = self.folder / "config" / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        plugin = plugins / "docker-compose"
        plugin.unlink(missing_ok=True)
        plugin.symlink_to(compose)
        env = {key: value for key, value in os.environ.items()
               if not key.startswith(("MILLRACE_", "COMPOSE_", "DOCKER_"))}
        env.update(DOCKER_HOST=f"unix://{self._socket}", DOCKER_CONFIG=str(self.folder / "config"), DOCKER_BUILDKIT="1")
        return env

    def _answers(self):
        return self._socket.exists() and subprocess.run(
            ["docker", "-H", f"unix://{self._socket}", "info"], capture_output=True, check=False).returncode == 0

    def _driver(self):
        """overlay2 where the file system below carries it; vfs works everywhere and is slow."""
        probe = self.folder / "probe"
        shutil.rmtree(probe, ignore_errors=True)
        for name in ("lower", "upper", "work", "merged"):
            (probe / name).mkdir(parents=True)
        options = f"lowerdir={probe / 'lower'},upperdir={probe / 'upper'},workdir={probe / 'work'}"
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, probe / "merged"],
                              capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", probe / "merged"], check=True)
        shutil.rmtree(probe)
        return "overlay2" if done.returncode == 0 else "vfs"


def _engines():
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text(encoding="utf-8").strip() == "dockerd":
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found


class _Network:
    """What an engine changes outside of its folder: firewall rules, their policy, forwarding, bridges."""

    TABLES = ("filter", "nat")
    FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

    def __init__(self, file):
        self._file = file

    def save(self):
        state = {"rules": {table: self._rules(table) for table in self.TABLES}, "links": _links(),
                 "forward": self.FORWARD.read_text(encoding="ascii").strip()}
        self._file.write_text(json.dumps(state), encoding="utf-8")

    def restore(self):
        """Takes away what came since save() and is an engine's; what others added meanwhile stays."""
        if not self._file.exists():
            return
        before = json.loads(self._file.read_text(encoding="utf-8"))
        for table in self.TABLES:
            fresh = [rule for rule in self._rules(table) if rule not in before["rules"][table]]
            ours = [rule for rule in fresh if any(mark in rule for mark in ("DOCKER", "docker0", "br-"))]
            for rule in ours:
                if rule.startswith("-A "):
                    _iptables(table, "-D", *rule.split()[1:])
            for rule in ours:
                if rule.startswith("-N "):
                    _iptables(table, "-X", rule.split()[1])
            for rule in before["rules"][table]:
                if rule.startswith("-P "):
                    _iptables(table, *rule.split())
        for link in _links():
            if link not in before["links"] and (link == "docker0" or link.startswith("br-")):
                subprocess.run(["ip", "link", "delete", link], check=False)
        self.FORWARD.write_text(before["forward"], encoding="ascii")
        self._file.unlink()

    @staticmethod
    def _rules(table):
        return subprocess.run(["iptables", "-t", table, "-S"], capture_output=True, text=True, check=True).stdout.splitlines()


def _iptables(table, *arguments):
    subprocess.run(["iptables", "-t", table, *arguments], check=False, capture_output=True)


def _links():
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def docker(env, *arguments):
    """Runs docker and returns what it prints."""
    done = subprocess.run(["docker", *map(str, arguments)], env=env, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise DevError(f"docker {' '.join(map(str, arguments[:4]))} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


# --- images ---

def make_base(layout, env):
    """The image that everything begins with, from the distribution's packages. It trusts the authorities that this machine's
    administrator trusts: builds fetch a wheel over TLS, which some networks look into."""
    authorities = sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))
    recipe = hashlib.sha256(b"".join(one.read_bytes() for one in authorities)).hexdigest()
    if _label(env, BASE, RECIPE) == recipe:
        return
    root = layout.state / "docker" / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    say.run(["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root, _mirror()],
            layout.soak / "debootstrap.log", "the base image with debootstrap")
    for one in authorities:
        shutil.copy(one, root / "usr" / "local" / "share" / "ca-certificates")
    say.run(["chroot", root, "update-ca-certificates"], layout.soak / "authorities.log", "its certificates")
    shutil.rmtree(root / "var" / "cache" / "apt" / "archives", ignore_errors=True)
    # The public image has no documents either, except the copyright files.
    exclude = ["--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*", "--exclude=./var/lib/apt/lists/*"]
    archive = layout.state / "docker" / "rootfs.tar"
    subprocess.run(["tar", "-C", root, *exclude, "-cf", archive, "."], check=True)
    docker(env, "import", "--change", f"LABEL {RECIPE}={recipe}", archive, BASE)
    archive.unlink()
    shutil.rmtree(root)


def _mirror():
    """Where this machine's apt gets bookworm from."""
    told = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"],
                          capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        address, _, codename = line.partition(" ")
        if codename == "bookworm":
            return address
    raise DevError("this machine's apt knows no mirror of Debian 12")


def make_stand_ins(layout, env):
    """Under the tags that docker-compose.yml names; for trying only."""
    kafka.install(layout)
    composition = (layout.root / "docker-compose.yml").read_text(encoding="utf-8")
    for name in STAND_INS:
        image = re.search(rf"^  {name}:\n(?:    .*\n)*?    image: (\S+)$", composition, re.M).group(1)
        context = layout.state / "docker" / f"context-{name}"
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(layout.root / "tools" / "dev" / "stand_ins" / name, context)
        if name == "kafka":
            shutil.copytree(layout.kafka_jars, context / "jars")
        say.run(["docker", "build", "--progress=plain", "-t", image, context], layout.soak / f"stand-in-{name}.log",
                f"a stand-in for {image}", env=env)
        shutil.rmtree(context)


def _label(env, image, label):
    """Empty if the image or its label is not there."""
    return subprocess.run(["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{label}"}}}}', image], env=env,
                          capture_output=True, text=True, check=False).stdout.strip()


def sizes(env):
    """(image, MB) of what this project builds and of the servers, largest last."""
    listed = docker(env, "image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    rows = []
    for line in listed.splitlines():
        name, identity = line.split()
        if "<none>" not in name:
            size = int(docker(env, "image", "inspect", "--format", "{{.Size}}", identity))
            rows.append((name, round(size / 1e6)))
    return sorted(rows, key=lambda row: row[1])
