"""the gateway with real Kafka: CPU a message, rates beside mosquitto's, latency beside librdkafka's, memory of idle connections"""
import contextlib
import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass

from bench_lab import (Background, bench_lab, figure, fleet, mqtt_connections, process_cpu, resident,
                       write_credentials)
from device_fleet import wait_until_known
from millrace_dev import bench, packages, say
from millrace_dev.say import DevError
from millrace_lab import eventually
from mosquitto_broker import Mosquitto

SECONDS = int(os.environ.get("MILLRACE_BENCH_SECONDS", "60"))
STEP = max(2, SECONDS // 3)  # of one load
FULL = SECONDS >= 60  # smaller runs leave out what needs three gateways
PAYLOAD_BYTES = 200
RECORD_BYTES = 420  # what such a message is in the log
PIPELINED, ONE_EACH = 200, 2000  # connections
STEADY = 5000  # messages/s
IDLE_FEW, IDLE_MANY, FLOW = 5000, 15_000, 10_000
SOURCES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
LIMIT = {"MILLRACE_PROTOCOL_GATEWAY_" + name: str(IDLE_MANY + 1000)
         for name in ("CONNECTIONS_LIMIT", "UNIDENTIFIED_PER_ADDRESS_LIMIT")}


@dataclass
class Load:
    """One run of the fleet against one server: messages/s, CPU in us a message, and the fleet's own report."""
    rate: float
    server_us: float
    kafka_us: float
    report: dict

    @property
    def fleet_us(self):
        return self.report["cpu_us_per_message"]

    @property
    def fleet_share(self):
        """Of the one core that its thread can have."""
        return self.fleet_us * self.rate / 1e4


def run(layout):
    packages.install(packages.BENCH, layout.install_logs)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with bench_lab({"protocol-gateway": LIMIT}) as lab, Mosquitto(lab.folder) as mosquitto:
        credentials = _devices(lab)
        for name in ("storage-writer", "stream-processing", "query-api", "notifier"):
            lab.member(name).stop()
        both = Both(lab, mosquitto, credentials)
        both.gateway("warming up", STEP, PIPELINED)
        rows = _pipelined(both) + _one_in_flight(both) + _unanswered(both) + _latency(both)
        rows += _idle(lab, credentials, "one gateway", [lab.member("protocol-gateway")])
        if FULL:
            rows += _three_gateways(lab, credentials)
    return rows


class Both:
    """The gateway and mosquitto under the same loads of the same fleet."""

    def __init__(self, lab, mosquitto, credentials):
        self.lab = lab
        self.mosquitto_broker = mosquitto
        self.credentials = credentials

    def gateway(self, what, seconds, devices, *more, rate=0):
        return self._load("gateway", what, self.lab.member("protocol-gateway").process.pid(), seconds, devices, rate, *more)

    def mosquitto(self, what, seconds, devices, *more, rate=0):
        return self._load("mosquitto", what, self.mosquitto_broker.pid(), seconds, devices, rate, "--mqtt",
                          self.mosquitto_broker.address, *more)

    def _load(self, name, what, pid, seconds, devices, rate, *more):
        kafka = self.lab.member("kafka").process.pid()
        with say.Step(f"{name}: {what}, {seconds} s"):
            before = process_cpu(pid), process_cpu(kafka)
            report = fleet(self.lab, rate, seconds, "--payload-bytes", PAYLOAD_BYTES, "--credentials",
                           self.credentials[devices], *more)
            server, kafka = process_cpu(pid) - before[0], process_cpu(kafka) - before[1]
        messages = report["acknowledged"] or report["sent"]
        if not messages or report["lost_connections"] or report["refused"]:
            raise DevError(f"the fleet's load was not carried: {report}")
        done = Load(report["rate"], server * 1e6 / messages, kafka * 1e6 / messages, report)
        say.line(f"    {done.rate:,.0f} messages/s, {done.server_us:.1f} us of {name} a message, {done.fleet_us:.1f} us of "
                 "the fleet")
        return done


# --- what is measured ---

def _pipelined(both):
    ours = both.gateway("200 connections, pipelined", STEP, PIPELINED)
    theirs = both.mosquitto("200 connections, pipelined", STEP, PIPELINED)
    return _cpu_rows("pipelined, 200 connections", ours, theirs, 6) + _rate_rows("QoS 1", ours, theirs, 1.3)


def _one_in_flight(both):
    alone = ("--window", 1)
    ours = both.gateway("2,000 connections, one in flight each", STEP, ONE_EACH, *alone)
    theirs = both.mosquitto("2,000 connections, one in flight each", STEP, ONE_EACH, *alone)
    name = "one in flight, 2,000 connections"
    return _cpu_rows(name, ours, theirs, 18) + [figure(f"{name}: rate", ours.rate, "messages/s", floor=theirs.rate)]


def _unanswered(both):
    """QoS 0. What the gateway reads it also gives to Kafka; what it dropped would be missing there."""
    lab = both.lab
    before = lab.metrics("protocol-gateway", "iot_message_processing_seconds_count")
    ours = both.gateway("QoS 0, 200 connections", STEP, PIPELINED, "--qos", 0)
    sent = ours.report["sent"]

    def stored():
        return lab.metrics("protocol-gateway", "iot_message_processing_seconds_count") - before
    with contextlib.suppress(DevError):
        eventually(lambda: stored() >= sent, 10, "Kafka to have what was sent")
    dropped = sent - int(stored())
    theirs = both.mosquitto("QoS 0, 200 connections", STEP, PIPELINED, "--qos", 0)
    return _cpu_rows("QoS 0, 200 connections", ours, theirs) + _rate_rows("QoS 0", ours, theirs, 1.5) + [bench.row("QoS 0: sent, but not in Kafka", dropped, "messages", 0)]


def _latency(both):
    """The floor is measured before and after, and the lower one counts."""
    floors = [_kafka_floor(both.lab, "before.")]
    ours = both.gateway(f"{STEADY} messages/s", max(10, STEP), PIPELINED, rate=STEADY)
    floors.append(_kafka_floor(both.lab, "after."))
    rows = []
    for share, most in (("p50", 1.3), ("p99", 1.5)):
        took, bare = ours.report["ack_ms"][share], min(one[f"report_{share}_ms"] for one in floors)
        rows += [figure(f"publish to PUBACK at {STEADY}/s, {share}", took, "ms", floor=bare),
                 figure("  against librdkafka's produce to delivery report", took / bare, "x", most)]
    return rows


def _kafka_floor(lab, prefix):
    with say.Step(f"bare librdkafka at {STEADY} records/s"):
        lab.millrace("admin", "topics", "--topic-prefix", prefix)
        done = subprocess.run([str(lab.binaries / "kafka_floor"), lab.stack.kafka.bootstrap, f"{prefix}telemetry", "100000",
                               str(RECORD_BYTES), str(STEADY)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevError(f"kafka_floor ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _cpu_rows(name, ours, theirs, target=None):
    return [figure(f"{name}: CPU of the gateway", ours.server_us, "us/message", target, floor=theirs.server_us),
            figure(f"{name}: CPU of Kafka", ours.kafka_us, "us/message"),
            figure(f"{name}: CPU of millrace-fleet", ours.fleet_us, "us/message", floor=theirs.fleet_us),
            figure(f"{name}: millrace-fleet's share of its core", ours.fleet_share, "%", floor=theirs.fleet_share)]


def _rate_rows(name, ours, theirs, least):
    return [figure(f"{name}: rate, into Kafka", ours.rate, "messages/s", floor=theirs.rate),
            figure(f"{name}: against mosquitto, which keeps nothing", ours.rate / theirs.rate, "x", least, at_most=False)]


# --- idle connections ---

def _idle(lab, credentials, name, gateways):
    """The slope of resident memory between few and many idle connections of each gateway, while messages flow at the first."""
    def background(rate, file, gateway, *more):
        return Background(lab, rate, "--payload-bytes", PAYLOAD_BYTES, "--credentials", file, "--mqtt",
                          f"127.0.0.1:{gateway.ports['mqtt']}", *more)
    with contextlib.ExitStack() as running:
        flow = running.enter_context(background(FLOW, credentials[PIPELINED], gateways[0]))
        few, many, resting = [], [], []
        for found, idle, total in ((few, IDLE_FEW, IDLE_FEW), (many, IDLE_MANY - IDLE_FEW, IDLE_MANY)):
            with say.Step(f"{name}: {total} idle connections each"):
                for number, (gateway, source) in enumerate(zip(gateways, SOURCES)):
                    fleet_of_it = background(1e-6, credentials[number, idle], gateway, "--source", source)
                    resting.append(running.enter_context(fleet_of_it))
                for number, gateway in enumerate(gateways):
                    expected = total + (PIPELINED if number == 0 else 0)
                    eventually(lambda gateway=gateway, expected=expected: mqtt_connections(lab, gateway) >= expected, 240,
                               f"{expected} connections of {gateway.name}", interval=0.5)
                time.sleep(max(3, STEP / 4))  # what connecting took is free again, and messages flow
                found += [resident(gateway) for gateway in gateways]
        slopes = [(most - least) / (IDLE_MANY - IDLE_FEW) for least, most in zip(few, many)]
        report = flow.finish()
        lost = report["lost_connections"] + sum(one.finish()["lost_connections"] for one in resting)
    rows = [figure(f"{name}: memory of an idle TCP connection", max(slopes), "B", 8192)]
    rows += [bench.row(f"{name}: connections lost", lost, "", 0),
             figure(f"{name}: messages meanwhile", report["rate"], "messages/s", FLOW * 0.98, at_most=False),
             figure(f"{name}: publish to PUBACK meanwhile, p99", report["ack_ms"]["p99"], "ms")]
    return rows


def _three_gateways(lab, credentials):
    gateways = [lab.member("protocol-gateway")]
    for name in ("gateway-2", "gateway-3"):
        service = lab.add_service("protocol-gateway", name, extra=LIMIT)
        service.wait_ready()
        gateways.append(service)
    wait_until_known(lab, [one.name for one in gateways], 3 * IDLE_MANY, 120)
    return _idle(lab, credentials, f"three gateways, {3 * IDLE_MANY} in all", gateways)


def _devices(lab):
    """Devices that the gateway knows; files of credentials by what they are for: idle ones by gateway and number."""
    wanted = {PIPELINED: ("flow", PIPELINED), ONE_EACH: ("each", ONE_EACH)}
    for gateway in range(3 if FULL else 1):
        for count in (IDLE_FEW, IDLE_MANY - IDLE_FEW):
            wanted[gateway, count] = (f"idle-{gateway}-{count}", count)
    files = {}
    with say.Step("devices"):
        for key, (prefix, count) in wanted.items():
            files[key] = write_credentials(lab, prefix, count)
        wait_until_known(lab, ["protocol-gateway"], sum(count for _, count in wanted.values()), 120)
    return files
