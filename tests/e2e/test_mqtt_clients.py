"""The gateway and MQTT clients that no one here wrote, over each transport and version: messages both ways on the open listener,
ingest on that of devices, a session that outlives its client."""
import json
import secrets
from dataclasses import dataclass

import pytest

from millrace_dev import mqtt_clients
from millrace_dev.layout import Layout
from millrace_lab import TENANT, eventually, now_us
from mqtt_client import LibraryClient, MosquittoClient


@dataclass(frozen=True)
class Transport:
    """How clients come in: the scheme, and the names of the ports of both listeners."""
    scheme: str
    devices: str
    open: str
    clients: tuple


# What comes next (TLS, WebSocket) is another row.
TRANSPORTS = {
    "tcp": Transport("mqtt", "mqtt", "open_mqtt", ("paho-cpp", "paho-python", "mosquitto", "mqttjs", "rumqttc")),
}
ROWS = [pytest.param(transport, client, version, id=f"{name}-{client}-{version}")
        for name, transport in TRANSPORTS.items() for client in transport.clients for version in (4, 5)]
EVERY = pytest.mark.parametrize("transport, client, version", ROWS)


@pytest.fixture(scope="session")
def commands():
    return mqtt_clients.install(Layout())


@pytest.fixture
def connect(lab, commands):
    """Connects a client; all are gone after the test."""
    running = []

    def call(row, port, name, keep=False, credentials=()):
        transport, client, version = row
        url = f"{transport.scheme}://127.0.0.1:{lab.stack.settings.ports[port]}"
        made = (MosquittoClient(url, version, name, keep, credentials, {}) if client == "mosquitto" else
                LibraryClient(commands[client], url, version, name, keep, credentials, {}))
        running.append(made)
        return made
    yield call
    for one in running:
        one.kill()


@EVERY
def test_messages_both_ways(connect, transport, client, version):
    row, name = (transport, client, version), f"interop-{secrets.token_hex(4)}"
    publisher = connect(row, transport.open, name + "-p")
    for qos in (0, 1, 2):
        subscriber = connect(row, transport.open, f"{name}-{qos}")
        subscriber.subscribe(qos, f"{name}/{qos}/+")
        sent = [f"message {number} of QoS {qos}" for number in range(3)]
        for payload in sent:
            publisher.publish(qos, f"{name}/{qos}/x", payload)
        got = subscriber.messages(3)
        assert [(one.qos, one.topic, one.payload) for one in got] == [(qos, f"{name}/{qos}/x", payload) for payload in sent]
        subscriber.end()
    publisher.end()


@EVERY
def test_what_a_device_publishes_is_stored(lab, connect, transport, client, version):
    device = f"interop-{secrets.token_hex(4)}"
    token = lab.create_device(device)
    publisher = connect((transport, client, version), transport.devices, device, credentials=(f"{device}@{TENANT}", token))
    begin = now_us()
    for qos in (0, 1, 2):
        publisher.publish(qos, f"devices/{device}/telemetry", json.dumps({"ts": begin + qos, "level": qos}))
    publisher.end()

    def stored():
        return [one.value.int_value for one in lab.range_samples(device, "level", begin, begin + 10)]
    eventually(lambda: len(stored()) == 3, 60, "three samples")
    assert stored() == [0, 1, 2]


@EVERY
def test_a_session_outlives_its_killed_client(connect, transport, client, version):
    row, name = (transport, client, version), f"interop-{secrets.token_hex(4)}"
    first = connect(row, transport.open, name, keep=True)
    assert not first.session_present
    first.subscribe(2, name)
    publisher = connect(row, transport.open, name + "-p")
    publisher.publish(1, name, "live")
    assert [one.payload for one in first.messages(1)] == ["live"]
    first.kill()
    for number in range(10):
        publisher.publish(1 + number % 2, name, str(number))
    again = connect(row, transport.open, name, keep=True)
    assert again.session_present in (True, None)
    if client == "mosquitto":  # its tool connects with a subscription
        again.subscribe(2, name)
    # A library may pass QoS 2 messages on when PUBREL has come: the order is that of each QoS.
    got = again.messages(10)
    for qos in (1, 2):
        assert [int(one.payload) for one in got if one.qos == qos] == list(range(qos - 1, 10, 2))
    publisher.publish(1, name, "live again")
    assert [one.payload for one in again.messages(1)] == ["live again"]
    assert again.quiet()
    again.end()
    publisher.end()
