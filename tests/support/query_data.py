"""The data of ./dev bench query, made once and kept with its system: a week of 10,000 devices, and fewer devices with 1, 10 and 100 days."""
import json
import os
import shutil
import subprocess
import time

from device_fleet import Import, wait_until_known, write_fleet
from millrace_dev import say
from millrace_dev.layout import private_folder
from millrace_dev.say import DevError
from millrace_dev.services import DATABASE
from millrace_lab import TENANT

VERSION = 1  # of what query_data.cpp makes: another one is made anew
METRICS = ("temperature", "current", "humidity", "energy")
DAY = 86_400
HOT_DAYS = 2  # as storage-writer keeps them in rows


class Data:
    """What is in the databases of a lab. `devices`: (name, key), the fast ones first; days are counted from 1970, `end` is the first
    one without data."""

    def __init__(self, devices, fast, days, history, end):
        self.devices, self.fast, self.days, self.history, self.end = devices, fast, days, history, end
        self.metric_ids = {}

    def slow(self, count):
        """Some of the slow devices."""
        return self.devices[self.fast:self.fast + count]

    def few(self):
        """(devices, how many of them are fast) of the databases that differ in the days they hold: a twentieth of the fleet."""
        fast = max(1, self.fast // 10)
        slow = max(1, (len(self.devices) - self.fast) // 20)
        return self.devices[:fast] + self.devices[self.fast:self.fast + slow], fast

    def bounds(self, back, days=1):
        """[from, to) in microseconds of so many days, which end `back` days before the data's end."""
        end = (self.end - back) * DAY * 1_000_000
        return end - days * DAY * 1_000_000, end


def prepared_folder(layout, wanted):
    """The folder of the kept lab; one with other data than wanted, or with half of it, is emptied."""
    folder = layout.bench / "query"
    stamp = _read(folder)
    if stamp is None or stamp["wanted"] != wanted:
        shutil.rmtree(folder, ignore_errors=True)
    private_folder(folder, passable=True)
    return folder


def wanted(devices, days, history):
    return {"version": VERSION, "devices": devices, "days": days, "history": list(history)}


def load(lab, devices, days, history):
    """The data of this lab, made now if it is not there yet; that of the history: see load_history()."""
    stamp = _read(lab.folder) or {"wanted": wanted(devices, days, history), "end": int(time.time()) // DAY, "made": []}
    data = Data(_devices(lab, devices), max(1, devices // 200), days, list(history), stamp["end"])
    _make(lab, stamp, data, DATABASE, data.devices, data.fast, days, HOT_DAYS)
    return data


def load_history(lab, data):
    """The databases that differ in the days they hold, the newest of which is rows in each."""
    devices, fast = data.few()
    for days in data.history:
        _make(lab, _read(lab.folder), data, history_database(days), devices, fast, days, 1)


def history_database(days):
    return f"history_{days}"


def url(lab, database, role="storage_writer"):
    return lab.stack.postgres.url(database, role, lab.stack.settings.secret(f"database_{role}"))


def _read(folder):
    file = folder / "stamp.json"
    return json.loads(file.read_text(encoding="ascii")) if file.exists() else None


def _devices(lab, count):
    """(name, key) of the bench's devices in the order in which they were made."""
    file = lab.folder / "fleet.csv"
    if not file.exists():
        write_fleet(file, count, "meter")
    with say.Step(f"{count} devices"):
        Import(lab, file).finish()
        wait_until_known(lab, ["query-api", "protocol-gateway"], count, 600)
    rows = lab.sql(f"SELECT device, device_key FROM registry.device WHERE tenant = '{TENANT}' AND device LIKE 'meter-%' ORDER BY device_key")
    return [(name, int(key)) for name, key in rows]


def _make(lab, stamp, data, database, devices, fast, days, hot):
    if database not in stamp["made"]:
        if database != DATABASE:
            lab.stack.postgres.sql(f"DROP DATABASE IF EXISTS {database}")
            lab.stack.postgres.sql(f"CREATE DATABASE {database}")
            lab.stack.postgres.sql(f"GRANT CREATE ON DATABASE {database} TO storage_writer")
        with say.Step(f"{days} days of {len(devices)} devices into {database}"):
            _fill(lab, database, devices, [str(data.end - days), str(days), str(min(hot, days)), str(fast)])
        stamp["made"].append(database)
        (lab.folder / "stamp.json").write_text(json.dumps(stamp), encoding="ascii")
    rows = lab.stack.postgres.sql("SELECT name, id FROM storage.metric", database)
    data.metric_ids[database] = dict(row.split("|") for row in rows.splitlines())


def _fill(lab, database, devices, arguments):
    done = subprocess.run([str(lab.binaries / "query_data"), TENANT, *arguments],
                          env=dict(os.environ, MILLRACE_DATABASE_URL=url(lab, database)), capture_output=True, text=True,
                          check=False, input="".join(f"{key}\n" for _, key in devices))
    if done.returncode != 0:
        raise DevError(f"query_data ended with {done.returncode}:\n{done.stderr[-2000:]}")
    say.line(f"    {done.stdout.strip()}")
