"""An own PostgreSQL cluster: it never meets one that the machine has."""
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from .processes import Process, is_zombie, wait_until, working_in
from .say import DevError

BINARIES = Path("/usr/lib/postgresql/15/bin")


def server_programs():
    """Where postgres and initdb are; MILLRACE_TEST_POSTGRES names another version's folder."""
    return Path(os.environ.get("MILLRACE_TEST_POSTGRES", BINARIES))


# Set: every database of a cluster that is made from now on has TimescaleDB.
TIMESCALEDB = "MILLRACE_TEST_TIMESCALEDB"

SETTINGS = {
    "unix_socket_directories": "''",
    "max_connections": "200",
    "max_locks_per_transaction": "512",
    "shared_buffers": "'128MB'",
    "max_wal_size": "'4GB'",
    "log_checkpoints": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


class Postgres:
    """One cluster whose files are below folder/postgres; `fast` gives up safety against power loss (tests only)."""

    def __init__(self, folder: Path, port, password, fast=False):
        self.name = "postgres"
        self.port = port
        # Fast shutdown: SIGTERM would wait for the clients to go.
        self.process = Process(folder, "postgres", stop_signal=signal.SIGINT, stop_timeout=60)
        self._folder = folder / "postgres"
        self._password = password
        self._fast = fast
        self.extra = {}  # further settings of the server, by name

    def url(self, database="postgres", user="postgres", password=None):
        return f"postgresql://{user}:{password or self._password}@127.0.0.1:{self.port}/{database}"

    def start(self):
        self._check_reachable()
        if not (self._data / "PG_VERSION").exists() or (self._folder / "incomplete").exists():
            self._create()
        options = dict(SETTINGS, port=self.port, listen_addresses="'127.0.0.1'")
        if self._fast:
            options.update(fsync="off", full_page_writes="off", max_wal_size="'1GB'")
        if os.environ.get(TIMESCALEDB):
            # Its workers would keep databases from being copied and dropped; nothing here needs them.
            options.update({"shared_preload_libraries": "'timescaledb'", "timescaledb.telemetry_level": "off",
                            "timescaledb.max_background_workers": "0"})
        options.update(self.extra)
        (self._data / "postgresql.auto.conf").write_text(
            "".join(f"{name} = {value}\n" for name, value in options.items()), encoding="ascii")
        self._forget_killed_predecessor()
        self.process.start(_as_owner([server_programs() / "postgres", "-D", self._data]), cwd="/")

    def _forget_killed_predecessor(self):
        """PostgreSQL takes a killed predecessor for alive until that one's parent has reaped it, which may be long after
        its end. Its lock file is removed once none of its processes works in the data directory any more."""
        lock = self._data / "postmaster.pid"
        try:
            owner = int(lock.read_text(encoding="ascii").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if is_zombie(owner):
            wait_until(lambda: not working_in(self._data), 60, "the killed PostgreSQL's processes to end")
            lock.unlink(missing_ok=True)

    def wait_ready(self, timeout=120):
        def ready():
            return subprocess.run([BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                                  check=False).returncode == 0
        wait_until(ready, timeout, "PostgreSQL to be ready", while_alive=self.process)
        if os.environ.get(TIMESCALEDB):
            self.sql("CREATE EXTENSION IF NOT EXISTS timescaledb", "template1")

    def offers_timescaledb(self):
        """Whether the extension is installed on this machine, for this version."""
        return self.sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'") == "1"

    def alive(self):
        return self.process.alive()

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def signal(self, number):
        """To the whole tree: a stopped postmaster alone would leave the sessions working."""
        self.process.signal(number, whole_tree=number in (signal.SIGSTOP, signal.SIGCONT))

    def sql(self, text, database="postgres", env=None):
        """Runs SQL as the superuser; returns its unaligned output. A script reads secrets from `env`."""
        done = subprocess.run([*self._psql(database), "-A", "-t"], input=text, text=True, capture_output=True, check=False,
                              env=dict(os.environ, PGPASSWORD=self._password, **(env or {})))
        if done.returncode != 0:
            raise DevError(f"PostgreSQL refused: {done.stderr.strip()}")
        return done.stdout.strip()

    def copy_in(self, table, lines, database="postgres"):
        """Lines of COPY's text format into a table, as the superuser; returns how many there were."""
        copy = subprocess.Popen([*self._psql(database), "-c", f"COPY {table} FROM STDIN"], stdin=subprocess.PIPE,
                                env=dict(os.environ, PGPASSWORD=self._password))
        count = 0
        try:
            for line in lines:
                copy.stdin.write(line)
                count += 1
        finally:
            copy.stdin.close()
            code = copy.wait()
        if code != 0:
            raise DevError(f"PostgreSQL did not take line {count} or one before it")
        return count

    def _psql(self, database):
        return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]

    @property
    def _data(self):
        return self._folder / "data"

    def _create(self):
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        # Removed when initdb has finished: a call that was interrupted begins anew.
        (self._folder / "incomplete").touch()
        password_file = self._folder / "password"
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(self._password)
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(password_file, "postgres", "postgres")
            shutil.chown(self._data, "postgres", "postgres")
        done = subprocess.run(_as_owner([server_programs() / "initdb", "-D", self._data, "-U", "postgres", "-E", "UTF8",
                                         "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file}",
                                         "--no-instructions"] + (["--no-sync"] if self._fast else [])),
                              capture_output=True, text=True, check=False, cwd="/")
        password_file.unlink()
        if done.returncode != 0:
            raise DevError(f"initdb failed:\n{done.stdout}{done.stderr}")
        (self._folder / "incomplete").unlink()

    def _check_reachable(self):
        if os.geteuid() != 0:
            return
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise DevError("there is no user postgres; PostgreSQL refuses to run as root") from None
        self._folder.mkdir(parents=True, exist_ok=True)
        if not can_enter(self._folder):
            raise DevError(f"PostgreSQL runs as user postgres, and that user cannot enter {self._folder}. Name a folder "
                           "that it can enter: MILLRACE_DEV_STATE=/var/tmp/millrace ./dev up")


def can_enter(folder):
    """Whether the user that PostgreSQL runs as may pass through the folder."""
    return subprocess.run(_as_owner(["test", "-x", folder]), check=False, cwd="/").returncode == 0


def _as_owner(argv):
    argv = [str(part) for part in argv]
    if os.geteuid() != 0:
        return argv
    return ["/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *argv]
