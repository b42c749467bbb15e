"""Ports, addresses and secrets of one running system, kept in its folder."""
import json
import os
import random
import secrets
import socket
from pathlib import Path

from .authority import Authority
from .layout import private_folder
from .say import DevError

# Default ports; each is shifted by MILLRACE_DEV_PORT_OFFSET or set alone by MILLRACE_DEV_PORT_<NAME>.
DEFAULT_PORTS = {
    "mqtt": 1883,
    "open_mqtt": 1884,
    "mqtts": 8883,
    "mqtt_ws": 8083,
    "mqtt_wss": 8084,
    "http": 8080,
    "https": 8443,
    "coap": 5683,
    "coaps": 5684,
    "registry": 7101,
    "query": 7102,
    "query_http": 8090,
    "gateway_ops": 9101,
    "registry_ops": 9102,
    "query_ops": 9103,
    "stream_ops": 9104,
    "writer_ops": 9105,
    "archiver_ops": 9106,
    "notifier_ops": 9107,
    "kafka": 19092,
    "kafka_controller": 19093,
    "postgres": 15432,
}


def port_setting(name):
    return f"MILLRACE_DEV_PORT_{name.upper()}"


def ports_from_environment(stored):
    """The configured ports: the environment, else what this clone used last, else the defaults."""
    offset_text = os.environ.get("MILLRACE_DEV_PORT_OFFSET")
    ports = {}
    for name, default in DEFAULT_PORTS.items():
        own = os.environ.get(port_setting(name))
        if own:
            ports[name] = _number(port_setting(name), own)
        elif offset_text:
            ports[name] = default + _number("MILLRACE_DEV_PORT_OFFSET", offset_text)
        else:
            ports[name] = stored.get(name, default)
        if not 0 < ports[name] < 65536:
            raise DevError(f"port {ports[name]} for {name} is out of range (MILLRACE_DEV_PORT_OFFSET)")
    return ports


def _number(setting, text):
    try:
        return int(text)
    except ValueError:
        raise DevError(f"{setting} must be a number, not {text!r}") from None


def free_ports(names=tuple(DEFAULT_PORTS)):
    """Free ports for a test, by name. Below the ephemeral range: while a server is down, a client that tries to reach it must not
    be given its port by the kernel. Tests that run at once each have a part of the range (MILLRACE_TEST_PORTS, `0/2`): what one
    has chosen and not yet opened is free to the other."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    part, parts = map(int, os.environ.get("MILLRACE_TEST_PORTS", "0/1").split("/"))
    begin = max(1024, low - 12000)
    size = (low - begin) // parts
    chosen = {}
    for name in names:
        for _ in range(1000):
            port = begin + part * size + random.randrange(size)
            if port not in chosen.values() and not port_taken(port):
                chosen[name] = port
                break
        else:
            raise DevError("found no free port")
    return chosen


def port_taken(port, address="127.0.0.1"):
    """By TCP or by UDP. For UDP without SO_REUSEADDR: with it, a port that a server holds looks free."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            stream.bind((address, port))
            datagram.bind((address, port))
        except OSError:
            return True
    return False


class Settings:
    """config.json (ports, listen) and secrets.json (mode 0600) of one stack."""

    def __init__(self, folder: Path, ports, listen="127.0.0.1", options=None):
        self.folder = folder
        self.ports = ports
        self.listen = listen
        self.options = options or {}  # of the demo: data; tls
        self._secrets_file = folder / "secrets.json"
        self._secrets = _read(self._secrets_file)

    @staticmethod
    def stored(folder: Path):
        return _read(folder / "config.json")

    @classmethod
    def load(cls, folder: Path):
        """The settings of the stack in `folder`, or None when there never was one."""
        stored = cls.stored(folder)
        # A system that was started before a port came into being has the default of that.
        return cls(folder, {**DEFAULT_PORTS, **stored["ports"]}, stored["listen"], stored.get("options")) if stored else None

    def save(self):
        private_folder(self.folder, passable=True)
        _write(self.folder / "config.json",
               {"ports": self.ports, "listen": self.listen, "options": self.options}, 0o644)

    def secret(self, name):
        """A generated secret, made on first use."""
        if name not in self._secrets:
            self.keep(name, secrets.token_hex(16))
        return self._secrets[name]

    def keep(self, name, value):
        """Keeps a secret that another program made (an API key, a device token)."""
        self._secrets[name] = value
        private_folder(self.folder, passable=True)
        _write(self._secrets_file, self._secrets, 0o600)

    def key_file(self, name):
        """Where a service reads a kept secret from; keep_file() writes it."""
        return self.folder / f"{name}.txt"

    def keep_file(self, name, value):
        self.keep(name, value)
        _write_text(self.key_file(name), value + "\n", 0o600)

    def kept(self, name):
        return self._secrets.get(name)

    @property
    def authority(self):
        """Whose certificates the services have; None while they run without TLS."""
        return Authority(self.folder / "tls") if self.options.get("tls") else None

    @property
    def archive(self):
        """The folder of the files of archived days."""
        return self.folder / "archive"

    def server_certificate(self):
        """(certificate, key) for the services, of the authority."""
        own = [] if self.listen in ("127.0.0.1", "0.0.0.0", "::") else [self.listen]
        return self.authority.server(hosts=("localhost", "127.0.0.1", "::1", *own))

    def address(self, port):
        """host:port as a client on this machine reaches it."""
        return f"127.0.0.1:{self.ports[port]}"

    def bind(self, port):
        """host:port as a service listens."""
        return f"{self.listen}:{self.ports[port]}"


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _write(path, value, mode):
    _write_text(path, json.dumps(value, indent=2), mode)


def _write_text(path, text, mode):
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
