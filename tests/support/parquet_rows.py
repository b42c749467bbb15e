"""Every row of the Parquet files that stdin names (a JSON list), by DuckDB, whose reader shares nothing with Arrow. Each is a line
of JSON: [device_id, metric, time in microseconds, value, kind, other, untimed], or the columns that the argument names. Run by the
interpreter of toolchain.install_parquet_reader()."""
import json
import sys

import duckdb

COLUMNS = sys.argv[1] if len(sys.argv) > 1 else "device_id, metric, epoch_us(time), value, kind, other, untimed"

for row in duckdb.execute(f"SELECT {COLUMNS} FROM read_parquet($1)", [json.load(sys.stdin)]).fetchall():
    print(json.dumps(row))
