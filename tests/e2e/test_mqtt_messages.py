"""Messages over the open listener: QoS, order, retained ones, what they carry."""
import time

from open_clients import (  # noqa: F401
    BOTH, CONTENT_TYPE, CORRELATION, FORMAT, MESSAGE_EXPIRY, RESPONSE_TOPIC, SUBSCRIPTION_ID, clients)
from raw_mqtt import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, encode_properties


@BOTH
def test_messages_reach_subscribers_at_every_qos(clients, version):
    # 3.1.1 [MQTT-3.2.0-1], 3.1.1 [MQTT-3.1.4-4]: connect() has read CONNACK 0 first.
    subscriber = clients.connect(version, "sub")
    publisher = clients.connect(version, "pub")
    # 3.1.1 [MQTT-3.8.4-1], 3.1.1 [MQTT-3.8.4-2], [MQTT-3.8.4-1], [MQTT-3.8.4-2]: subscribe() checks the packet and its id.
    assert subscriber.subscribe(clients.topic("+")).codes == [2]
    for qos in (0, 1, 2):
        # [MQTT-3.3.4-1], 3.1.1 [MQTT-3.3.4-1]: give() waits for nothing, PUBACK, or PUBREC and PUBCOMP.
        publisher.give(clients.topic("x"), b"payload %d" % qos, 7, qos)
        message = subscriber.receive()
        # 3.1.1 [MQTT-4.5.0-1], 3.1.1 [MQTT-3.3.2-3]
        assert (message.topic, message.payload, message.qos) == (clients.topic("x"), b"payload %d" % qos, qos)
        # 3.1.1 [MQTT-3.3.1-2], 3.1.1 [MQTT-4.3.1-1]
        assert not message.dup and not message.retain
        # [MQTT-2.2.1-2], 3.1.1 [MQTT-2.3.1-5], 3.1.1 [MQTT-2.3.1-4]: a packet id above QoS 0 only, and never 0
        assert bool(message.packet_id) == (qos > 0)
    subscriber.assert_quiet()


@BOTH
def test_retained_messages_are_kept_replaced_and_removed(clients, version):
    topic = clients.topic("r")
    publisher, live = clients.connect(version, "pub"), clients.connect(version, "live")
    live.subscribe(topic)
    # 3.1.1 [MQTT-3.3.1-5]
    publisher.give(topic, b"first", 1, 1, retain=True)
    publisher.give(clients.topic("s"), b"other", 2, 2, retain=True)
    # 3.1.1 [MQTT-3.3.1-12]: not stored, and leaves the retained one alone
    publisher.give(topic, b"passing", 3, 1)
    # 3.1.1 [MQTT-3.3.1-9], [MQTT-3.3.1-12]: to those who listen already they are ordinary messages
    assert [(m.payload, m.retain) for m in (live.receive(), live.receive())] == [(b"first", False), (b"passing", False)]
    # 3.1.1 [MQTT-3.3.1-6], 3.1.1 [MQTT-3.3.1-8]
    late = clients.connect(version, "late")
    late.subscribe(clients.topic("#"))
    found = {m.topic: (m.payload, m.qos, m.retain) for m in (late.receive(), late.receive())}
    assert found == {topic: (b"first", 1, True), clients.topic("s"): (b"other", 2, True)}
    # 3.1.1 [MQTT-3.8.4-3]: the same filter again replaces the subscription and sends them once more
    late.subscribe((clients.topic("#"), 1))
    assert {m.topic for m in (late.receive(), late.receive())} == set(found)
    # 3.1.1 [MQTT-3.3.1-7]: QoS 0 replaces too
    publisher.give(topic, b"second", retain=True)
    assert late.receive().payload == b"second"
    # 3.1.1 [MQTT-3.3.1-10], 3.1.1 [MQTT-3.3.1-11]: an empty one removes and is not kept, but passes on
    publisher.give(topic, b"", 4, 1, retain=True)
    assert late.receive().payload == b""
    publisher.give(clients.topic("s"), b"", 5, 1, retain=True)
    assert late.receive().payload == b""
    later = clients.connect(version, "later")
    later.subscribe(clients.topic("#"))
    later.assert_quiet()


@BOTH
def test_messages_of_one_client_keep_their_order(clients, version):
    subscriber, publisher = clients.connect(version, "sub"), clients.connect(version, "pub")
    subscriber.subscribe(clients.topic("#"))
    for number in range(1, 301):
        publisher.publish(clients.topic(str(number % 3)), b"%d" % number, number, qos=number % 2 + 1)
    # 3.1.1 [MQTT-4.6.0-3], 3.1.1 [MQTT-4.6.0-2]: answers in the order in which the messages came
    assert [publisher.read().packet_id for _ in range(300)] == list(range(1, 301))
    # 3.1.1 [MQTT-4.6.0-5], 3.1.1 [MQTT-4.6.0-6], [MQTT-4.6.0-5]
    assert [int(subscriber.expect(PUBLISH).payload) for _ in range(300)] == list(range(1, 301))


def test_what_a_request_says_reaches_its_responder(clients):
    responder, requester = clients.connect(5, "responder"), clients.connect(5, "requester")
    responder.subscribe(clients.topic("ask"), properties=encode_properties({SUBSCRIPTION_ID: 7}))
    responder.subscribe(clients.topic("+"), packet_id=2, properties=encode_properties({SUBSCRIPTION_ID: 8}))
    said = {FORMAT: 1, CONTENT_TYPE: "text/plain", RESPONSE_TOPIC: clients.topic("answer"), CORRELATION: b"\0\1",
            MESSAGE_EXPIRY: 100}
    user = [("z", "1"), ("a", "2"), ("z", "3")]
    requester.give(clients.topic("ask"), b"question", 1, 1, properties=encode_properties(said, user))
    heard = responder.receive()
    # [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
    assert heard.properties[FORMAT] == 1 and heard.properties[CONTENT_TYPE] == b"text/plain"
    assert heard.properties[RESPONSE_TOPIC] == clients.topic("answer").encode() and heard.properties[CORRELATION] == b"\0\1"
    assert heard.user_list == user and 98 <= heard.properties[MESSAGE_EXPIRY] <= 100
    # [MQTT-3.3.4-3], [MQTT-3.3.4-4]: one copy with the identifiers of both subscriptions
    assert sorted(heard.subscription_ids) == [7, 8]
    responder.assert_quiet()


def test_messages_expire_but_their_exchange_is_finished(clients):
    topic = clients.topic("x")
    away = clients.connect(5, "away", expiry=60)
    away.subscribe(topic)
    away.close()
    publisher = clients.connect(5, "pub")
    publisher.publish(topic, b"short", 1, qos=2, properties=encode_properties({MESSAGE_EXPIRY: 1}))
    assert publisher.expect(PUBREC).reason == 0
    publisher.give(topic, b"long", 2, 1)
    time.sleep(1.1)
    publisher.acknowledge(PUBREL, 1)
    # [MQTT-4.3.3-13]
    assert publisher.expect(PUBCOMP).reason == 0
    # [MQTT-3.3.2-5]
    assert clients.connect(5, "away", expiry=60).receive().payload == b"long"


def test_a_publisher_of_version_5_learns_that_nobody_listens(clients):
    publisher = clients.connect(5, "pub")
    assert publisher.give(clients.topic("x"), b"x", 1, 1).reason == 0x10
    assert publisher.give(clients.topic("x"), b"x", 2, 2).reason == 0x10
    clients.connect(5, "sub").subscribe(clients.topic("x"))
    assert publisher.give(clients.topic("x"), b"x", 3, 1).reason == 0
