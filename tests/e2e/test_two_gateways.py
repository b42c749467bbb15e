"""Two gateways act as one: presence, takeover, sessions, QoS 2, drain. Devices talk to both ports directly."""
import json
import signal
import threading
import time

import pytest

import protos
import raw_kafka
import raw_mqtt
from millrace_lab import TENANT, eventually, now_us
from presence_log import PresenceLog
from raw_mqtt import RawMqtt

HOUR = 3_600_000_000


@pytest.fixture
def device(lab, request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]
    return name, lab.create_device(name)


class Pair:
    """The lab's gateway and a second one."""

    def __init__(self, lab):
        self.lab = lab
        second = lab.add_service("protocol-gateway", "protocol-gateway-2", extra={
            "MILLRACE_PROTOCOL_GATEWAY_MQTT_SERVER_REFERENCE": "elsewhere.example:1883"})
        second.wait_ready()
        self.ports = [lab.mqtt_port, second.ports["mqtt"]]
        self.names = ["protocol-gateway", "protocol-gateway-2"]

    def connect(self, which, device, version=5, client_id=None, **options):
        """A connection to the first (0) or the second (1); answers with it and CONNACK. A gateway that does not know the
        device yet is asked again."""
        name, token = device
        found = []

        def let_in():
            link = RawMqtt(self.ports[which], version)
            connack = link.connect(f"{name}@{TENANT}", token, client_id or name, **options)
            if connack.reason != 0:
                link.close()
                return False
            found[:] = [link, connack]
            return True
        eventually(let_in, 60, f"{self.names[which]} to let {name} in", interval=0.2)
        return found


@pytest.fixture
def pair(lab):
    two = Pair(lab)
    yield two
    if not lab.member(two.names[0]).alive():
        lab.restart(two.names[0])
    lab.drop_service(two.names[1])


@pytest.fixture
def presence(lab):
    log = PresenceLog(lab)
    yield log
    log.end()


def _topic(device):
    return f"devices/{device[0]}/telemetry"


def _rows(lab, device, metric):
    return lab.range_samples(device[0], metric, 0, now_us() + HOUR)


@pytest.mark.parametrize("version", [4, 5])
def test_the_same_client_id_on_the_other_gateway_closes_the_first_within_a_second(pair, device, presence, version):
    first, _ = pair.connect(0, device, version)
    second, _ = pair.connect(1, device, version)
    begin = time.monotonic()
    word = first.assert_closed()
    took = time.monotonic() - begin
    assert (word.reason if word else None) == (0x8E if version == 5 else None)
    assert took < 1, f"the older connection was closed after {took:.3f} s"
    assert second.ping().kind == raw_mqtt.PINGRESP, "the newer connection stays"
    gone = presence.wait_going(device[0])
    assert presence.cause(gone) == "takeover"
    came = presence.coming(device[0])
    assert [record.gateway == gone.gateway for record in came[-2:]] == [True, False]
    last = presence.wait_present(device[0])
    assert last.epoch > gone.epoch, "the later connection has the greater epoch"
    assert last.gateway != gone.gateway
    # And back again.
    third, _ = pair.connect(0, device, version)
    second.assert_closed()
    assert third.ping().kind == raw_mqtt.PINGRESP
    again = presence.wait_going(device[0], 2)
    assert again.epoch == last.epoch
    third.leave()
    assert presence.cause(presence.wait_going(device[0], 3)) == "client"


def test_presence_says_why_and_how_long(pair, lab, device, presence):
    link, _ = pair.connect(0, device)
    link.leave()
    gone = presence.wait_going(device[0])
    assert presence.cause(gone) == "client"
    assert 0 <= gone.disconnected_us - gone.connected_us < 60_000_000
    assert gone.protocol == 2 and gone.tenant == TENANT and gone.client_id == device[0]
    assert gone.address.startswith("127.0.0.1:")
    link, _ = pair.connect(0, device)
    link.close()
    assert presence.cause(presence.wait_going(device[0], 2)) == "lost"
    link, _ = pair.connect(0, device)
    link.send_bytes(b"\xf0\x00")
    link.assert_closed()
    broken = presence.wait_going(device[0], 3)
    assert presence.cause(broken) == "protocol_error" and broken.detail
    link, _ = pair.connect(0, device, keep_alive=1)
    assert presence.cause(presence.wait_going(device[0], 4)) == "keep_alive"
    link.close()
    link, _ = pair.connect(0, device)
    lab.registry("SetDeviceEnabled", device=device[0], enabled=False)
    assert link.assert_closed().reason == 0x87
    assert presence.cause(presence.wait_going(device[0], 5)) == "revoked"
    epochs = [record.epoch for record in presence.going(device[0])]
    assert epochs == sorted(set(epochs)), "epochs rise"


def test_the_command_line_says_who_is_connected(pair, lab, device, presence):
    link, _ = pair.connect(1, device, client_id="one")

    def said(*more):
        text = lab.millrace("admin", "presence", f"{TENANT}/{device[0]}", "--json", *more)
        return [json.loads(line) for line in text.splitlines()]
    (there,) = said("--online")
    assert (there["client_id"], there["state"], there["protocol"]) == ("one", "connected", "mqtt5")
    assert there["address"].startswith("127.0.0.1:") and there["gateway"] == presence.wait_present(device[0]).gateway
    link.leave()
    gone = presence.wait_going(device[0])
    assert said("--online") == []
    (there,) = said()
    assert (there["state"], there["cause"], there["epoch"]) == ("disconnected", "client", gone.epoch)
    # query-api tells the holder of a key the same, once it has read the record too.
    told = lab.millrace("admin", "presence", f"{TENANT}/{device[0]}", "--json")
    eventually(lambda: lab.millrace("presence", device[0], "--json") == told, 60, "query-api to know that the client went")
    assert lab.millrace("presence", device[0], "--online", "--json") == ""
    assert said("--gateway", "another") == []


def test_two_clients_of_a_device_are_told_apart(pair, device, presence):
    one, _ = pair.connect(0, device, client_id="one")
    two, _ = pair.connect(1, device, client_id="two")
    one.leave()
    presence.wait_going(device[0])
    assert presence.wait_present(device[0]).client_id == "two"
    assert two.ping().kind == raw_mqtt.PINGRESP
    two.leave()
    presence.wait_going(device[0], 2)


def test_a_gateway_that_died_is_reported_when_its_devices_come_back(pair, lab, device, presence):
    first, _ = pair.connect(0, device)
    lab.kill(pair.names[0], signal.SIGKILL)
    first.close()
    second, _ = pair.connect(1, device)
    gone = presence.wait_going(device[0])
    assert presence.cause(gone) == "gateway_lost"
    assert presence.wait_present(device[0]).epoch > gone.epoch
    second.leave()


LONG = raw_mqtt.encode_properties({0x11: 600})  # session expiry interval


def _persistent(version):
    return {"clean": False, "properties": LONG} if version == 5 else {"clean": False}


def test_the_sessions_of_a_gateway_that_died_begin_to_expire_when_it_starts_again(pair, lab, device):
    link, _ = pair.connect(0, device, clean=False, properties=LONG)
    lab.kill(pair.names[0], signal.SIGKILL)
    link.close()
    since = now_us()
    lab.restart(pair.names[0])
    session, records = protos.sessions().Session, []
    tail = raw_kafka.Tail(lab.stack.kafka.bootstrap, "millrace.sessions", 4, begin=raw_kafka.BEGINNING)

    def read():
        for _, value in tail:
            if device[0].encode() in value:  # gateways' marks are no sessions
                records.append(session.FromString(value))
    reader = threading.Thread(target=read)
    reader.start()
    try:
        eventually(lambda: records and not records[-1].connected, 60, "the session to be said to have ended")
    finally:
        tail.end()
        reader.join(30)
    assert [record.connected for record in records] == [True, False]
    assert records[1].disconnected_us >= since and records[1].expiry_s == 600
    assert records[1].epoch == records[0].epoch
    back, connack = pair.connect(1, device, clean=False, properties=LONG)
    assert connack.session_present, "it is not over yet"
    back.leave()


@pytest.mark.parametrize("version", [4, 5])
def test_a_session_is_present_on_the_other_gateway(pair, device, version):
    lasting = _persistent(version)
    commands = f"devices/{device[0]}/commands"
    link, connack = pair.connect(0, device, version, **lasting)
    assert not connack.session_present
    assert link.subscribe((commands, 1), (f"{commands}/#", 2)).codes == [1, 2]
    link.leave()
    other, connack = pair.connect(1, device, version, **lasting)
    assert connack.session_present, "the other gateway goes on with the session"
    assert other.unsubscribe(commands).kind == raw_mqtt.UNSUBACK
    if version == 5:
        assert other.unsubscribe(commands, f"{commands}/#", packet_id=2).codes == [0x11, 0], \
            "the first filter is gone, the second had come along"
    # While it is connected there, the first takes over.
    back, connack = pair.connect(0, device, version, **lasting)
    assert connack.session_present
    other.assert_closed()
    back.leave()
    # A clean start ends it for both.
    fresh, connack = pair.connect(1, device, version, clean=True)
    assert not connack.session_present
    fresh.leave()
    again, connack = pair.connect(0, device, version, **lasting)
    assert not connack.session_present
    again.leave()


def test_a_session_outlives_its_gateway(pair, lab, device):
    lasting = _persistent(5)
    link, _ = pair.connect(0, device, **lasting)
    assert link.subscribe((f"devices/{device[0]}/commands", 1)).codes == [1]
    lab.kill(pair.names[0], signal.SIGKILL)
    link.close()
    other, connack = pair.connect(1, device, **lasting)
    assert connack.session_present
    assert other.unsubscribe(f"devices/{device[0]}/commands").codes == [0]
    other.leave()


def test_a_session_that_has_expired_is_present_nowhere(pair, device):
    short = raw_mqtt.encode_properties({0x11: 1})
    link, _ = pair.connect(0, device, clean=False, properties=short)
    link.leave()
    time.sleep(1.5)  # the time that the session is kept, which is what is tested
    for which in (1, 0):
        link, connack = pair.connect(which, device, clean=True)
        assert not connack.session_present
        link.leave()


def _stored(lab, device, metric):
    return [getattr(one.value, one.value.WhichOneof("kind")) for one in _rows(lab, device, metric)]


@pytest.mark.parametrize("version", [4, 5])
def test_an_exactly_once_message_interrupted_by_the_gateways_death_is_one_row(pair, lab, device, version):
    """Untimed, so that only the exchange tells repetitions apart; PUBREC came (id 1), did not come (id 2)."""
    lasting = _persistent(version)
    link, _ = pair.connect(0, device, version, **lasting)
    link.publish(_topic(device), b'{"first":1}', 1, qos=2)
    assert link.expect(raw_mqtt.PUBREC).packet_id == 1
    link.publish(_topic(device), b'{"second":2}', 2, qos=2)
    lab.kill(pair.names[0], signal.SIGKILL)
    link.close()
    other, connack = pair.connect(1, device, version, **lasting)
    assert connack.session_present
    # As a client that did not see PUBREC of either.
    for packet_id, payload in ((1, b'{"first":1}'), (2, b'{"second":2}')):
        other.publish(_topic(device), payload, packet_id, dup=True, qos=2)
        assert other.expect(raw_mqtt.PUBREC).packet_id == packet_id
        other.acknowledge(raw_mqtt.PUBREL, packet_id)
        assert other.expect(raw_mqtt.PUBCOMP).packet_id == packet_id
    # And as one whose PUBCOMP was lost.
    other.acknowledge(raw_mqtt.PUBREL, 1)
    released = other.expect(raw_mqtt.PUBCOMP)
    assert released.packet_id == 1 and released.reason == (0x92 if version == 5 else 0)
    other.ask(_topic(device), b'{"last":3}', 9)
    eventually(lambda: _stored(lab, device, "last"), 60, "the last message to be stored")
    counted = lab.sql(f"""
        SELECT m.name, count(*) FROM storage.point s JOIN storage.metric m ON m.id = s.metric
        JOIN registry.device d ON d.device_key = s.device_id
        WHERE d.device = '{device[0]}' GROUP BY m.name ORDER BY m.name""")
    assert counted == [["first", "1"], ["last", "1"], ["second", "1"]]
    other.leave()


def test_an_exactly_once_message_is_not_passed_on_again_by_the_other_gateway(pair, lab, device, presence):
    """Equal untimed messages under one packet id: nothing in the log could tell the repetition from a new one."""
    lasting = _persistent(5)
    link, _ = pair.connect(0, device, **lasting)
    assert link.give(_topic(device), b'{"beat":1}', 1, qos=2).reason == 0
    link.publish(_topic(device), b'{"beat":1}', 1, qos=2)
    assert link.expect(raw_mqtt.PUBREC).packet_id == 1
    link.close()  # PUBREC was lost, as far as the client knows
    presence.wait_going(device[0])
    other, connack = pair.connect(1, device, **lasting)
    assert connack.session_present
    other.publish(_topic(device), b'{"beat":1}', 1, dup=True, qos=2)
    assert other.expect(raw_mqtt.PUBREC).packet_id == 1
    other.acknowledge(raw_mqtt.PUBREL, 1)
    assert other.expect(raw_mqtt.PUBCOMP).reason == 0
    other.ask(_topic(device), b'{"last":3}', 9)
    eventually(lambda: _stored(lab, device, "last"), 60, "the last message to be stored")
    assert len(_stored(lab, device, "beat")) == 2, "two messages, the second of them sent twice"
    other.leave()


@pytest.mark.parametrize("version", [4, 5])
def test_a_gateway_that_is_stopped_answers_first_and_then_says_goodbye(pair, lab, device, presence, version):
    link, _ = pair.connect(1, device, version)
    for packet_id in range(1, 21):
        link.publish(_topic(device), b'{"n":%d}' % packet_id, packet_id)
    lab.member(pair.names[1]).signal(signal.SIGTERM)
    answered, goodbye = 0, None
    try:
        while True:
            packet = link.read()
            if packet.kind == raw_mqtt.PUBACK:
                answered += 1
            else:
                goodbye = packet
    except raw_mqtt.Closed:
        pass
    if version == 5:
        assert goodbye.kind == raw_mqtt.DISCONNECT and goodbye.reason == 0x9D
        assert goodbye.properties[0x1C] == b"elsewhere.example:1883"
    else:
        assert goodbye is None
    assert presence.cause(presence.wait_going(device[0])) == "drain"
    other, _ = pair.connect(0, device, version)
    for packet_id in range(answered + 1, 21):
        other.ask(_topic(device), b'{"n":%d}' % packet_id, packet_id, dup=True)
    eventually(lambda: len(set(_stored(lab, device, "n"))) == 20, 60, "all messages to be stored")
    assert sorted(_stored(lab, device, "n")) == list(range(1, 21)), "nothing lost, nothing twice"
    other.leave()


def test_a_gateway_that_hangs_undoes_nothing_when_it_wakes_up(pair, lab, device, presence):
    lasting = _persistent(5)
    commands = f"devices/{device[0]}/commands"
    link, _ = pair.connect(0, device, **lasting)
    assert link.subscribe((commands, 1)).codes == [1]
    lab.member(pair.names[0]).signal(signal.SIGSTOP)
    try:
        link.publish(_topic(device), b'{"hung":1}', 1)
        other, connack = pair.connect(1, device, **lasting)
        assert connack.session_present
        other.ask(_topic(device), b'{"hung":1}', 1, dup=True)
        assert other.subscribe((f"{commands}/#", 2)).codes == [2]
        link.close()  # so that the hung gateway finds the end of the connection before it hears of the other one
    finally:
        lab.member(pair.names[0]).signal(signal.SIGCONT)
    presence.wait_going(device[0])
    assert presence.wait_present(device[0]).gateway != presence.going(device[0])[0].gateway
    assert other.ping().kind == raw_mqtt.PINGRESP, "the newer connection stays"
    other.ask(_topic(device), b'{"last":3}', 9)
    other.close()
    presence.wait_going(device[0], 2)
    back, connack = pair.connect(0, device, **lasting)
    assert connack.session_present
    assert back.unsubscribe(commands, f"{commands}/#").codes == [0, 0], "both subscriptions are there"
    back.leave()
    eventually(lambda: _stored(lab, device, "last"), 60, "the last message to be stored")
    assert len(_stored(lab, device, "hung")) == 1
