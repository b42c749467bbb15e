"""Backups of the database taken under load, as docs/operations.md shows them, and what comes after: the cluster is thrown away and
restored, the writers see that it is older than they knew, and the log has the rest."""
import datetime
import os
import random
import re
import shutil
import subprocess

import pytest

from archive_run import archive, directory, environment
from fleet_run import FleetRun, database_count, written
from http_device import HttpDevice
from millrace_dev import postgres
from millrace_lab import ROOT, eventually, now_us

AWAY = {"database", "PostgreSQL", "connection", "transaction", "recovery"}
USERS = ("storage-writer", "query-api", "device-registry")
STORED = 3  # RECEIPT_STATE_STORED
COMPACTED = datetime.datetime(2025, 3, 1, tzinfo=datetime.timezone.utc)
ARCHIVED = datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc)


def _client(lab, program, *arguments, **options):
    """A program of PostgreSQL as the superuser."""
    server = lab.stack.postgres
    done = subprocess.run([postgres.BINARIES / program, "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", *arguments],
                          env=dict(os.environ, PGPASSWORD=lab.stack.settings.secret("database_superuser")), check=False,
                          stderr=subprocess.PIPE, timeout=300, **options)
    assert done.returncode == 0, done.stderr.decode()


def _base_backup(lab, file):
    with open(file, "wb") as out:
        _client(lab, "pg_basebackup", "-D", "-", "-Ft", "-X", "fetch", "-c", "fast", stdout=out)


def _restore_files(lab, file):
    data = lab.folder / "postgres" / "data"
    shutil.rmtree(data)
    data.mkdir(mode=0o700)
    subprocess.run(["tar", "-C", str(data), "-xpf", str(file)], check=True)
    if os.geteuid() == 0:  # the user that PostgreSQL runs as owns its files, as before
        subprocess.run(["chown", "-R", "postgres:postgres", str(data)], check=True)
    lab.restart("postgres")


def _dump(lab, file):
    with open(file, "wb") as out:
        _client(lab, "pg_dump", "-Fc", "millrace", stdout=out)


def _restore_dump(lab, file):
    shutil.rmtree(lab.folder / "postgres" / "data")
    lab.restart("postgres")
    lab.stack.prepare_database()  # roles.sql
    _client(lab, "pg_restore", "--exit-on-error", "--clean", "--if-exists", "--create", "-d", "postgres", str(file))
    lab.stack.migrate()


WAYS = {"pg_basebackup": (_base_backup, _restore_files), "pg_dump": (_dump, _restore_dump)}


def _us(day):
    return int(day.timestamp()) * 1_000_000


def _send(lab, sender, values):
    """{time in microseconds: value}"""
    values = list(values.items())
    receipts = [sender.send([{"ts": time // 1_000_000, "values": {"level": value}} for time, value in values[at:at + 500]])
                for at in range(0, len(values), 500)]
    sender.close()  # the gateway ends a connection that says nothing for a while
    for receipt in receipts:
        eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == STORED, 120, f"{receipt} to be stored")


def _archive(lab, spool):
    """What is older than the compacted day, with the settings of an installation but that it does not wait for a day."""
    archive(lab, spool, directory(lab), AFTER_DAYS=str((datetime.datetime.now(datetime.timezone.utc) - COMPACTED).days + 1))


def _old_days(lab, sender, spool):
    """A day that is kept in segments and roll-ups, and one in a file: what was sent, {time in microseconds: value}."""
    values = {_us(day) + 60_000_000 * i: i * 0.25 for day in (COMPACTED, ARCHIVED) for i in range(1000)}
    _send(lab, sender, values)
    keeper = lab.add_service("storage-writer", "storage-writer-tiers", extra=environment(
        "STORAGE_WRITER", {"HOT_HOURS": "0", "HOT_QUIET_S": "0", "MAINTENANCE_INTERVAL_MS": "500"}))
    keeper.wait_ready()
    eventually(lambda: lab.sql(f"SELECT state FROM storage.day WHERE day = '{COMPACTED:%Y-%m-%d}'") == [["3"]], 120,
               "the day to be compacted")
    lab.drop_service("storage-writer-tiers")
    _archive(lab, spool)
    return values


def _values(lab, device):
    return {one.time_us: one.value.double_value for one in lab.range_samples(device, "level", _us(ARCHIVED), now_us())}


def test_a_replaced_file_outlives_the_log():
    """A backup that the log can bring up to date must find the files that it names."""
    default = re.search(r"GRACE_S` \| .* \| `(\d+)` \|", (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"))[1]
    assert int(default) >= 2 * 7 * 86_400


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_backup_under_load_and_the_log_hold_every_message_once(lab, tmp_path, parquet_worker, way):
    del parquet_worker
    lab.allowed_errors |= AWAY
    back_up, restore = WAYS[way]
    device = way.replace("_", "-")
    sender = HttpDevice(lab, device, lab.create_device(device))
    old = _old_days(lab, sender, tmp_path)
    seed = random.randrange(1, 1 << 30)
    print(f"seed {seed}")
    load = FleetRun(lab, f"b{seed:x}", seed, rate=300, devices=30, seconds=3600)
    try:
        load.wait_for_load()
        back_up(lab, tmp_path / "backup")
        load.wait_for_more(1000)
        late = HttpDevice(lab, f"{device}-late", lab.create_device(f"{device}-late"))
        receipt = late.send({"n": 1})
        eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == STORED, 120, "what came after the backup to be stored")
        corrections = {_us(COMPACTED): 1000.5, _us(ARCHIVED): 2000.5, _us(ARCHIVED) + 1_000_000: 3000.5}
        _send(lab, sender, corrections)
        _archive(lab, tmp_path)
        late_key = lab.sql(f"SELECT device_key FROM registry.device WHERE device = '{device}-late'")[0][0]
        for member in (*USERS, "postgres"):
            lab.member(member).stop()
        lab.begin("postgres")
        lab.wait_ready("postgres")
        known = written(lab)
        lab.member("postgres").stop()

        restore(lab, tmp_path / "backup")
        restored = written(lab)
        assert 0 < restored < known, "the backup must be older than what was thrown away, and no empty one"
        for member in ("device-registry", "storage-writer", "query-api"):
            lab.restart(member)
        load.wait_for_more(300)
        load.end_load()
        report = load.finish()
    finally:
        load.stop()
    assert report["sent"] > 1000
    eventually(lambda: written(lab) > known, 120, "the writer to be further than before")
    rows, different = database_count(lab, load.prefix)
    assert rows == different
    assert lab.sql(f"SELECT count(*) FROM storage.point WHERE device_id = {late_key}") == [["1"]], "of a device the backup does not know"
    assert lab.query("GetReceipt", receipt=receipt).state == STORED
    eventually(lambda: _values(lab, device) == {**old, **corrections}, 120, "the old days with what came late")
    lab.millrace("admin", "log")  # every partition fits its log
