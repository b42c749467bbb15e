"""One bound on the memory that sessions and local messages of all tenants fill: who fills it is told, others are served."""
import contextlib
import socket
import struct

import pytest

from millrace_lab import TENANT, eventually
from raw_mqtt import PUBACK, Closed, RawMqtt
from tls_front import READING

LASTING = bytes([0x11]) + struct.pack("!I", 600)  # session expiry interval
REASON_STRING = 0x1F
LIMIT = 4 * 1024 * 1024
PAYLOAD = b"x" * 20_000


@pytest.fixture
def small(lab):
    """A gateway with little memory for sessions, where devices may publish below their own name."""
    service = lab.add_service("protocol-gateway", "small-gateway", extra={
        "MILLRACE_PROTOCOL_GATEWAY_MQTT_MEMORY_LIMIT_BYTES": str(LIMIT),
        "MILLRACE_PROTOCOL_GATEWAY_MQTT_DEVICE_SESSIONS_LIMIT": "8"})
    lab.registry("SetPolicy", policy={"device_topics": [{"filter": "local/{device}/#", "publish": True, "subscribe": True}]})
    service.wait_ready(120)
    yield service
    lab.registry("SetPolicy", policy={})
    lab.drop_service("small-gateway")


def connect(service, device, client_id, version=5, **options):
    client = RawMqtt(service.ports["mqtt"], version)
    name, token = device
    return client, client.connect(f"{name}@{TENANT}", token, client_id, **options)


def fill(service, device):
    """Publishes for a session that is not there until the gateway says no; how many it took."""
    name, _ = device
    sleeper, _ = connect(service, device, "sleeper", clean=False, properties=LASTING)
    eventually(lambda: sleeper.subscribe((f"local/{name}/#", 1)).codes == [1], 60, "the policy to be known")
    sleeper.close()
    source, _ = connect(service, device, "source")
    for number in range(1, 1000):
        answer = source.ask(f"local/{name}/a", PAYLOAD, number)
        if answer.reason == 0x97:
            assert "as there is room for" in answer.properties[REASON_STRING].decode(), answer
            return source, number - 1
        assert answer.reason == 0
    raise AssertionError("nothing was refused")


def test_who_fills_the_memory_is_refused_and_nobody_else(lab, small):
    greedy = "memory-greedy", lab.create_device("memory-greedy")
    modest = "memory-modest", lab.create_device("memory-modest")
    source, taken = fill(small, greedy)
    assert LIMIT / 4 < taken * len(PAYLOAD) < LIMIT / 3
    assert lab.metrics("small-gateway", "millrace_gateway_mqtt_memory_refused_total") >= 1
    assert lab.metrics("small-gateway", "millrace_gateway_mqtt_memory_bytes") < LIMIT
    assert source.ask("devices/memory-greedy/telemetry", READING, 1).reason == 0, "telemetry does not wait in sessions"

    old, _ = connect(small, greedy, "old", version=4)
    with pytest.raises(Closed):
        old.ask("local/memory-greedy/a", PAYLOAD, 1)

    for version in (4, 5):
        listener, connack = connect(small, modest, "listener", version)
        assert connack.reason == 0
        assert listener.subscribe(("local/memory-modest/#", 1)).codes == [1]
        sender, _ = connect(small, modest, "sender", version)
        assert sender.ask("local/memory-modest/a", PAYLOAD, 1).kind == PUBACK
        assert listener.receive().payload == PAYLOAD
        listener.close()
        sender.close()

    sleeper, connack = connect(small, greedy, "sleeper", clean=False, properties=LASTING)
    assert connack.session_present
    assert [sleeper.receive().payload for _ in range(taken)] == [PAYLOAD] * taken, "what was taken is there"
    for number in range(2, 12):
        answer = source.ask("local/memory-greedy/a", b"again", number)
        assert answer.reason == 0
        assert sleeper.receive().payload == b"again"


def test_strangers_fill_little_of_it(lab, small):
    """Whoever has shown nothing yet: large CONNECT packets that never end."""
    device = "memory-known", lab.create_device("memory-known")
    kept, _ = connect(small, device, "kept")
    begun = b"\x10\x90\xa1\x0f\x00\x04MQTT\x05\xc2\x00\x3c" + b"\x00" * 120_000  # of 250,000 bytes
    strangers = []
    for _ in range(100):
        stranger = socket.create_connection(("127.0.0.1", small.ports["mqtt"]), timeout=60)
        with contextlib.suppress(OSError):  # it may be closed before all is sent
            stranger.sendall(begun)
        strangers.append(stranger)
    eventually(lambda: lab.metrics("small-gateway", "millrace_gateway_mqtt_memory_refused_total") >= 50, 60,
               "most of them to be closed")
    assert lab.metrics("small-gateway", "millrace_gateway_mqtt_memory_bytes") < LIMIT
    assert kept.ask("devices/memory-known/telemetry", READING, 1).reason == 0
    fresh, connack = connect(small, device, "fresh")
    assert connack.reason == 0
    big = b'{"v": "' + b"x" * 60_000 + b'"}'
    assert fresh.ask("local/memory-known/none", big, 1).reason in (0, 0x10), "who was let in has memory of its own"
    for stranger in strangers:
        stranger.close()
    eventually(lambda: lab.metrics("small-gateway", "millrace_gateway_mqtt_memory_bytes") < 100_000, 60,
               "their memory to be given back")


def test_a_device_has_so_many_sessions(lab, small):
    device = "memory-sessions", lab.create_device("memory-sessions")
    kept = [connect(small, device, f"c{number}", clean=False, properties=LASTING) for number in range(8)]
    assert [connack.reason for _, connack in kept] == [0] * 8
    for version, refused in ((4, 3), (5, 0x97)):
        _, connack = connect(small, device, "one-more", version)
        assert connack.reason == refused
    kept[0][0].close()
    _, connack = connect(small, device, "one-more")
    assert connack.reason == 0x97, "a session without a connection counts"
    again, connack = connect(small, device, "c0", clean=False, properties=LASTING)
    assert connack.session_present
    again.disconnect()
