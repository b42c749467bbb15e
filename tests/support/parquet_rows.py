"""Every row of the Parquet files that stdin names (a JSON list), by DuckDB, whose reader shares nothing with Arrow. Each is a line
of JSON: [device_id, metric, time in microseconds, value, kind, other, untimed]. Run by the interpreter of
toolchain.install_parquet_reader()."""
import json
import sys

import duckdb

COLUMNS = "device_id, metric, epoch_us(time), value, kind, other, untimed"

for row in duckdb.execute(f"SELECT {COLUMNS} FROM read_parquet($1)", [json.load(sys.stdin)]).fetchall():
    print(json.dumps(row))
