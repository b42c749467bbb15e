"""The gateway and MQTT clients that no one here wrote, over each transport and version: messages both ways at every QoS, readings
that are stored, a session that outlives its client."""
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
    """How clients come in: scheme, path, and the name of the port."""
    scheme: str
    port: str
    clients: tuple
    path: str = ""


TRANSPORTS = {
    "tcp": Transport("mqtt", "mqtt", (*LIBRARIES, "mosquitto")),
    "tls": Transport("mqtts", "mqtts", (*LIBRARIES, "mosquitto")),
    "ws": Transport("ws", "mqtt_ws", LIBRARIES, "/mqtt"),
    "wss": Transport("wss", "mqtt_wss", LIBRARIES, "/mqtt"),
}
EVERY = pytest.mark.parametrize("transport, client, version", [
    pytest.param(transport, client, version, id=f"{name}-{client}-{version}")
    for name, transport in TRANSPORTS.items() for client in transport.clients for version in (4, 5)])


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
    """A gateway with every transport and a device that may use local topics; the tests share it as they share the lab."""
    if lab not in _fronts:
        _fronts.clear()
        lab.interop_token = lab.create_device(DEVICE)
        lab.registry("SetDeviceTopics", device=DEVICE, topics=[{"filter": "interop/#", "publish": True, "subscribe": True}])
        _fronts[lab] = Front(lab, lab.folder / "interop-tls")
    return _fronts[lab]


@pytest.fixture
def connect(lab, front, commands):
    """Connects a client of the device; all are gone after the test."""
    running = []

    def call(row, name, keep=False):
        transport, client, version = row
        url = f"{transport.scheme}://localhost:{front.port(transport.port)}{transport.path}"
        how = (url, version, name, keep, (f"{DEVICE}@{TENANT}", lab.interop_token), {"MQTT_CA": str(front.authority.ca)})
        made = MosquittoClient(*how) if client == "mosquitto" else LibraryClient(commands[client], *how)
        running.append(made)
        return made
    yield call
    for one in running:
        one.kill()


@EVERY
def test_messages_both_ways_and_readings(lab, connect, transport, client, version):
    # 3.1.1 [MQTT-7.0.0-2], 3.1.1 [MQTT-7.1.1-1]: others' clients over TCP need nothing that the standard does not have
    row, name = (transport, client, version), f"c{secrets.token_hex(4)}"
    publisher, begin = connect(row, name + "-p"), now_us()
    for qos in (0, 1, 2):
        subscriber = connect(row, f"{name}-{qos}")
        subscriber.subscribe(qos, f"interop/{name}/{qos}/+")
        sent = [f"message {number} of QoS {qos}" for number in range(3)]
        for payload in sent:
            publisher.publish(qos, f"interop/{name}/{qos}/x", payload)
        got = subscriber.messages(3)
        assert [(one.qos, one.topic, one.payload) for one in got] == [(qos, f"interop/{name}/{qos}/x", text) for text in sent]
        subscriber.end()
        publisher.publish(qos, f"devices/{DEVICE}/telemetry", json.dumps({"ts": begin + qos, name: qos}))
    publisher.end()

    def stored():
        return [one.value.int_value for one in lab.range_samples(DEVICE, name, begin, begin + 10)]
    eventually(lambda: len(stored()) == 3, 60, "three samples")
    assert stored() == [0, 1, 2]


@EVERY
def test_a_session_outlives_its_killed_client(connect, transport, client, version):
    row, name = (transport, client, version), f"c{secrets.token_hex(4)}"
    topic = f"interop/{name}"
    first = connect(row, name, keep=True)
    assert not first.session_present
    first.subscribe(2, topic)
    publisher = connect(row, name + "-p")
    publisher.publish(1, topic, "live")
    assert [one.payload for one in first.messages(1)] == ["live"]
    first.kill()
    for number in range(10):
        publisher.publish(1 + number % 2, topic, str(number))
    again = connect(row, name, keep=True)
    assert again.session_present in (True, None)
    if client == "mosquitto":  # its tool connects with a subscription
        again.subscribe(2, topic)
    got = again.messages(10)
    if got[0].payload == "live":  # the first one was killed before its PUBACK was out
        got = got[1:] + again.messages(1)
    # A library may pass QoS 2 messages on when PUBREL has come: the order is that of each QoS.
    for qos in (1, 2):
        assert [int(one.payload) for one in got if one.qos == qos] == list(range(qos - 1, 10, 2))
    publisher.publish(1, topic, "live again")
    assert [one.payload for one in again.messages(1)] == ["live again"]
    assert again.quiet()
    again.end()
    publisher.end()
