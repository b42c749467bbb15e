"""A day as rows of one message with its four metrics, beside the table that the platform has: bytes, reads, a correction."""
import re
import statistics

from bench_lab import figure
from millrace_dev import say

METRICS = ("temperature", "voltage", "humidity", "energy")
DEVICES = range(100, 9_900, 100)  # whose day is read


def wide_rows(lab, day):
    with say.Step("a day as a wide table"):
        _make(lab, day)
    stretch = f"time >= '{day} 00:00+00' AND time < '{day} 00:00+00'::timestamptz + interval '1 day'"
    metrics = dict(zip(METRICS, (int(lab.sql(f"SELECT id FROM storage.metric WHERE name = '{name}'")) for name in METRICS)))
    one = f"metric = {metrics['voltage']} AND"
    narrow = "FROM storage.sample WHERE device_id = {device} AND"
    wide = "FROM wide WHERE device_id = {device} AND"
    values = lab.number("SELECT count(*) * 4 FROM wide")
    rows = [figure("wide table: bytes a value, rows", lab.number("pg_relation_size('wide')") / values, "B"),
            figure("wide table: bytes a value, index", lab.number("pg_indexes_size('wide')") / values, "B")]
    for told, ours, theirs in (
            ("24 h of one series", f"SELECT time, value {narrow} {one} {stretch}", f"SELECT time, voltage {wide} {stretch}"),
            ("24 h of all four metrics of a device", f"SELECT * {narrow} metric = ANY (ARRAY[{', '.join(map(str, metrics.values()))}]) "
             f"AND {stretch}", f"SELECT * {wide} {stretch}")):
        rows.append(figure(f"{told}: wide table beside narrow", _milliseconds(lab, theirs), "ms", floor=_milliseconds(lab, ours)))
    which = f"WHERE device_id % 100 = 1 AND time >= '{day} 06:00+00' AND time < '{day} 12:00+00'"
    rows.append(figure("WAL of a corrected value: wide table beside narrow", _wal_a_row(lab, "wide", "voltage", which), "B",
                       floor=_wal_a_row(lab, "storage.sample", "value", f"{which} AND metric = {metrics['voltage']}")))
    lab.sql("DROP TABLE wide")
    return rows


def _make(lab, day):
    """From the day's rows, in the order of their times, as messages come."""
    columns = ", ".join(f"max(value) FILTER (WHERE metric = (SELECT id FROM storage.metric WHERE name = '{name}')) AS {name}"
                        for name in METRICS)
    lab.sql(f"""
        DROP TABLE IF EXISTS wide;
        CREATE TABLE wide (time timestamptz NOT NULL, device_id int4 NOT NULL, {', '.join(f'{name} float8' for name in METRICS)});
        CREATE INDEX ON wide (device_id, time);
        INSERT INTO wide SELECT time, device_id, {columns} FROM storage.sample_{day:%Y%m%d} GROUP BY time, device_id ORDER BY time, device_id""")
    lab.sql("VACUUM ANALYZE wide")
    lab.sql(f"VACUUM ANALYZE storage.sample_{day:%Y%m%d}")


def _milliseconds(lab, query):
    """The database's own time for it, the middle of many devices, warm."""
    asked = [f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query.format(device=device)};" for device in DEVICES]
    said = lab.sql("".join(2 * asked))
    return statistics.median(float(one) for one in re.findall(r'"Execution Time": ([0-9.]+)', said)[len(asked):])


def _wal_a_row(lab, table, column, which):
    """Of the second of two updates, which are rolled back: the first writes whole pages as well, once after each checkpoint."""
    update = f"EXPLAIN (ANALYZE, WAL, FORMAT JSON) UPDATE {table} SET {column} = {column} + 1 {which};"
    said = lab.sql(f"BEGIN; {update} {update} ROLLBACK")
    written = [int(one) for one in re.findall(r'"WAL Bytes": ([0-9]+)', said)]
    return written[len(written) // 2] / lab.number(f"SELECT count(*) FROM {table} {which}")
