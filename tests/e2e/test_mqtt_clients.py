"""The gateway and MQTT clients that no one here wrote, over each transport and version: messages both ways on the open listener,
ingest on that of devices, sessions that outlive their client."""
import json
import secrets
from dataclasses import dataclass

import pytest

from millrace_dev import mqtt_clients
from millrace_dev.layout import Layout
from millrace_lab import TENANT, eventually, now_us
from mqtt_client import LibraryClient, MosquittoClient
from tls_front import Front

DEVICE = "interop"
LIBRARIES = ("paho-cpp", "paho-python", "mqttjs", "rumqttc")


@dataclass(frozen=True)
class Transport:
    """How clients come in: scheme, path, and the names of the ports for devices and for everybody (None: there is none)."""
    scheme: str
    clients: tuple
    devices: str
    open: str = None
    path: str = ""


TRANSPORTS = {
    "tcp": Transport("mqtt", (*LIBRARIES, "mosquitto"), "mqtt", "open_mqtt"),
    "tls": Transport("mqtts", (*LIBRARIES, "mosquitto"), "mqtts"),
    "ws": Transport("ws", LIBRARIES, "mqtt_ws", path="/mqtt"),
    "wss": Transport("wss", LIBRARIES, "mqtt_wss", path="/mqtt"),
}


def rows(wanted):
    return pytest.mark.parametrize("transport, client, version", [
        pytest.param(transport, client, version, id=f"{name}-{client}-{version}")
        for name, transport in TRANSPORTS.items() if wanted(transport) for client in transport.clients for version in (4, 5)])


EVERY, OPEN = rows(lambda one: True), rows(lambda one: one.open)


@pytest.fixture(scope="session")
def commands():
    return mqtt_clients.install(Layout())


@pytest.fixture(scope="module")
def _fronts():
    made = {}
    yield made
    for front in made.values():
        front.close()


@pytest.fixture
def front(lab, _fronts):
    """A gateway with every transport; the tests share it as they share the lab."""
    if lab not in _fronts:
        _fronts.clear()
        lab.interop_token = lab.create_device(DEVICE)
        _fronts[lab] = Front(lab, lab.folder / "interop-tls")
    return _fronts[lab]


@pytest.fixture
def connect(lab, front, commands):
    """Connects a client to the port of that name; all are gone after the test."""
    running = []

    def call(row, port, name, keep=False):
        transport, client, version = row
        number = lab.stack.settings.ports[port] if port == transport.open else front.port(port)
        url = f"{transport.scheme}://localhost:{number}{transport.path}"
        credentials = () if port == transport.open else (f"{DEVICE}@{TENANT}", lab.interop_token)
        how = (url, version, name, keep, credentials, {"MQTT_CA": str(front.authority.ca)})
        made = MosquittoClient(*how) if client == "mosquitto" else LibraryClient(commands[client], *how)
        running.append(made)
        return made
    yield call
    for one in running:
        one.kill()


@OPEN
def test_messages_both_ways(connect, transport, client, version):
    # 3.1.1 [MQTT-7.0.0-2], 3.1.1 [MQTT-7.1.1-1]: others' clients over TCP need nothing that the standard does not have
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
    metric = f"level-{secrets.token_hex(4)}"
    publisher = connect((transport, client, version), transport.devices, metric)
    begin = now_us()
    for qos in (0, 1, 2):
        publisher.publish(qos, f"devices/{DEVICE}/telemetry", json.dumps({"ts": begin + qos, metric: qos}))
    publisher.end()

    def stored():
        return [one.value.int_value for one in lab.range_samples(DEVICE, metric, begin, begin + 10)]
    eventually(lambda: len(stored()) == 3, 60, "three samples")
    assert stored() == [0, 1, 2]


@OPEN
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


@EVERY
def test_a_devices_session_outlives_its_killed_client(connect, transport, client, version):
    row, name = (transport, client, version), f"interop-{secrets.token_hex(4)}"
    first = connect(row, transport.devices, name, keep=True)
    assert not first.session_present
    first.subscribe(2, f"devices/{DEVICE}/commands/#")
    first.kill()
    again = connect(row, transport.devices, name, keep=True)
    assert again.session_present in (True, None)
    again.subscribe(2, f"devices/{DEVICE}/commands/#")
    again.end()
