"""What the topic `telemetry` says the table must hold: one row per point, computed here from the records' bytes, and compared
with the database by EXCEPT in both directions.

For logs without copies (the ledger says so): the rules about copies are not repeated here.
"""
from collections import OrderedDict, namedtuple

import protos
import raw_kafka
from millrace_lab import DATABASE

_EXACT = 2 ** 53
_REMEMBERED = 256  # times of a series that a later point may meet again
_NULL = "\\N"

Row = namedtuple("Row", "cells timed")

_TABLE = """
DROP TABLE IF EXISTS public.of_the_log;
CREATE UNLOGGED TABLE public.of_the_log (time_us int8, device_id int4, metric text, value float8, kind int2, other text, untimed boolean)"""

_LOG = "SELECT timestamptz 'epoch' + time_us * interval '1 microsecond', device_id, metric, value, kind, other, untimed FROM public.of_the_log"
_STORED = """SELECT p.time, p.device_id, m.name, p.value, p.kind, p.other, p.untimed
    FROM storage.point p JOIN storage.metric m ON m.id = p.metric"""


def compare(lab, records):
    """(rows of the log, rows only there, rows only in the database); of the latter two at most ten. `records`: how many the log
    has."""
    lab.sql(_TABLE)
    count = lab.stack.postgres.copy_in("public.of_the_log", _rows(lab, records), DATABASE)
    missing = lab.sql(f"({_LOG}) EXCEPT ALL ({_STORED}) LIMIT 10")
    extra = lab.sql(f"({_STORED}) EXCEPT ALL ({_LOG}) LIMIT 10")
    lab.sql("DROP TABLE public.of_the_log")
    return count, missing, extra


def _rows(lab, records):
    """Lines for COPY, each series in the order of the log."""
    batch_of = protos.telemetry().TelemetryBatch.FromString
    series = {}
    tail = raw_kafka.Tail(lab.stack.kafka.bootstrap, "millrace.telemetry", begin=raw_kafka.BEGINNING)
    for _, value in tail:
        batch = batch_of(value)
        for index, point in enumerate(batch.points):
            key = (batch.device_key, point.metric)
            known = series.get(key)
            if known is None:
                known = series[key] = OrderedDict()
            timed = point.HasField("time_us") or batch.HasField("event_time_us")
            if timed:
                time = point.time_us if point.HasField("time_us") else batch.event_time_us
                met = known.get(time)
                if met and not met.timed:
                    known[_free(known, time)] = met
            else:
                time = batch.ingest_time_us + index
                if time in known:
                    time = _free(known, time)
            # Of one time that the device gave the later one counts.
            known[time] = Row(f"{batch.device_key}\t{_escaped(point.metric)}\t{_cells(point.value)}", timed)
            while len(known) > _REMEMBERED:
                yield _line(*known.popitem(last=False))
        records -= 1
        if records == 0:
            tail.end()
    for known in series.values():
        for time, row in known.items():
            yield _line(time, row)


def _free(known, time):
    """What the platform stamped goes on to the next free place."""
    while time in known:
        time += 1
    return time


def _line(time, row):
    return f"{time}\t{row.cells}\t{_NULL if row.timed else 't'}\n".encode()


def _escaped(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _cells(value):
    """`value`, `kind` and `other`."""
    which = value.WhichOneof("kind")
    if which == "double_value":
        return f"{value.double_value!r}\t{_NULL}\t{_NULL}"
    if which == "int_value":
        number = value.int_value
        return f"{float(number)!r}\t{_NULL}\t{_NULL}" if -_EXACT <= number <= _EXACT else f"{_NULL}\t1\t{number}"
    if which == "bool_value":
        return f"{_NULL}\t2\t{'true' if value.bool_value else 'false'}"
    if which == "string_value":
        return f"{_NULL}\t3\t{_escaped(value.string_value)}"
    return f"{_NULL}\t4\t{_escaped(value.json_value)}"
