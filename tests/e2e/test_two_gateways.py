"""Two gateways act as one: presence, takeover, sessions, QoS 2, drain. Devices talk to both ports directly."""
import signal
import time

import pytest

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
        second = lab.add_service("protocol-gateway", "protocol-gateway-2")
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
