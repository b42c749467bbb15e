"""The rules that tell copies apart, as a table: each rule over each protocol, with gateway and writer killed between a message
and its repetition. Beside each rule stand messages that look equal and are none of its copies.

All devices use the same ids, packet ids, tokens and payloads: what another device has sent is nobody's copy.
"""
import contextlib
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

import ledger
from bridge_run import BridgeRun
from copy_senders import (METRIC, BridgeSender, CoapSender, CoapsSender, HttpSender, MqttSender, Send, Site, by_a_gateway_that_hung,
                          by_another_gateway, produced_again, stamped_with_a_device_time, timed_as_stamped)
from millrace_dev.say import DevError
from millrace_lab import TENANT, eventually, now_us
from telemetry_log import TelemetryLog

STORED = 3
TIME = (int(time.time()) - 3600) * 1_000_000  # of a day that is not compacted while it is counted
NOW = TIME + 3_540_000_000
MINUTE, HOUR = 60_000_000, 3_600_000_000

# What comes between a message and its repetition. The message always goes to the first gateway.
NOTHING, ELSEWHERE, GATEWAY, WRITER, BOTH, BOTH_ELSEWHERE = LEGS = (
    "nothing", "the gateway killed, repeated to the other", "the gateway killed and back", "the writer killed and back",
    "both killed and back", "both killed, repeated to the other")
SECOND_GATEWAY = {ELSEWHERE, BOTH_ELSEWHERE}
SAME_GATEWAY_PROCESS = {NOTHING, WRITER}
COAP_REMEMBERED_MS = {"CoAP CON": 247_000, "CoAP NON": 145_000}

PROTOCOLS = {
    "MQTT 3.1.1 QoS 0": partial(MqttSender, version=4, qos=0),
    "MQTT 3.1.1 QoS 1": partial(MqttSender, version=4, qos=1),
    "MQTT 3.1.1 QoS 2": partial(MqttSender, version=4, qos=2),
    "MQTT 5 QoS 0": partial(MqttSender, version=5, qos=0),
    "MQTT 5 QoS 1": partial(MqttSender, version=5, qos=1),
    "MQTT 5 QoS 2": partial(MqttSender, version=5, qos=2),
    "MQTT 5 of a child": partial(MqttSender, version=5, qos=1, of_child=True),
    "HTTP": HttpSender,
    "HTTP of a child": partial(HttpSender, of_child=True),
    "CoAP CON": partial(CoapSender, kind=0),
    "CoAP NON": partial(CoapSender, kind=1),
    "CoAPS": CoapsSender,
    "bridge": BridgeSender,
}
EVERY = tuple(PROTOCOLS)
WITH_PACKET_ID = tuple(name for name in EVERY if name.startswith("MQTT") and not name.endswith("QoS 0"))
QOS_1, QOS_2 = (tuple(name for name in EVERY if name.endswith(end)) for end in ("QoS 1", "QoS 2"))
WITH_ID = tuple(name for name in EVERY if not name.startswith("MQTT 3.1.1"))
WITH_TOKEN = ("CoAP CON", "CoAP NON")
HTTP = ("HTTP",)


@dataclass(frozen=True)
class Case:
    name: str
    over: tuple
    first: tuple
    again: tuple
    log: tuple  # of each record in the log: None where it is a message, else (rule, number of the record that it repeats)
    rows: tuple  # values in the order of their times
    held: bool = False  # the gateway process that took the first one does not pass the repetition on
    stay: bool = False  # the repetition comes over the same connection
    keep: bool = False  # MQTT: in the same session
    latest: int = 0


def case(name, over, first, again, log, rows, **more):
    return Case(name, over, tuple(first), tuple(again), tuple(log), tuple(rows), **more)


ONE, NEXT = Send(), Send(number=8, token=b"next")
LOST, DUP = Send(lost=True), Send(dup=True)
NAMED = Send(id="once")
T1, T2 = Send(time_us=TIME), Send(value=2, time_us=TIME, number=8, token=b"next")

TABLE = [
    # Rule 0: one record of a gateway is one record.
    case("produced again", EVERY, [ONE], [produced_again], [None, (0, 0)], [1]),
    case("equal, of another gateway process", HTTP, [ONE], [by_another_gateway], [None, None], [1, 1]),

    # Rule 1: explicit ids. Neither packet id nor token count then.
    case("the same id", WITH_ID, [NAMED], [Send(id="once", number=8, token=b"next", fresh=True)], [None, (1, 0)], [1]),
    case("the same id twice again", HTTP, [NAMED], [NAMED, NAMED], [None, (1, 0), (1, 0)], [1]),
    case("the same id with another payload", WITH_ID, [NAMED], [Send(value=2, id="once", number=8, token=b"next"),
                                                                Send(id="once", number=9, token=b"last")], [None, None, (1, 0)], [1, 2]),
    case("another id", ("MQTT 5 QoS 1", *HTTP, "CoAP CON"), [NAMED], [Send(id="else", number=8, token=b"next")], [None, None], [1, 1]),
    case("an id behind none", HTTP, [ONE], [Send(id="once", number=8, token=b"next")], [None, None], [1, 1]),
    case("the same id of several readings without time", HTTP, [Send(id="once", more=(1,))], [Send(id="once", more=(1,))],
         [None, (1, 0)], [1, 1]),

    # Rule 2: MQTT's packet id and DUP on a later connection.
    case("DUP", WITH_PACKET_ID, [LOST], [DUP, Send(dup=True, fresh=True)], [None, (2, 0), (2, 0)], [1]),
    case("DUP in its session", QOS_1, [LOST], [DUP], [None, (2, 0)], [1], keep=True),
    case("QoS 2 in its session", QOS_2, [LOST], [DUP], [None, (2, 0)], [1], keep=True, held=True),
    case("written late by a gateway that hung", WITH_PACKET_ID, [DUP], [by_a_gateway_that_hung], [None, (2, 0)], [1]),
    case("no DUP", WITH_PACKET_ID, [ONE], [ONE], [None, None], [1, 1], keep=True),
    case("DUP with another payload", WITH_PACKET_ID, [LOST], [Send(value=2, dup=True)], [None, None], [1, 2]),
    case("DUP with another packet id", WITH_PACKET_ID, [LOST], [Send(number=8, dup=True)], [None, None], [1, 1]),
    case("DUP behind another message with that packet id", WITH_PACKET_ID, [ONE, Send(value=2)], [DUP], [None] * 3, [1, 2, 1]),
    case("DUP on the same connection after its answer", WITH_PACKET_ID, [ONE], [DUP], [None, None], [1, 1], stay=True),
    case("DUP of a client that repeats without", WITH_PACKET_ID, [ONE, Send(fresh=True)], [DUP], [None] * 3, [1] * 3),
    case("no DUP, but behind what DUP had", WITH_PACKET_ID, [LOST, Send(dup=True, fresh=True)], [ONE], [None, (2, 0), None], [1, 1]),

    # Rule 3: CoAP's message id and token.
    case("a retransmission", WITH_TOKEN, [ONE], [ONE], [None, (3, 0)], [1], held=True),
    case("a retransmission from another port", WITH_TOKEN, [ONE], [Send(fresh=True), Send(fresh=True)], [None, (3, 0), (3, 0)], [1]),
    case("another token", WITH_TOKEN, [ONE], [Send(token=b"next")], [None, None], [1, 1]),
    case("another message id", WITH_TOKEN, [ONE], [Send(number=8)], [None, None], [1, 1]),
    case("the same message id with another payload", WITH_TOKEN, [ONE], [Send(value=2)], [None, None], [1, 2]),

    # No rule: two honest messages.
    case("equal messages", EVERY, [ONE], [NEXT], [None, None], [1, 1]),

    # Points: a time that the device gave is a key, for ever; the later one counts.
    case("the same time and value", EVERY, [T1], [Send(time_us=TIME, number=8, token=b"next")], [None, None], [1]),
    case("the same time, another value", EVERY, [T1], [T2], [None, None], [2]),
    case("the same time twice in a message", HTTP, [Send(time_us=TIME, more=(2,))], [Send(time_us=TIME, more=(2,))], [None, None], [2]),
    case("another time", HTTP, [T1], [Send(time_us=TIME + 1, number=8, token=b"next")], [None, None], [1, 1]),
    # Point and message together: the correction stays.
    case("a late copy of what was corrected, by its id", WITH_ID, [Send(time_us=TIME, id="once"), T2],
         [Send(time_us=TIME, id="once", number=9, token=b"last")], [None, None, (1, 0)], [2]),
    case("a late copy of what was corrected, by DUP", WITH_PACKET_ID, [Send(time_us=TIME, lost=True), T2],
         [Send(time_us=TIME, dup=True)], [None, None, (2, 0)], [2]),
    case("a late copy of what was corrected, by its token", WITH_TOKEN, [T1, T2], [Send(time_us=TIME, fresh=True)],
         [None, None, (3, 0)], [2]),
    # Points without time replace none and are replaced by none.
    case("stamped with a time that is taken", HTTP, [T1], [stamped_with_a_device_time], [None, None], [1, 1]),
    case("a device's time where one was stamped", HTTP, [ONE], [timed_as_stamped], [None, None], [2, 1]),
    case("the latest is not the last to come, nor the future", HTTP, [Send(time_us=NOW)],
         [Send(value=2, time_us=NOW - MINUTE), Send(value=3, time_us=NOW + HOUR)], [None] * 3, [2, 1, 3], latest=1),
]


class Scenario:
    """One line of the table, over one protocol, with one thing in between: a device of its own."""

    def __init__(self, line, protocol, leg, device):
        self.case, self.protocol, self.leg, self.device = line, protocol, leg, device
        self.sender = None

    def __str__(self):
        return f"{self.case.name}; {self.protocol}; {self.leg} ({self.device})"

    @property
    def held(self):
        return self.case.held and self.leg in SAME_GATEWAY_PROCESS

    @property
    def expected(self):
        return list(self.case.log[:len(self.case.first)] if self.held else self.case.log)

    def begin(self, site, token):
        more = {"keep": True} if self.case.keep else {}
        self.sender = PROTOCOLS[self.protocol](site, self.device, token, **more)
        self.sender.open(0)
        for one in self.case.first:
            self.sender.send(one)

    def finish(self, log):
        """Returns what is to be put into the log."""
        if not self.case.stay:
            self.sender.open(1 if self.leg in SECOND_GATEWAY else 0)
        forged = []
        for one in self.case.again:
            if isinstance(one, Send):
                self.sender.send(one)
                continue
            last = log.of(self.device)[-1]
            batch = type(last.batch).FromString(last.value)
            forged.append((last, last.value if one is produced_again else one(batch).SerializeToString()))
        return forged

    def too_late(self, records):
        """By design CoAP's message ids are remembered for minutes, which a busy machine may take for all this."""
        times = [record.time_ms for record in records]
        return any(verdict and verdict[0] == 3 and number < len(times) and
                   times[number] - times[verdict[1]] > COAP_REMEMBERED_MS[self.protocol] - 1000
                   for number, verdict in enumerate(self.case.log))

    def faults(self, log, values):
        """`log`: what the database says of its records; `values`: what it has stored."""
        if (log, values) != (self.expected, list(self.case.rows)):
            yield f"{self}: expected {self.expected} and {list(self.case.rows)}, found {log} and {values}"
        if self.held and len(set(getattr(self.sender, "answers", [0]))) != 1:
            yield f"{self}: a retransmission got another answer"


def make_scenarios(prefix):
    made = []
    for line in TABLE:
        for protocol in line.over:
            for leg in LEGS if not line.stay else (NOTHING, WRITER):
                child = "child-" if protocol.endswith("child") else ""
                made.append(Scenario(line, protocol, leg, f"{prefix}-{child}{len(made)}"))
    return made


class Run:
    """The timeline: all scenarios share one kill of the gateways and one of the writer."""

    def __init__(self, lab, folder, prefix):
        self.lab, self.prefix, self.scenarios = lab, prefix, make_scenarios(prefix)
        self.second = lab.add_service("protocol-gateway", f"gateway-{prefix}")
        self.bridge = BridgeRun(lab, folder)
        self.second.wait_ready()
        self.log = TelemetryLog(lab, prefix)
        self.pool = ThreadPoolExecutor(8)
        parent = f"{prefix}-parent"
        self.tokens = lab.create_devices([one.device for one in self.scenarios] + [parent])
        self.site = Site(lab, [lab.stack.settings.ports, self.second.ports], self.bridge.mosquitto.port, (parent, self.tokens[parent]))
        lab.registry("SetDeviceChildren", device=parent, children=[f"{prefix}-child-*"])
        lab.create_device(f"{prefix}-last")  # the first gateway knows it, and so all before it
        revision = lab.metrics("protocol-gateway", "millrace_registry_view_revision")
        for name in (self.second.name, self.bridge.service):
            eventually(lambda name=name: lab.metrics(name, "millrace_registry_view_revision") >= revision, 60,
                       f"{name} to know the devices")

    def close(self):
        self.pool.shutdown()
        for one in self.scenarios:
            if one.sender:
                one.sender.close()
        self.log.end()
        self.site.publisher.finish()
        self.bridge.close()
        self.lab.drop_service(self.second.name)

    def each(self, do, scenarios):
        def named(one):
            try:
                return do(one)
            except Exception as error:
                raise AssertionError(f"{one}: {error!r}") from error
        return list(self.pool.map(named, scenarios))

    def begin(self, *legs):
        """Until all of them are in the log."""
        chosen = [one for one in self.scenarios if one.leg in legs]
        self.each(lambda one: one.begin(self.site, self.tokens[one.device]), chosen)
        for one in chosen:
            self.log.wait(one.device, len(one.case.first))

    def finish(self, *legs):
        chosen = [one for one in self.scenarios if one.leg in legs]
        forged = self.each(lambda one: one.finish(self.log), chosen)
        self.log.put([pair for some in forged for pair in some])

    def kill_gateways(self):
        eventually(lambda: self.bridge.metric("millrace_gateway_bridge_handed_on_messages") == 0, 60, "the journal to be done")
        self.lab.kill("protocol-gateway")
        self.lab.kill(self.bridge.service)

    def start_gateways(self):
        self.lab.begin("protocol-gateway")
        self.lab.begin(self.bridge.service)
        self.lab.wait_ready("protocol-gateway")
        self.bridge.wait_connected()

    def kill_writer(self):
        """When it has saved what it knows: at its next start nothing else is read (FORGETFUL)."""
        ledger.state(self.lab)
        unsaved = """SELECT 1 FROM storage.ingest_offset o LEFT JOIN storage.copy_state s USING (topic, part)
            WHERE o.topic = 'millrace.telemetry' AND o.next_offset > coalesce(s.log_offset, 0)"""
        eventually(lambda: not self.lab.sql(unsaved), 60, "what tells copies apart to be saved")
        self.lab.kill("storage-writer")
        self.lab.restart("storage-writer")

    def wait_for_all(self):
        """What does not come is found with all other faults."""
        with contextlib.suppress(DevError):
            eventually(lambda: all(len(self.log.of(one.device)) >= len(one.expected) for one in self.scenarios), 60, "all records")
        ledger.state(self.lab)
        self.log.wait_for_the_writer()


FORGETFUL = {"MILLRACE_STORAGE_WRITER_COPY_WINDOW_S": "0", "MILLRACE_STORAGE_WRITER_COPY_RECORDS": "0",
             "MILLRACE_STORAGE_WRITER_COPY_STATE_INTERVAL_MS": "50"}


@pytest.fixture
def run(lab, tmp_path):
    """With a writer that reads nothing of the log again but what its saved state asks for."""
    writer = lab.member("storage-writer")
    writer.extra.update(FORGETFUL)
    lab.kill("storage-writer")
    lab.restart("storage-writer")
    made = Run(lab, tmp_path, f"cp{secrets.token_hex(3)}")
    try:
        yield made
    finally:
        made.close()
        for key in FORGETFUL:
            writer.extra.pop(key)
        lab.kill("storage-writer")
        lab.restart("storage-writer")


def stored_values(lab, prefix):
    """{device: values in the order of their times}, straight from the database, where no key stands twice."""
    rows = lab.sql(f"""SELECT d.device, string_agg(s.value::text, ',' ORDER BY s.time), count(DISTINCT s.time)
        FROM storage.point s JOIN storage.metric m ON m.id = s.metric AND m.tenant = '{TENANT}' AND m.name = '{METRIC}'
        JOIN registry.device d ON d.device_key = s.device_id WHERE d.device LIKE '{prefix}-%' GROUP BY 1""")
    found = {device: [int(value) for value in values.split(",")] for device, values, _ in rows}
    assert {device: int(times) for device, _, times in rows} == {device: len(values) for device, values in found.items()}
    return found


def verdicts(lab, log, scenario, dropped):
    """Of each record of the device what became of it; a copy's receipt answers as that of its original."""
    records = log.of(scenario.device)
    numbers = {record.offset: number for number, record in enumerate(records)}
    for record in records:
        copy = dropped.get((record.partition, record.offset))
        if copy is None:
            yield None
            continue
        rule, original, generation = copy
        suffix = f".{generation}" if generation else ""
        answer = lab.query("GetReceipt", receipt=f"{record.partition}:{record.offset}{suffix}")
        assert (answer.state, answer.original) == (STORED, f"{record.partition}:{original}{suffix}"), (str(scenario), answer)
        yield rule, numbers.get(original)


def check_all(run, values):
    """The verdicts on each scenario's records, which are those of the table."""
    lab, faults = run.lab, []
    rows = lab.sql("SELECT part, log_offset, rule, original_offset, generation FROM storage.dropped_copy ORDER BY generation")
    dropped = {(int(part), int(offset)): tuple(map(int, rest)) for part, offset, *rest in rows}
    found = run.each(lambda one: list(verdicts(lab, run.log, one, dropped)), run.scenarios)
    for one, log in zip(run.scenarios, found):
        if one.too_late(run.log.of(one.device)):
            print("not looked at, too late:", one)
            continue
        faults.extend(one.faults(log, values.get(one.device, [])))
        if one.case.latest:
            (entry,) = lab.query("Latest", device=one.device).entries
            if entry.value.int_value != one.case.latest:
                faults.append(f"{one}: the latest is {entry}")
    assert not faults, f"{len(faults)} of {len(run.scenarios)}:\n" + "\n".join(faults)
    return found


def ledger_of(lab, scenario):
    """(in the log, copies) of its device as GetLedger has them."""
    of_device = lab.query("GetLedger", device=scenario.device, from_us=TIME, to_us=now_us() + HOUR).device
    return of_device.in_log, of_device.copies


def test_every_rule_over_every_protocol_and_kill(lab, run):
    before = ledger.state(lab)
    streamed = lab.metrics("stream-processing", "millrace_stream_copies_total")
    run.begin(NOTHING, ELSEWHERE, GATEWAY, BOTH, BOTH_ELSEWHERE)
    run.finish(NOTHING)
    run.kill_gateways()
    run.finish(ELSEWHERE)
    run.start_gateways()
    run.finish(GATEWAY)
    run.begin(WRITER)
    run.kill_writer()
    run.finish(WRITER, BOTH, BOTH_ELSEWHERE)
    run.wait_for_all()

    found = check_all(run, stored_values(lab, run.prefix))
    rules = Counter(verdict[0] for log in found for verdict in log if verdict)
    assert set(rules) == {0, 1, 2, 3}
    copies = rules.total()
    assert ledger.check(lab, before).copies == copies
    eventually(lambda: lab.metrics("stream-processing", "millrace_stream_copies_total") - streamed == copies, 60,
               "windows and alerts to leave out the same copies")
    counted = [(one, log) for one, log in zip(run.scenarios, found) if one.leg == BOTH]
    assert run.each(lambda pair: ledger_of(lab, pair[0]), counted) == [(len(log), len(log) - log.count(None)) for _, log in counted]
