"""Two gateways behind a balancer, one of them killed again and again, or hung: nothing acknowledged is lost, nothing is
doubled.

The kills go on for 30 seconds, with MILLRACE_CHAOS_LENGTH=full for 120.
"""
import signal
import time

import grpc
import pytest

from balancer import Balancer
from fleet_run import FleetRun, database_count
from load import DEVICES, FULL, RATE
from millrace_lab import eventually

SECONDS = 120 if FULL else 30
EVERY = 5
HANG = 20
NAMES = ["protocol-gateway", "protocol-gateway-2"]

pytestmark = pytest.mark.usefixtures("exact_ledger")


@pytest.fixture
def balancer(lab):
    lab.wait_all_ready()
    eventually(lambda: _answers(lab), 60, "device-registry to answer")
    second = lab.add_service("protocol-gateway", NAMES[1])
    second.wait_ready()
    front = Balancer(lab.folder, [(one.ports["mqtt"], one.ports["gateway_ops"]) for one in (lab.member(NAMES[0]), second)])
    yield front
    front.stop()
    if not lab.member(NAMES[0]).alive():
        lab.restart(NAMES[0])
    lab.drop_service(NAMES[1])


def _answers(lab):
    try:
        return lab.registry("ListDevices", page_size=1)
    except grpc.RpcError:
        return None


def _counted(lab, run, report):
    rows, different = database_count(lab, run.prefix)
    return (rows, different) if different >= report["acknowledged"] else None


class Verified:
    """A fleet through the balancer, half of its messages untimed, with the verdict on it."""

    def __init__(self, lab, balancer, qos, seconds):
        self._lab = lab
        self._qos = qos
        self.run = FleetRun(lab, f"g{qos}{time.time_ns() % 10**6}", seed=7, rate=RATE // 3, devices=DEVICES // 2,
                            seconds=seconds, protocol="mqtt,mqtt5", qos=qos,
                            environment={**lab.environment, "MILLRACE_MQTT_ADDR": f"127.0.0.1:{balancer.port}"})

    def __enter__(self):
        self.run.wait_for_load()
        return self

    def __exit__(self, *_):
        self.run.stop()

    def finish(self, **figures):
        report = self.run.finish()
        assert report["acknowledged"] == report["sent"], report
        rows, different = eventually(lambda: _counted(self._lab, self.run, report), 60, "the database to hold every message")
        assert rows == different == report["acknowledged"], (rows, different, report)
        print({"qos": self._qos, **figures,
               **{key: report.get(key) for key in ("sent", "acknowledged", "lost", "doubled", "resent", "ack_ms")}})


@pytest.mark.parametrize("qos", [1, 2])
def test_one_of_two_gateways_is_killed_every_five_seconds(lab, balancer, qos):
    with Verified(lab, balancer, qos, SECONDS + 10) as load:
        end, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            victim = NAMES[kills % 2]
            lab.kill(victim, signal.SIGKILL)
            lab.restart(victim)
            kills += 1
            time.sleep(EVERY)  # the test's own rhythm, not a wait for anything
        load.finish(kills=kills)


@pytest.mark.parametrize("qos", [1, 2])
def test_one_of_two_gateways_hangs_and_wakes(lab, balancer, qos):
    """Its devices go to the other one and send again what had no answer; what it then still has in its hands is late."""
    with Verified(lab, balancer, qos, HANG + 20) as load:
        lab.kill(NAMES[0], signal.SIGSTOP)
        time.sleep(HANG)
        meanwhile = load.run.acknowledged()
        lab.kill(NAMES[0], signal.SIGCONT)
        load.run.wait_for_more(1000)
        assert meanwhile > 0, "nothing was acknowledged by the other one"
        lab.wait_ready(NAMES[0])
        load.finish(hung_s=HANG)
