"""`storage-archiver once` against a lab, and the stores that its files may go to."""
import json
import os
import socket
import subprocess
from pathlib import Path

from millrace_dev import toolchain
from millrace_dev.processes import Process
from millrace_dev.settings import free_ports
from millrace_lab import Layout, eventually


def directory(lab):
    """The store that the lab's own query-api reads."""
    return {"ARCHIVE_STORE": "directory", "ARCHIVE_DIRECTORY": str(lab.stack.settings.archive)}


def environment(prefix, fields):
    return {f"MILLRACE_{prefix}_{name}": value for name, value in fields.items()}


def archive(lab, spool, store, timeout=300, **settings):
    """All that is due, in one run; returns what the program says of it."""
    fields = {"DATABASE_URL": lab.stack.database_url, "STATE_DIR": str(spool), "MERGE_INTERVAL_S": "0", **store, **settings}
    done = subprocess.run([lab.binaries / "storage-archiver", "once"],
                          env={**os.environ, **environment("STORAGE_ARCHIVER", fields)}, capture_output=True, text=True,
                          check=False, timeout=timeout, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stderr


def archived_keys(lab):
    """Keys of the files that count."""
    return [row[0] for row in lab.sql("SELECT key FROM storage.archive_file WHERE superseded_at IS NULL ORDER BY day")]


def parquet_rows(files, *columns):
    """[device_id, metric, time in microseconds, value, kind, other, untimed] of every row, or these columns, by a reader that is not
    the writer's."""
    done = subprocess.run([toolchain.install_parquet_reader(Layout()), Path(__file__).with_name("parquet_rows.py"),
                           *([", ".join(columns)] if columns else [])],
                          input=json.dumps([str(file) for file in files]), capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


class S3Server:
    """versitygw over a folder: a real S3 server that checks signatures. End it with stop()."""

    BUCKET = "cold"
    _KEYS = ("archive", "not-so-secret")

    def __init__(self, folder):
        self.objects = folder / "objects" / self.BUCKET  # each object is a file
        self.objects.mkdir(parents=True)
        self._port = free_ports(("s3",))["s3"]
        self._process = Process(folder, "versitygw")
        access, secret = self._KEYS
        self._process.start([str(toolchain.install_s3_server(Layout())), "--access", access, "--secret", secret, "--port",
                             f"127.0.0.1:{self._port}", "posix", str(self.objects.parent)], cwd=folder)
        eventually(self._answers, 60, "versitygw to listen")

    def store(self, prefix):
        access, secret = self._KEYS
        return {"ARCHIVE_STORE": "s3", "ARCHIVE_BUCKET": self.BUCKET, "ARCHIVE_PREFIX": prefix, "ARCHIVE_S3_REGION": "us-east-1",
                "ARCHIVE_S3_ENDPOINT": f"http://127.0.0.1:{self._port}", "ARCHIVE_S3_ACCESS_KEY": access,
                "ARCHIVE_S3_SECRET_KEY": secret}

    def stop(self):
        self._process.kill()

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=5).close()
            return True
        except OSError:
            return False
