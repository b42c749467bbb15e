"""one API call takes a credential away that 10,000 MQTT sessions on two gateways have shown: until the last is closed"""
import resource
import selectors
import socket
import struct
import time

from bench_lab import bench_lab, process_cpu
from millrace_dev import bench, say
from millrace_dev.say import DevError
from millrace_lab import TENANT, eventually
from raw_mqtt import RawMqtt

SESSIONS = 10_000
AT_ONCE = 250
DEVICE = "revoked"
NOT_AUTHORIZED = 0x87


def run(_layout):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (SESSIONS + 1000, max(SESSIONS + 1000, most)))
    with bench_lab() as lab:
        second = lab.add_service("protocol-gateway", "protocol-gateway-2")
        second.wait_ready()
        ports = [lab.mqtt_port, second.ports["mqtt"]]
        lab.create_device(DEVICE)
        rows = []
        for version in (4, 5):
            credential = lab.registry("AddCredential", device=DEVICE)
            for port in ports:
                eventually(lambda port=port: _let_in(port, credential.token), 60, "the credential to be known")
            with say.Step(f"{SESSIONS} sessions of MQTT {'5' if version == 5 else '3.1.1'}"):
                sessions = _connect_all(ports, version, credential.token)
            gateways = [lab.member(name).process.pid() for name in ("protocol-gateway", "protocol-gateway-2")]
            before = sum(map(process_cpu, gateways))
            lab.registry("RemoveCredential", device=DEVICE, credential_id=credential.credential.credential_id)
            returned = time.monotonic()
            ends = sorted(end - returned for end in _wait_all(sessions, version))
            spent = sum(map(process_cpu, gateways)) - before
            name = "MQTT 5" if version == 5 else "MQTT 3.1.1"
            rows += [bench.row(f"{name}: sessions", len(ends), ""),
                     bench.row(f"{name}: the first one closed after the call's return", round(max(0, ends[0]), 3), "s"),
                     bench.row(f"{name}: half of them", round(max(0, ends[len(ends) // 2]), 3), "s"),
                     bench.row(f"{name}: the last one", round(ends[-1], 3), "s", 1.0),
                     bench.row(f"{name}: CPU of both gateways for it", round(spent, 2), "s")]
        return rows


def _let_in(port, token):
    client = RawMqtt(port)
    reason = client.connect(f"{DEVICE}@{TENANT}", token, "probe").reason
    client.close()
    return reason == 0


def _text(text):
    return struct.pack("!H", len(text)) + text


def _connect_packet(version, client_id, token):
    body = _text(b"MQTT") + bytes([version, 0xC2]) + struct.pack("!H", 600) + (b"\0" if version == 5 else b"")
    body += _text(client_id.encode()) + _text(f"{DEVICE}@{TENANT}".encode()) + _text(token.encode())
    length = len(body)
    return b"\x10" + (bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])) + body


def _connect_all(ports, version, token):
    sessions = []
    while len(sessions) < SESSIONS:
        fresh = []
        for number in range(len(sessions), min(SESSIONS, len(sessions) + AT_ONCE)):
            link = socket.create_connection(("127.0.0.1", ports[number % len(ports)]), timeout=60)
            link.sendall(_connect_packet(version, f"session-{number}", token))
            fresh.append(link)
        for link in fresh:
            connack = link.recv(4096)
            if connack[0] != 0x20 or connack[3 if connack[1] < 128 else 4] != 0:
                raise DevError(f"CONNACK {connack.hex()}")
        sessions += fresh
    return sessions


def _wait_all(sessions, version):
    """When each was closed."""
    ends = []
    with selectors.EpollSelector() as waiting:
        for link in sessions:
            link.setblocking(False)
            waiting.register(link, selectors.EVENT_READ, bytearray())
        deadline = time.monotonic() + 120
        while waiting.get_map():
            ready = waiting.select(1)
            if not ready and time.monotonic() > deadline:
                raise DevError(f"{len(waiting.get_map())} sessions are still open")
            for key, _ in ready:
                try:
                    data = key.fileobj.recv(4096)
                except ConnectionResetError:
                    data = b""
                key.data.extend(data)
                if data:
                    continue
                ends.append(time.monotonic())
                waiting.unregister(key.fileobj)
                key.fileobj.close()
                if version == 5 and (key.data[:1] != b"\xe0" or key.data[2] != NOT_AUTHORIZED):
                    raise DevError(f"a session ended with {bytes(key.data).hex()}")
    return ends
