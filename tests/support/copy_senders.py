"""Devices that send a message and then send it again, over each protocol as it says that: one sender is one device.

open(which) goes to the first (0) or second (1) gateway; send() returns when the gateway has answered. What was refused
with 503 or 5.03 was never handed to Kafka, and is sent until it is taken.
"""
import json
import os
import subprocess
import threading
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import raw_mqtt
from bridged_broker import Publisher
from coap_device import URI_QUERY, CoapDevice
from http_device import HttpDevice
from millrace_dev.environment import psk
from millrace_lab import TENANT, eventually
from raw_mqtt import RawMqtt

METRIC = "v"


@dataclass(frozen=True)
class Send:
    """One message. Without a time the platform stamps it, and only the rules about copies tell it from an equal one."""
    value: int = 1
    time_us: int = 0  # that the device gives; 0: none
    id: str = ""  # explicit
    number: int = 7  # MQTT packet id, CoAP message id
    token: bytes = b"same"  # of CoAP
    dup: bool = False
    fresh: bool = False  # over a further connection; CoAP: from another port
    lost: bool = False  # the device hears no answer, so a QoS 2 message is not released
    more: tuple = ()  # values of further readings in the message

    def payload(self):
        readings = [{**({"ts": self.time_us} if self.time_us else {}), METRIC: value} for value in (self.value, *self.more)]
        return json.dumps(readings if self.more else readings[0]).encode()


@dataclass
class Site:
    """Where the senders send to. `ports` of both gateways by protocol."""
    lab: object
    ports: list
    broker_port: int  # of the bridged broker
    parent: tuple = ()  # (id, token) of the device that speaks for others

    def __post_init__(self):
        self.publisher = Publisher(self.broker_port, mqtt.MQTTv5)
        self.publishing = threading.Lock()


class MqttSender:
    def __init__(self, site, device, token, version, qos, keep=False, of_child=False):
        self._site, self._device, self._version, self._qos = site, device, version, qos
        self._speaker = site.parent if of_child else (device, token)
        lasting = raw_mqtt.encode_properties({0x11: 3600}) if version == 5 else b""  # session expiry interval
        self._session = {"clean": False, "properties": lasting} if keep else {}
        self._link, self._which = None, 0

    def open(self, which):
        """A gateway that has just started may not let anybody in yet."""
        self.close()
        self._which = which

        def let_in():
            link = RawMqtt(self._site.ports[which]["mqtt"], self._version)
            name, token = self._speaker
            if link.connect(f"{name}@{TENANT}", token, self._device, keep_alive=3600, **self._session).reason == 0:
                return link
            link.close()
            return None
        self._link = eventually(let_in, 60, f"{self._device} to be let in", interval=0.2)

    def send(self, one):
        if one.fresh:
            self.open(self._which)
        said = {"qos": self._qos, "dup": one.dup, "message_id": one.id}
        topic = f"devices/{self._device}/telemetry"
        if self._qos == 2 and one.lost:
            self._link.publish(topic, one.payload(), one.number, **said)
            answer = self._link.expect(raw_mqtt.PUBREC)
        else:
            answer = self._link.give(topic, one.payload(), one.number, **said)
        if answer is None:
            self._link.assert_quiet()  # QoS 0: it has been read
        else:
            assert answer.reason == 0, answer

    def close(self):
        if self._link:
            self._link.close()


class HttpSender:
    def __init__(self, site, device, token, of_child=False):
        self._site = site
        self._speaker = site.parent if of_child else (device, token)
        self._path = f"/v1/devices/{device}/telemetry" if of_child else "/v1/telemetry"
        self._device = None

    def open(self, which):
        self.close()
        self._device = HttpDevice(self._site.lab, *self._speaker, address=f"127.0.0.1:{self._site.ports[which]['http']}")

    def send(self, one):
        def taken():
            status, _, body = self._device.post(one.payload(), {"Idempotency-Key": one.id or None}, self._path)
            assert status in (202, 503), (status, body)
            return status == 202
        eventually(taken, 60, f"{self._path} to be taken")

    def close(self):
        if self._device:
            self._device.close()


class CoapSender:
    def __init__(self, site, device, token, kind):
        self._site, self._who, self._kind = site, (device, token), kind
        self._device, self._which = None, 0
        self.answers = []

    def open(self, which):
        """From the port that it had."""
        self._which = which
        port = self._site.ports[which]["coap"]
        if self._device:
            self._device.move(port)
        else:
            self._device = CoapDevice(port, *self._who)

    def send(self, one):
        options = [(URI_QUERY, f"mid={one.id}".encode())] if one.id else []

        def taken():
            code, _, body = self._device.post(one.payload(), one.number, one.token, self._kind, options)
            if code == "5.03":
                self._take_another_port()  # on this one the same message gets the same answer
                return False
            assert code == "2.04", (code, body)
            self.answers.append(body)
            return True
        if one.fresh:
            self._take_another_port()
        eventually(taken, 60, "the message to be taken")

    def _take_another_port(self):
        self.close()
        self._device = None
        self.open(self._which)

    def close(self):
        if self._device:
            self._device.close()


class CoapsSender:
    """Each message over a session of its own, by coap-client-openssl, which chooses message id and token."""

    def __init__(self, site, device, token):
        self._site, self._login = site, ["-u", f"{device}@{TENANT}", "-k", psk(token)]
        self._which = 0

    def open(self, which):
        self._which = which

    def send(self, one):
        uri = f"coaps://127.0.0.1:{self._site.ports[self._which]['coaps']}/v1/telemetry" + (f"?mid={one.id}" if one.id else "")
        command = ["coap-client-openssl", "-m", "post", "-t", "50", "-B", "120", "-e", one.payload().decode(), *self._login, uri]

        def taken():
            done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
            assert '"receipt"' in done.stdout or "5.03" in done.stdout + done.stderr, done.stdout + done.stderr
            return '"receipt"' in done.stdout
        eventually(taken, 60, "the message to be taken")

    def close(self):
        """Nothing is open."""


class BridgeSender:
    """Publishes to the broker that is bridged. One publisher for all, so the broker knows none of them."""

    def __init__(self, site, device, token):
        del token  # the bridge vouches for it
        self._site, self._device = site, device

    def open(self, which):
        """There is one bridge."""

    def send(self, one):
        said = Properties(PacketTypes.PUBLISH)
        if one.id:
            said.UserProperty = [("message-id", one.id)]
        with self._site.publishing:
            self._site.publisher.publish(f"devices/{self._device}/telemetry", one.payload(), properties=said)

    def close(self):
        """The publisher is the site's."""


# Repetitions that no device can cause: what a gateway writes into the log. Each changes the device's last record.

def produced_again(batch):
    """After a fatal error of its producer, or out of a bridge's journal."""
    return batch


def by_another_gateway(batch):
    """An equal message in the same microsecond."""
    batch.ingest_id.start = os.urandom(16)
    return batch


def by_a_gateway_that_hung(batch):
    """It wakes up and writes what it had read of the connection before."""
    batch.delivery.connection_epoch -= 1
    batch.delivery.dup = False
    return by_another_gateway(batch)


def stamped_with_a_device_time(batch):
    """The platform's time of this one is the time that the device gave the other."""
    batch.ingest_time_us = batch.points[0].time_us if batch.points[0].HasField("time_us") else batch.event_time_us
    batch.ClearField("event_time_us")
    batch.points[0].ClearField("time_us")
    return by_another_gateway(batch)


def timed_as_stamped(batch):
    """The device gives this one the time with which the platform stamped the other."""
    batch.event_time_us = batch.ingest_time_us
    batch.points[0].value.int_value = 2
    return by_another_gateway(batch)
