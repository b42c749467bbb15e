"""Sessions and connections of the open listener: wills, what outlives a connection, client ids, keep alive."""
import time

from millrace_lab import eventually
from open_clients import ASSIGNED_ID, BOTH, CONTENT_TYPE, SERVER_KEEP_ALIVE, SESSION_EXPIRY, WILL_DELAY, clients  # noqa: F401
from raw_mqtt import PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Will, encode_properties


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
