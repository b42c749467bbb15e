"""What the open listener does not put up with, and what it keeps to itself."""
import time

import pytest

from open_clients import RECEIVE_MAXIMUM, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, clients  # noqa: F401
from raw_mqtt import CONNACK, PUBACK, PUBLISH, Closed, encode_properties


def test_receive_maximum_and_topic_aliases_of_the_client_are_kept(clients):
    limits = encode_properties({RECEIVE_MAXIMUM: 2, TOPIC_ALIAS_MAXIMUM: 1})
    subscriber = clients.connect(5, "sub", properties=limits)
    subscriber.subscribe(clients.topic("#"))
    publisher = clients.connect(5, "pub")
    for number in range(1, 7):
        publisher.give(clients.topic("a-topic", str(number % 2)), b"%d" % number, number, 1)
    # [MQTT-3.3.4-9]: two at a time
    begun = [subscriber.expect(PUBLISH), subscriber.expect(PUBLISH)]
    subscriber.assert_quiet()
    aliases = [message.properties.get(TOPIC_ALIAS) for message in begun]
    for message in begun:
        subscriber.acknowledge(PUBACK, message.packet_id)
    for _ in range(4):
        message = subscriber.receive()
        aliases.append(message.properties.get(TOPIC_ALIAS))
        # [MQTT-3.1.2-26]: one alias, for the topic that came first
        assert message.topic or message.properties[TOPIC_ALIAS] == 1
    assert set(aliases) == {1, None}


def test_what_breaks_311_ends_the_connection(clients):
    def text(data):
        return len(data).to_bytes(2, "big") + data

    def connect(flags, *fields, name=b"MQTT", level=4):
        body = text(name) + bytes([level, flags]) + b"\0\x3c" + b"".join(text(one) for one in fields)
        return bytes([0x10, len(body)]) + body

    broken_connects = [
        # 3.1.1 [MQTT-3.1.0-1]
        b"\xc0\0",
        # 3.1.1 [MQTT-3.1.2-1]
        connect(2, b"x", name=b"MQTX"),
        # 3.1.1 [MQTT-3.1.2-3], 3.1.1 [MQTT-3.1.4-1], 3.1.1 [MQTT-3.2.2-6]: no CONNACK either
        connect(3, b"x"),
        # 3.1.1 [MQTT-3.1.2-11], 3.1.1 [MQTT-3.1.2-13], 3.1.1 [MQTT-3.1.2-15]: will QoS or retain without a will
        connect(0x0A, b"x"), connect(0x22, b"x"),
        # 3.1.1 [MQTT-3.1.2-14]
        connect(0x1E, b"x", b"t", b"m"),
        # 3.1.1 [MQTT-3.1.2-9], 3.1.1 [MQTT-3.1.2-19], 3.1.1 [MQTT-3.1.2-21], 3.1.1 [MQTT-3.1.3-1], 3.1.1 [MQTT-3.1.3-3]: flags and
        # fields do not agree
        connect(0x06, b"x"), connect(0x82, b"x"), connect(0xC2, b"x", b"u"), connect(2),
        # 3.1.1 [MQTT-3.1.2-18], 3.1.1 [MQTT-3.1.2-20]
        connect(2, b"x", b"u"), connect(0x82, b"x", b"u", b"p"),
        # 3.1.1 [MQTT-3.1.2-22]: a password without a user name
        connect(0x42, b"x", b"p"),
        # 3.1.1 [MQTT-3.1.3-4], 3.1.1 [MQTT-3.1.3-10], 3.1.1 [MQTT-3.1.3-11], 3.1.1 [MQTT-1.5.3-1], 3.1.1 [MQTT-1.5.3-2]
        connect(2, b"\xff"), connect(2, b"a\0b"), connect(6, b"x", b"\xed\xa0\x80", b"m"), connect(0x82, b"x", b"\xc0\x80"),
    ]
    for data in broken_connects:
        client = clients.raw(4)
        client.send_bytes(data)
        with pytest.raises(Closed):
            pytest.fail(f"{data!r} was answered with {client.read()}")
    broken_packets = [
        # 3.1.1 [MQTT-3.1.0-2]
        connect(2, b"x"),
        # 3.1.1 [MQTT-3.3.1-4], 3.1.1 [MQTT-3.3.1-2]: QoS 3; DUP on QoS 0
        b"\x36\x06\0\1t\0\1x", b"\x38\x04\0\1tx",
        # 3.1.1 [MQTT-3.3.2-1], 3.1.1 [MQTT-3.3.2-2], 3.1.1 [MQTT-4.7.1-1], 3.1.1 [MQTT-4.7.3-1], 3.1.1 [MQTT-4.7.3-2]
        b"\x30\x04\0\1\xffx", b"\x30\x04\0\1#x", b"\x30\x04\0\1+x", b"\x30\x03\0\0x", b"\x30\x04\0\1\0x",
        # 3.1.1 [MQTT-3.6.1-1], 3.1.1 [MQTT-3.8.1-1], 3.1.1 [MQTT-3.10.1-1], 3.1.1 [MQTT-3.14.1-1], 3.1.1 [MQTT-2.2.2-2]
        b"\x60\2\0\1", b"\x80\6\0\1\0\1t\1", b"\xa0\5\0\1\0\1t", b"\xe1\0",
        # 3.1.1 [MQTT-3.8.3-1], 3.1.1 [MQTT-3.8.3-3], 3.1.1 [MQTT-3.8.3-4], 3.1.1 [MQTT-4.7.3-1]
        b"\x82\6\0\1\0\1\xff\1", b"\x82\2\0\1", b"\x82\6\0\1\0\1t\3", b"\x82\6\0\1\0\1t\x81", b"\x82\5\0\1\0\0\1",
        # 3.1.1 [MQTT-3.10.3-1], 3.1.1 [MQTT-3.10.3-2]
        b"\xa2\5\0\1\0\1\xff", b"\xa2\2\0\1",
        # 3.1.1 [MQTT-2.3.1-1]: packet id 0
        b"\x32\6\0\1t\0\0x", b"\x82\6\0\0\0\1t\1",
    ]
    for number, data in enumerate(broken_packets):
        # 3.1.1 [MQTT-4.8.0-1]
        client = clients.connect(4, f"b{number}")
        client.send_bytes(data)
        with pytest.raises(Closed):
            pytest.fail(f"{data!r} was answered with {client.read()}")


def test_a_session_whose_queue_overflows_is_ended_and_nobody_else_suffers(lab, clients):
    topic = clients.topic("flood")
    slow = clients.connect(5, "slow", expiry=60, properties=encode_properties({RECEIVE_MAXIMUM: 1}))
    slow.subscribe(topic)
    quick = clients.connect(5, "quick")
    quick.subscribe((topic, 0))
    publisher = clients.connect(5, "pub")
    before = lab.metrics("protocol-gateway", "millrace_gateway_mqtt_sessions_ended_total")
    for first in range(0, 1200, 100):
        for number in range(first, first + 100):
            publisher.publish(topic, b"%d" % number, number + 1)
        assert [publisher.read().reason for _ in range(100)] == [0] * 100
        assert [int(quick.receive().payload) for _ in range(100)] == list(range(first, first + 100))
    assert slow.expect(PUBLISH).payload == b"0"
    assert slow.assert_closed().reason == 0x97
    assert lab.metrics("protocol-gateway", "millrace_gateway_mqtt_sessions_ended_total") == before + 1
    again = clients.connect(5, "slow", expiry=60)
    assert not again.connack.session_present


def test_a_subscriber_that_does_not_read_holds_nobody_up(lab, clients):
    topic = clients.topic("big")
    deaf = clients.connect(5, "deaf")
    deaf.subscribe((topic, 0))
    publisher = clients.connect(5, "pub")
    begun = time.monotonic()
    for number in range(400):
        publisher.give(topic, b"x" * 200_000, number + 1, 1)
    assert time.monotonic() - begun < 60
    assert lab.metrics("protocol-gateway", "millrace_gateway_mqtt_dropped_qos0_total") > 0
