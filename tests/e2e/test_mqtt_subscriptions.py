"""Subscriptions on the open listener: filters, their options, shared ones."""
from open_clients import BOTH, clients  # noqa: F401
from raw_mqtt import PINGRESP, PUBACK, PUBLISH


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
