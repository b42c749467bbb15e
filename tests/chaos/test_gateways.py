"""Two gateways behind a balancer, one of them killed again and again: nothing acknowledged is lost, nothing is doubled.

It goes on for 30 seconds, with MILLRACE_CHAOS_LENGTH=full for 120.
"""
import signal
import time

import grpc
import pytest

from balancer import Balancer
from conftest import DEVICES, FULL, RATE
from fleet_run import FleetRun, database_count
from millrace_lab import eventually

SECONDS = 120 if FULL else 30
EVERY = 5
NAMES = ["protocol-gateway", "protocol-gateway-2"]


@pytest.fixture
def balancer(lab):
    lab.wait_all_ready()
    eventually(lambda: _answers(lab), 60, "device-registry to answer")
    second = lab.add_service("protocol-gateway", NAMES[1])
    second.wait_ready()
    front = Balancer(lab.folder, [lab.mqtt_port, second.ports["mqtt"]])
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


@pytest.mark.parametrize("qos", [1, 2])
def test_one_of_two_gateways_is_killed_every_five_seconds(lab, balancer, qos):
    environment = {**lab.environment, "MILLRACE_MQTT_ADDR": f"127.0.0.1:{balancer.port}"}
    run = FleetRun(lab, f"g{qos}{time.time_ns() % 10**6}", seed=7, rate=RATE // 3, devices=DEVICES // 2, seconds=SECONDS + 10,
                   protocol="mqtt,mqtt5", environment=environment, qos=qos)
    try:
        run.wait_for_load()
        end, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            victim = NAMES[kills % 2]
            lab.kill(victim, signal.SIGKILL)
            lab.restart(victim)
            kills += 1
            time.sleep(EVERY)  # the test's own rhythm, not a wait for anything
        report = run.finish()
    finally:
        run.stop()
    assert report["acknowledged"] == report["sent"], report
    rows, different = eventually(lambda: _counted(lab, run, report), 60, "the database to hold every message")
    assert rows == different == report["acknowledged"], (rows, different, report)
    print({"qos": qos, "kills": kills, **{key: report.get(key) for key in ("sent", "acknowledged", "lost", "doubled", "resent")}})
