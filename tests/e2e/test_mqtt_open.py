"""The open listener: a general MQTT 3.1.1 and 5 broker, through raw sockets and clients that no one here wrote."""
import itertools
import subprocess
import threading
import time

import pytest

from millrace_lab import eventually
from raw_mqtt import (CONNACK, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Closed, RawMqtt, Will,
                      encode_properties)

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
def test_each_filter_of_a_subscribe_has_its_own_answer(clients, version):
    subscriber = clients.connect(version, "sub")
    refused = 0x8F if version == 5 else 0x80
    # [MQTT-3.9.3-1], 3.1.1 [MQTT-3.9.3-1], 3.1.1 [MQTT-3.9.3-2], 3.1.1 [MQTT-3.8.4-4], 3.1.1 [MQTT-4.7.1-2],
    # 3.1.1 [MQTT-4.7.1-3]
    answer = subscriber.subscribe((clients.topic("0"), 0), (clients.topic("bad#"), 1), (clients.topic("1"), 1),
                                  (clients.topic("#/x"), 1), (clients.topic("a+"), 1), (clients.topic("2"), 2))
    assert answer.codes == [0, refused, 1, refused, refused, 2]
    publisher = clients.connect(version, "pub")
    for granted in (0, 1, 2):
        # 3.1.1 [MQTT-3.8.4-6], [MQTT-3.8.4-8]: the smaller of both
        publisher.give(clients.topic(str(granted)), b"x", 1, 2)
        assert subscriber.receive().qos == granted


@BOTH
def test_unsubscribe_is_exact_and_always_answered(clients, version):
    subscriber = clients.connect(version, "sub")
    publisher = clients.connect(version, "pub")
    subscriber.subscribe(clients.topic("a"), clients.topic("b"), clients.topic("c"))
    publisher.publish(clients.topic("a"), b"begun", 1)
    publisher.expect(PUBACK)
    begun = subscriber.expect(PUBLISH)
    # [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2], 3.1.1 [MQTT-3.10.4-1], 3.1.1 [MQTT-3.10.4-4], 3.1.1 [MQTT-3.10.4-5],
    # 3.1.1 [MQTT-3.10.4-6], 3.1.1 [MQTT-2.3.1-7]: one answer of the same id, whatever was there
    answer = subscriber.unsubscribe(clients.topic("a"), clients.topic("+"), clients.topic("B"), clients.topic("c"), packet_id=9)
    assert answer.codes == ([0, 0x11, 0x11, 0] if version == 5 else [])
    for topic in ("a", "c", "b"):
        publisher.give(clients.topic(topic), b"after", 2, 1)
    # 3.1.1 [MQTT-3.10.4-2]: only b; 3.1.1 [MQTT-3.10.4-3]: what had begun is completed
    subscriber.acknowledge(PUBACK, begun.packet_id)
    assert subscriber.receive().topic == clients.topic("b")
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
def test_a_will_is_published_when_the_connection_is_cut(clients, version):
    topic = clients.topic("will")
    watcher = clients.connect(version, "watcher")
    watcher.subscribe(topic)
    user = [("b", "2"), ("a", "1"), ("b", "3")]
    will = Will(topic, b"gone", 2, True, encode_properties({CONTENT_TYPE: "text/plain"}, user))
    dying = clients.connect(version, "dying", will=will)
    # 3.1.1 [MQTT-3.1.2-8], 3.1.1 [MQTT-3.1.2-9], [MQTT-3.1.2-8]
    dying.close()
    message = watcher.receive()
    assert (message.payload, message.qos) == (b"gone", 2)
    if version == 5:
        # [MQTT-3.1.3-10]
        assert message.user_list == user and message.properties[CONTENT_TYPE] == b"text/plain"
    # 3.1.1 [MQTT-3.1.2-17]
    late = clients.connect(version, "late")
    late.subscribe(topic)
    assert late.receive().retain
    # 3.1.1 [MQTT-3.1.2-10], [MQTT-3.1.2-10]: DISCONNECT takes it away; and once published it is gone
    clients.connect(version, "dying", will=Will(topic, b"never", 1)).leave()
    clients.connect(version, "dying").leave()
    watcher.assert_quiet()
    late.give(topic, b"", retain=True)


def test_a_will_of_version_5_waits_and_disconnect_may_ask_for_it(clients):
    topic = clients.topic("will")
    watcher = clients.connect(5, "watcher")
    watcher.subscribe(topic)
    asking = clients.connect(5, "asking", will=Will(topic, b"asked"))
    asking.disconnect(0x04)
    assert watcher.receive().payload == b"asked"
    delayed = Will(topic, b"late", 1, False, encode_properties({WILL_DELAY: 1}))
    dying = clients.connect(5, "dying", expiry=60, will=delayed)
    dying.close()
    # [MQTT-3.1.3-9]: back before the delay is over: no will
    back = clients.connect(5, "dying", expiry=60, will=delayed)
    assert back.connack.session_present
    time.sleep(1.2)
    watcher.assert_quiet()
    begun = time.monotonic()
    back.close()
    assert watcher.receive().payload == b"late"
    assert time.monotonic() - begun > 0.9


@BOTH
def test_a_session_goes_on_after_its_client_was_killed(clients, version):
    topic = clients.topic("s")
    # 3.1.1 [MQTT-3.2.2-3]
    first = clients.connect(version, "one", expiry=3600)
    assert not first.connack.session_present
    first.subscribe(topic)
    publisher = clients.connect(version, "pub")
    for number in (1, 2, 3):
        publisher.give(topic, b"%d" % number, number, 1 if number < 3 else 2)
    sent = [first.expect(PUBLISH) for _ in range(3)]
    # 3.1.1 [MQTT-4.3.2-1], 3.1.1 [MQTT-4.3.3-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1]: each has an id of its own and no DUP
    assert len({m.packet_id for m in sent}) == 3 and not any(m.dup for m in sent)
    first.close()
    for number in (4, 5, 6):
        publisher.give(topic, b"%d" % number, number, number - 4)
    # 3.1.1 [MQTT-3.1.3-2], 3.1.1 [MQTT-3.2.2-2], 3.1.1 [MQTT-4.1.0-2]
    second = clients.connect(version, "one", expiry=3600)
    assert second.connack.session_present
    # 3.1.1 [MQTT-4.4.0-1], [MQTT-4.4.0-1], 3.1.1 [MQTT-3.3.1-1], 3.1.1 [MQTT-4.6.0-1], [MQTT-4.3.2-3], [MQTT-4.3.3-3]: held until
    # answered, sent again under their ids, in their order, with DUP
    again = [second.expect(PUBLISH) for _ in range(3)]
    assert [(m.payload, m.packet_id, m.dup) for m in again] == [(m.payload, m.packet_id, True) for m in sent]
    # 3.1.1 [MQTT-3.1.2-5]: QoS 1 and 2 were kept for it, QoS 0 was not
    later = [second.expect(PUBLISH) for _ in range(2)]
    assert [(m.payload, m.dup) for m in later] == [(b"5", False), (b"6", False)]
    for message in again[:2] + later[:1]:
        second.acknowledge(PUBACK, message.packet_id)
    second.acknowledge(PUBREC, again[2].packet_id)
    assert second.expect(PUBREL).packet_id == again[2].packet_id
    second.close()
    third = clients.connect(version, "one", expiry=3600)
    # [MQTT-4.3.3-5], [MQTT-4.3.3-6]: PUBREL is held until PUBCOMP and sent again; the PUBLISH never after PUBREC
    kinds = sorted((m.kind, m.packet_id) for m in (third.read(), third.read()))
    assert kinds == sorted([(PUBREL, again[2].packet_id), (PUBLISH, later[1].packet_id)])
    third.acknowledge(PUBCOMP, again[2].packet_id)
    third.acknowledge(PUBREC, later[1].packet_id)
    assert third.expect(PUBREL).packet_id == later[1].packet_id
    third.acknowledge(PUBCOMP, later[1].packet_id)
    third.assert_quiet()
    third.leave()
    # 3.1.1 [MQTT-3.2.2-1], 3.1.1 [MQTT-3.1.4-3], 3.1.1 [MQTT-3.1.2-6]
    fresh = clients.connect(version, "one")
    assert not fresh.connack.session_present
    publisher.give(topic, b"nobody", 9, 1)
    fresh.assert_quiet()


@BOTH
def test_a_qos_2_message_is_passed_on_once_over_reconnects(clients, version):
    topic = clients.topic("q")
    watcher = clients.connect(version, "watcher")
    watcher.subscribe(topic)
    first = clients.connect(version, "pub", expiry=3600)
    first.publish(topic, b"once", 5, qos=2)
    assert first.expect(PUBREC).packet_id == 5
    first.publish(topic, b"once", 5, qos=2, dup=True)
    assert first.expect(PUBREC).packet_id == 5
    first.close()
    second = clients.connect(version, "pub", expiry=3600)
    # 3.1.1 [MQTT-4.3.3-2], [MQTT-4.3.3-10]
    second.publish(topic, b"once", 5, qos=2, dup=True)
    assert second.expect(PUBREC).packet_id == 5
    second.acknowledge(PUBREL, 5)
    done = second.expect(PUBCOMP)
    assert (done.packet_id, done.reason) == (5, 0)
    assert watcher.receive().payload == b"once"
    watcher.assert_quiet()
    # 3.1.1 [MQTT-4.3.3-2]: after PUBCOMP the id is a new message's
    second.give(topic, b"twice", 5, 2)
    assert watcher.receive().payload == b"twice"
    second.acknowledge(PUBREL, 77)
    unknown = second.expect(PUBCOMP)
    assert (unknown.packet_id, unknown.reason) == (77, 0x92 if version == 5 else 0)


def test_a_session_ends_when_its_time_is_up_and_no_session_lasts_for_ever(lab, clients):
    before = lab.metrics("protocol-gateway", "millrace_gateway_mqtt_sessions_ended_total")
    short = clients.connect(5, "short", expiry=1)
    short.subscribe(clients.topic("x"))
    short.close()
    assert clients.connect(5, "short", expiry=1).connack.session_present
    clients.close()
    eventually(lambda: lab.metrics("protocol-gateway", "millrace_gateway_mqtt_sessions_ended_total") > before, 30,
               "the end of the session")
    # [MQTT-4.1.0-2]
    assert not clients.connect(5, "short", expiry=1).connack.session_present
    # Section 3.2.2.3.2: the client is told what it gets.
    endless = clients.connect(5, "endless", expiry=0xFFFFFFFF)
    assert endless.connack.properties[SESSION_EXPIRY] == 24 * 60 * 60


def test_disconnect_can_end_or_prolong_a_session(clients):
    ending = clients.connect(5, "a", expiry=3600)
    ending.send(14, 0, b"\0" + b"\5" + encode_properties({SESSION_EXPIRY: 0}))
    ending.assert_closed()
    assert not clients.connect(5, "a", expiry=1).connack.session_present


@BOTH
def test_a_client_id_that_connects_again_takes_over(clients, version):
    topic = clients.topic("t")
    first = clients.connect(version, "same", expiry=60)
    first.subscribe(topic)
    second = clients.connect(version, "same", expiry=60)
    # [MQTT-3.1.4-3], 3.1.1 [MQTT-3.1.4-2]
    assert second.connack.session_present
    goodbye = first.assert_closed()
    assert goodbye is None if version == 4 else goodbye.reason == 0x8E
    clients.connect(version, "pub").give(topic, b"for the second", 1, 1)
    assert second.receive().payload == b"for the second"


def test_members_of_a_shared_subscription_share(clients):
    members = [clients.connect(5, f"m{number}") for number in range(2)]
    everything = clients.connect(5, "all")
    everything.subscribe(clients.topic("+"))
    for member in members:
        assert member.subscribe(f"$share/group/{clients.topic('+')}").codes == [2]
    publisher = clients.connect(5, "pub")
    for number in range(10):
        publisher.give(clients.topic("x"), b"%d" % number, number + 1, 1)
    # Section 4.8.2: one of them for each; which one is the server's choice.
    seen = []
    for member in members:
        member.send(12, 0, b"")
        while (packet := member.read()).kind != PINGRESP:
            member.acknowledge(PUBACK, packet.packet_id)
            seen.append((member, int(packet.payload)))
    assert sorted(number for _, number in seen) == list(range(10))
    assert {member for member, _ in seen} == set(members)
    assert [int(everything.receive().payload) for _ in range(10)] == list(range(10))
    # A member that is gone is passed over.
    members[0].leave()
    publisher.give(clients.topic("x"), b"10", 20, 1)
    assert members[1].receive().payload == b"10"


@BOTH
def test_wildcards_do_not_match_topics_that_begin_with_a_dollar(clients, version):
    subscriber = clients.connect(version, "sub")
    hidden = f"${clients.prefix}/x"
    # 3.1.1 [MQTT-4.7.2-1], [MQTT-4.7.2-1]
    subscriber.subscribe("#", "+/x")
    publisher = clients.connect(version, "pub")
    publisher.give(hidden, b"hidden", 1, 1)
    publisher.give(clients.topic("x"), b"seen", 2, 1)
    assert subscriber.receive().payload == b"seen"
    subscriber.unsubscribe("#", "+/x")
    subscriber.subscribe(f"${clients.prefix}/#")
    publisher.give(hidden, b"named", 3, 1)
    assert subscriber.receive().payload == b"named"
    # The topics of devices are plain ones here.
    subscriber.subscribe("devices/nobody/telemetry")
    publisher.give("devices/nobody/telemetry", b"no json", 4, 2)
    assert subscriber.receive().payload == b"no json"


@BOTH
def test_topics_are_compared_byte_for_byte(clients, version):
    subscriber = clients.connect(version, "sub")
    composed, decomposed = clients.topic("\u00e9"), clients.topic("e\u0301")
    longest = (clients.prefix + "/" + "x" * 65535)[:900]
    # 3.1.1 [MQTT-4.7.3-4], [MQTT-4.7.3-4]
    subscriber.subscribe(composed, clients.topic("A"), clients.topic("b/"), longest)
    publisher = clients.connect(version, "pub")
    for topic in (decomposed, clients.topic("a"), clients.topic("b"), composed, longest):
        publisher.give(topic, b"x", 1, 1)
    assert [subscriber.receive().topic for _ in range(2)] == [composed, longest]
    subscriber.assert_quiet()


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


def test_no_local_and_retain_as_published(clients):
    both = clients.connect(5, "both")
    # [MQTT-3.8.3-3]: 0x04 is No Local, 0x08 Retain As Published, 0x20 do not send retained messages
    both.subscribe((clients.topic("own"), 0x05), (clients.topic("kept"), 0x09))
    both.publish(clients.topic("own"), b"mine", 1)
    # The message was for nobody: section 3.4.2.1.
    assert both.expect(PUBACK).reason == 0x10
    publisher = clients.connect(5, "pub")
    publisher.give(clients.topic("own"), b"yours", 1, 1)
    assert both.receive().payload == b"yours"
    publisher.give(clients.topic("kept"), b"kept", 2, 1, retain=True)
    # [MQTT-3.3.1-13]
    assert both.receive().retain
    quiet = clients.connect(5, "quiet")
    # [MQTT-3.3.1-11]
    quiet.subscribe((clients.topic("kept"), 0x21))
    quiet.assert_quiet()
    publisher.give(clients.topic("kept"), b"", 3, 1, retain=True)


def test_a_publisher_of_version_5_learns_that_nobody_listens(clients):
    publisher = clients.connect(5, "pub")
    assert publisher.give(clients.topic("x"), b"x", 1, 1).reason == 0x10
    assert publisher.give(clients.topic("x"), b"x", 2, 2).reason == 0x10
    clients.connect(5, "sub").subscribe(clients.topic("x"))
    assert publisher.give(clients.topic("x"), b"x", 3, 1).reason == 0


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


def test_clients_without_an_id_get_one_each(clients):
    given = set()
    for _ in range(2):
        client = clients.raw(5)
        # [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]
        given.add(client.connect(None, None, "").properties[ASSIGNED_ID])
    assert len(given) == 2
    # 3.1.1 [MQTT-3.1.3-6], 3.1.1 [MQTT-3.1.3-7]
    old = [clients.raw(4), clients.raw(4)]
    assert [client.connect(None, None, "").reason for client in old] == [0, 0]
    for client in old:
        client.assert_quiet()
    # 3.1.1 [MQTT-3.1.3-8], 3.1.1 [MQTT-3.2.2-4], 3.1.1 [MQTT-3.2.2-5]
    refused = clients.raw(4)
    answer = refused.connect(None, None, "", clean=False)
    assert (answer.reason, answer.session_present) == (2, False)
    refused.assert_closed()


@BOTH
def test_client_ids_short_and_long(clients, version):
    for name in ("0", "abcdefghijklmnopqrstuvw", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "x" * 256):
        client = clients.raw(version)
        # 3.1.1 [MQTT-3.1.3-5], [MQTT-3.1.3-5]
        assert client.connect(None, None, name).reason == 0
    refused = clients.raw(version)
    # [MQTT-3.1.3-8], 3.1.1 [MQTT-3.1.3-9], 3.1.1 [MQTT-3.2.2-5]
    assert refused.connect(None, None, "x" * 257).reason == (0x85 if version == 5 else 2)
    refused.assert_closed()


@BOTH
def test_keep_alive_is_the_clients_own(clients, version):
    client = clients.connect(version, "quiet", keep_alive=1)
    # [MQTT-3.2.2-22], [MQTT-3.1.2-22], 3.1.1 [MQTT-3.1.2-24]
    assert SERVER_KEEP_ALIVE not in client.connack.properties
    # 3.1.1 [MQTT-3.12.4-1], [MQTT-3.12.4-1]
    assert client.ping().kind == PINGRESP
    begun = time.monotonic()
    client.assert_closed()
    assert 1.3 < time.monotonic() - begun < 8


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


# --- clients that no one here wrote ---

@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mosquitto_clients(lab, clients, version, qos):
    # 3.1.1 [MQTT-7.0.0-2], 3.1.1 [MQTT-7.1.1-1]: others' clients over TCP need nothing that the standard does not have
    topic = clients.topic("m")
    name = {4: "mqttv311", 5: "mqttv5"}[version]
    where = ["-h", "127.0.0.1", "-p", str(lab.open_mqtt_port), "-V", name, "-q", str(qos), "-t", topic]
    with subprocess.Popen(["mosquitto_sub", *where, "-C", "3", "-W", "60", "-i", clients.prefix, "-u", "who", "-P", "ever"],
                          stdout=subprocess.PIPE, text=True) as subscriber:
        eventually(lambda: clients.connect(5, "probe").give(topic, b"", 1, 1).reason == 0, 30, "the subscription")
        for number in (1, 2):
            subprocess.run(["mosquitto_pub", *where, "-m", str(number)], check=True, timeout=60)
        assert subscriber.communicate(timeout=60)[0].split() == ["1", "2"]


def _paho(lab, client_id, version, **options):
    paho = pytest.importorskip("paho.mqtt.client")
    client = paho.Client(client_id=client_id, protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311, **options)
    client.received = []
    client.subscribed = threading.Event()
    client.on_message = lambda _client, _data, message: client.received.append((message.topic, message.payload, message.qos))
    client.on_subscribe = lambda *_: client.subscribed.set()
    return client


@BOTH
def test_paho_keeps_its_session_after_a_kill(lab, clients, version):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    def connect(client):
        kept = {}
        if version == 5:
            kept = {"clean_start": False, "properties": Properties(PacketTypes.CONNECT)}
            kept["properties"].SessionExpiryInterval = 3600
        client.connect("127.0.0.1", lab.open_mqtt_port, **kept)
        client.loop_start()
    keeps = {} if version == 5 else {"clean_session": False}
    topic, name = clients.topic("p"), clients.prefix
    first = _paho(lab, name, version, **keeps)
    connect(first)
    eventually(first.is_connected, 30, "Paho to connect")
    first.subscribe(topic, 2)
    assert first.subscribed.wait(30)
    publisher = _paho(lab, name + "-pub", version)
    connect(publisher)
    eventually(publisher.is_connected, 30, "Paho to connect")
    for qos in (0, 1, 2):
        publisher.publish(topic, b"live %d" % qos, qos).wait_for_publish(30)
    eventually(lambda: len(first.received) == 3, 30, "three messages")
    assert first.received == [(topic, b"live %d" % qos, qos) for qos in (0, 1, 2)]
    # As a client that is killed: the socket goes, nothing is said.
    first.loop_stop()
    first._sock_close()
    for number in range(20):
        publisher.publish(topic, b"%d" % number, 1 + number % 2).wait_for_publish(30)
    second = _paho(lab, name, version, **keeps)
    connect(second)
    eventually(lambda: len(second.received) == 20, 30, "what came meanwhile")
    # Paho passes a QoS 2 message on when PUBREL has come: the order is that of each QoS.
    for qos in (1, 2):
        assert [int(payload) for _, payload, got in second.received if got == qos] == list(range(qos - 1, 20, 2))
    for client in (second, publisher):
        client.disconnect()
        client.loop_stop()
