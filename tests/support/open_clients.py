"""Clients of the open listener: a general MQTT 3.1.1 and 5 broker, through raw sockets."""
import itertools

import pytest

from raw_mqtt import CONNACK, RawMqtt, encode_properties

BOTH = pytest.mark.parametrize("version", [4, 5])
SESSION_EXPIRY, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS = 0x11, 0x21, 0x22, 0x23
CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION, FORMAT, MESSAGE_EXPIRY = 0x03, 0x08, 0x09, 0x01, 0x02
ASSIGNED_ID, SERVER_KEEP_ALIVE, WILL_DELAY, SUBSCRIPTION_ID = 0x12, 0x13, 0x18, 0x0B
_counter = itertools.count()


class Clients:
    """Connections of one test, and names that no other test uses."""

    def __init__(self, lab):
        self._lab = lab
        self._open = []
        self.prefix = f"t{next(_counter)}"

    def topic(self, *levels):
        return "/".join((self.prefix, *levels))

    def raw(self, version):
        client = RawMqtt(self._lab.open_mqtt_port, version)
        self._open.append(client)
        return client

    def connect(self, version, name, expiry=None, properties=b"", **options):
        """Connected, with CONNACK in `connack`. `expiry`: seconds that the session lasts (3.1.1: any number keeps it)."""
        client = self.raw(version)
        if expiry is not None:
            options.setdefault("clean", False)
            if version == 5:
                properties += encode_properties({SESSION_EXPIRY: expiry})
        client.connack = client.connect(None, None, f"{self.prefix}-{name}", properties=properties, **options)
        assert client.connack.kind == CONNACK and client.connack.reason == 0, client.connack
        return client

    def close(self):
        for client in self._open:
            client.close()


@pytest.fixture
def clients(lab):
    made = Clients(lab)
    yield made
    made.close()
