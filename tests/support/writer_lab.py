"""What the benchmarks of the writing side share: Kafka and PostgreSQL of their own, days of telemetry in the log, and the
real storage-writer that brings them into the database."""
import contextlib
import datetime
import json
import os
import subprocess
import time

from bench_lab import process_cpu
from millrace_dev import kafka, say, system
from millrace_dev.layout import private_folder
from millrace_dev.say import DevError
from millrace_dev.services import DATABASE
from millrace_lab import Lab, remove_folder

WRITER = "storage-writer"
DEVICES = int(os.environ.get("MILLRACE_BENCH_DEVICES", "10000"))


class WriterLab:
    """Kafka, PostgreSQL with its usual safety, the schema, and a storage-writer that runs when it is told to."""

    def __init__(self, lab):
        self._lab = lab
        self._stack = lab.stack
        self.points = 0  # of the log so far

    @property
    def binaries(self):
        return self._lab.binaries

    @property
    def database_url(self):
        return self._stack.postgres.url(DATABASE)

    def url_of(self, database):
        return self._stack.postgres.url(database)

    def sql(self, text, database=DATABASE):
        return self._stack.postgres.sql(text, database)

    def number(self, text):
        return float(self.sql(f"SELECT ({text})::float8"))

    def program(self, name, *arguments, **environment):
        """Runs a program of the build that prints one JSON object."""
        done = subprocess.run([str(self.binaries / name), *map(str, arguments)], capture_output=True, text=True, check=False,
                              env={**os.environ, **environment})
        if done.returncode != 0:
            raise DevError(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def fill(self, first_day, days):
        """Days of telemetry into the log."""
        made = self.program("telemetry_days", self._stack.kafka.bootstrap, "millrace.telemetry", first_day, days, DEVICES)
        self.points += made["points"]

    def service(self, **extra):
        service = self._stack.services[WRITER]
        service.extra.update({service.description.prefix + key: str(value) for key, value in extra.items()})
        return service

    def store(self, **extra):
        """Starts the writer, waits until the whole log is stored, stops it. Returns points/s from its first transaction to its
        last, and the CPU of writer and database in microseconds a point, starts included. Keywords: its options. Old days are
        left alone meanwhile."""
        service = self.service(MAINTENANCE_INTERVAL_MS=0, **extra)
        stored, rows, database = self._stored(), self._rows(), process_cpu(self._stack.postgres.process.pid())
        left = self.points - stored
        service.start()
        try:
            pid = service.process.pid()
            first = self._wait_for(stored + 1)
            last = self._wait_for(self.points)
            cpu = process_cpu(pid)
            database = process_cpu(self._stack.postgres.process.pid()) - database
        finally:
            service.stop()
        if (rows := self._rows() - rows) != left:
            raise DevError(f"{left} points became {rows} rows")
        return {"points": left, "points_per_s": (last[1] - first[1]) / (last[0] - first[0]), "seconds": last[0] - first[0],
                "writer_us": cpu * 1e6 / left, "database_us": database * 1e6 / left}

    def archive(self, day):
        """Moves a day and those before it, the others stay, into a Parquet file as storage-archiver does; bytes a point and
        points/s, the reading back included."""
        folder = private_folder(self._lab.folder / "spool")
        values = {"DATABASE_URL": self._stack.database_url, "ARCHIVE_STORE": "directory",
                  "ARCHIVE_DIRECTORY": private_folder(self._stack.settings.archive), "STATE_DIR": folder,
                  "AFTER_DAYS": (datetime.datetime.now(datetime.timezone.utc).date() - day).days - 1}
        environment = {f"MILLRACE_STORAGE_ARCHIVER_{key}": str(value) for key, value in values.items()}
        begun = time.monotonic()
        done = subprocess.run([str(self.binaries / "storage-archiver"), "once"], env={**os.environ, **environment},
                              capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        if done.returncode != 0:
            raise DevError(f"storage-archiver once ended with {done.returncode}:\n{done.stderr[-2000:]}")
        size, points = self.sql(f"SELECT bytes, rows FROM storage.archive_file WHERE day = '{day}'").split("|")
        return {"bytes": int(size) / int(points), "points_per_s": int(points) / seconds}

    def _wait_for(self, points):
        """(when, how many were stored) at the first look that finds so many."""
        deadline = time.monotonic() + 1_800
        while (stored := self._stored()) < points:
            if time.monotonic() > deadline:
                raise DevError(f"{points - stored} points were not stored within half an hour")
            if not self._stack.services[WRITER].alive():
                raise DevError("storage-writer has ended; its log says why")
            time.sleep(0.05)
        return time.monotonic(), stored

    def _rows(self):
        return int(self.number("SELECT count(*) FROM storage.sample"))

    def _stored(self):
        """By the ledger, which moves in the transactions of the rows."""
        return int(self.sql("SELECT coalesce(sum(inserted), 0) FROM storage.ledger_hour") or 0)


@contextlib.contextmanager
def writer_lab():
    lab = Lab(jvm=kafka.LARGE)
    try:
        with say.Step("Kafka, PostgreSQL and the schema"):
            lab.stack.start_servers()
            system.millrace(lab.stack, "admin", "topics")
            lab.stack.prepare_database()
            lab.stack.services[WRITER].call("migrate")
        yield WriterLab(lab)
    finally:
        lab.close()
        remove_folder(lab)
