"""Faults that only stream-processing has, two instances of each service, and the verdict on all runs before."""
import signal
import time

import pytest

import raw_kafka
from fleet_run import written
from http_device import HttpDevice
from load import Since, stream_verdict_of
from millrace_lab import eventually


def _records(lab, name="stream-processing"):
    return lab.metrics(name, "millrace_stream_records_total")


def test_killed_inside_transactions(load):
    """Ten times while results are in an open transaction: none of them may be seen, and all of them must come."""
    lab = load.lab
    wanted = 10 if load.full else 5
    load.start(20 + 10 * wanted)
    slow = {"MILLRACE_STREAM_PROCESSING_COMMIT_INTERVAL_MS": "2000"}
    member = lab.member("stream-processing")
    member.extra.update(slow)
    longest = 0.0
    try:
        for _ in range(wanted):
            lab.kill("stream-processing")
            since = Since()
            lab.restart("stream-processing")
            eventually(lambda: lab.metrics("stream-processing", "millrace_stream_uncommitted_results") > 0, 120,
                       "results in an open transaction", interval=0.01)
            longest = max(longest, float(since))
    finally:
        for key in slow:
            member.extra.pop(key)
    lab.kill("stream-processing")
    lab.restart("stream-processing")
    eventually(lambda: _records(lab) > 0, 120, "stream-processing to get on")
    load.note(victim="stream-processing", fault=f"SIGKILL {wanted} times in a transaction", back_s=round(longest, 1))
    load.finish()


def test_stream_processing_hangs(load):
    """It is SIGSTOPped beyond its session and its transaction, and wakes up fenced."""
    lab = load.lab
    lab.allowed_errors |= {"partition", "begins again", "librdkafka"}
    load.start(55)
    lab.kill("stream-processing", signal.SIGSTOP)
    time.sleep(20)
    lab.kill("stream-processing", signal.SIGCONT)
    since, before = Since(), _records(lab)
    eventually(lambda: _records(lab) > before + 1000, 120, "stream-processing to get on")
    load.note(victim="stream-processing", fault="SIGSTOP 20 s", back_s=round(float(since), 1))
    load.finish()


def _worked(lab, name, other):
    """A condition: the second instance does the service's work."""
    if name == "stream-processing":
        before = _records(lab, other)
        return lambda: _records(lab, other) > before + 1000
    if name == "storage-writer":
        before = written(lab)
        return lambda: written(lab) > before + 1000
    if name == "protocol-gateway":
        before = lab.metrics(other, "iot_messages_ingested_total")
        return lambda: lab.metrics(other, "iot_messages_ingested_total") > before + 100
    return lab.member(other).ready


@pytest.mark.parametrize("kind", ["protocol-gateway", "storage-writer", "stream-processing", "device-registry", "query-api",
                                  "notifier"])
def test_one_of_two_instances_is_killed(load, kind):
    """The other one takes over; nobody starts the first again until the load is over."""
    lab = load.lab
    lab.allowed_errors |= {"partition", "fenced", "offset", "group"}
    name = f"{kind}-two-{load.seed:x}"
    second = lab.add_service(kind, name)
    try:
        second.wait_ready()
        if kind == "protocol-gateway":
            # The devices with known alerts go to the one that is killed last; the others find it again when it is back.
            load.environment_of_timed = {**lab.environment, "MILLRACE_MQTT_ADDR": f"127.0.0.1:{second.ports['mqtt']}"}
        load.start(40)
        lab.kill(kind)
        since = Since()
        eventually(_worked(lab, kind, name), 120, f"the second {kind} to work")
        load.note(victim=kind, fault="SIGKILL, one of two", back_s=round(float(since), 1))
        lab.restart(kind)
        load.run.wait_for_more(1000)
        load.finish()
    finally:
        lab.drop_service(name)
    eventually(lab.member(kind).ready, 120, f"the first {kind} to be ready")


def test_a_poison_record_in_the_middle_of_load(load):
    """Bytes that are no batch, straight into the log: they become dead letters, and the ones behind them are taken."""
    lab = load.lab
    before = int(lab.sql("SELECT count(*) FROM storage.dead_letter")[0][0])
    load.start(25)
    raw_kafka.put(lab.stack.kafka.bootstrap, "millrace.telemetry", [b"poison %d" % number for number in range(24)])
    since = Since()
    eventually(lambda: int(lab.sql("SELECT count(*) FROM storage.dead_letter")[0][0]) >= before + 24, 120,
               "the poison to be dead-lettered")
    written_before, processed = written(lab), _records(lab)
    eventually(lambda: written(lab) > written_before + 1000 and _records(lab) > processed + 1000, 120,
               "writer and streams to get on")
    load.note(victim="log", fault="24 poison records", back_s=round(float(since), 1))
    load.finish()


def test_windows_and_alerts_are_those_of_the_undisturbed_run(load):
    """On everything that all tests of this lab have sent, through all their faults."""
    load.start(15)
    load.finish()
    figures = stream_verdict_of(load.lab)
    assert figures["windows"] > 500 and figures["alerts"] > 100, figures
    load.publish_figures("streams", figures)


def test_a_critical_alert_arrives_through_everything(load, webhook):
    """From the device to the webhook, while a load is on."""
    lab = load.lab
    load.start(15)
    name = f"critical-{load.seed:x}"
    sender = HttpDevice(lab, name, lab.create_device(name))
    receipt = sender.send({"pressure": 999.5})
    event = eventually(lambda: webhook.event_of(name), 60, "the alert at the webhook")
    assert event["raiseReceipt"] == receipt and event["rule"] == "chaos-critical" and event["raiseValue"] == {"doubleValue": 999.5}
    load.finish()
