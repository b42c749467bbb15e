"""The schemas on their way from version to version: killed at every statement, from every older version with rows in it, beside
the programs that work on, and behind a reader that does not end."""
import os
import subprocess

import pytest

import millrace_lab
from millrace_dev import postgres
from millrace_dev.settings import Settings, free_ports
from millrace_dev.stack import Stack
from millrace_lab import eventually
from statement_gate import StatementGate

MIGRATORS = {"registry": "device-registry", "storage": "storage-writer"}
BEFORE, AFTER = False, True

# What a version has that the ones before it have not.
ROWS = {
    "storage": {
        1: """SELECT storage.ensure_days('{2024-05-01,2024-05-02}');
              INSERT INTO storage.metric (tenant, name, type) VALUES ('demo', 'load', 1), ('demo', 'state', 4);
              INSERT INTO storage.sample SELECT timestamptz '2024-05-01 00:00+00' + i * interval '1 minute', i % 7, 1, i / 8.0
                FROM generate_series(0, 2879) i;
              INSERT INTO storage.sample VALUES ('2024-05-01 00:00:30+00', 1, 2, NULL, 3, 'on', true),
                ('1999-05-01 00:00+00', 1, 1, 7, NULL, NULL, NULL);
              INSERT INTO storage.ingest_offset (topic, part, next_offset, latest_offset, cluster_id) VALUES ('t', 0, 9, 9, 'c');
              INSERT INTO storage.latest VALUES (1, 1, '2024-05-02 00:00+00', 7, NULL, NULL, '2024-05-02 00:00+00');
              INSERT INTO storage.dead_letter VALUES (0, 0, 3, '{}', 'no JSON', 'demo', 'd', 0, 0);
              INSERT INTO storage.dropped_copy VALUES (0, 0, 5, 4, 1)""",
        2: "INSERT INTO storage.log_break VALUES (0, 0, 9, 12, 'lost', DEFAULT, 12)",
        3: """SELECT storage.ensure_window_days('{2024-05-01}');
              INSERT INTO storage.window_result VALUES (1, 1, '2024-05-01 00:00+00', 60000000, 2, 1, 3, 2, 3, '2024-05-01 00:00:40+00', 1,
                                                        true, false);
              INSERT INTO storage.alert VALUES ('demo/r/d/load', 1, 'a', 'demo', 'r', 'd', 'load', 1, 2, '2024-05-01 00:00+00', NULL, '',
                                                'event')""",
        10: """INSERT INTO storage.ledger_hour VALUES (0, 0, '2024-05-01 00:00+00', 0, 9, 9, 1, 1, 7, 7, 0, 0)""",
        13: """INSERT INTO storage.copy_state VALUES ('t', 0, 0, 9); INSERT INTO storage.copy_state_piece VALUES ('t', 0, 0, 'x')""",
        14: """INSERT INTO storage.retention_day VALUES ('2024-05-01', 'r', 's');
               INSERT INTO storage.retention_devices (last_key, digest, epoch) VALUES (7, 'd', 1)""",
        15: """INSERT INTO storage.archive_file (day, generation, key, rows, min_time, max_time, bytes, sha256, rows_hash)
                 VALUES ('2024-04-01', 1, 'k', 2, '2024-04-01 00:00+00', '2024-04-01 00:01+00', 9, 's', 'r');
               INSERT INTO storage.archive_content VALUES ('2024-04-01', 1, '{1}', '{1}', '{2}');
               INSERT INTO storage.archive_expired VALUES ('2024-04-01', '{1}', '{1}', true)""",
    },
    "registry": {
        1: """INSERT INTO registry.tenant (tenant) VALUES ('demo'), ('other');
              INSERT INTO registry.device SELECT nextval('registry.device_key_seq'), 'demo', 'd' || i FROM generate_series(1, 1000) i;
              INSERT INTO registry.device_token SELECT device_key, sha256(device::bytea) FROM registry.device;
              INSERT INTO registry.api_key (key_id, tenant, role, sha256) VALUES ('k', 'demo', 1, 'x');
              INSERT INTO registry.outbox VALUES (nextval('registry.outbox_seq'), 'd/1', 'v')""",
        2: """INSERT INTO registry.rule VALUES ('demo', 'r', 1, 'load', '', 'value > 1', 'value < 1', 1, '', true);
              INSERT INTO registry.webhook VALUES ('demo', 'https://example.org', 's')""",
        3: "INSERT INTO registry.former_tenant VALUES ('gone')",
        4: "INSERT INTO registry.tenant_limits VALUES ('demo', 'x'); INSERT INTO registry.device_limits VALUES (1, 'y')",
        5: """INSERT INTO registry.credential VALUES (1, 1, 'phc', NULL, 0, 0);
              INSERT INTO registry.device_access VALUES (1, 'x')""",
        6: "INSERT INTO registry.authority VALUES ('demo', 'ca', 'x', 0); INSERT INTO registry.tenant_policy VALUES ('demo', 'x')",
        7: "INSERT INTO registry.device_type VALUES ('demo', 'meter', 'x'); UPDATE registry.device SET type = 'meter' WHERE device_key = 2",
        8: "INSERT INTO registry.tenant_retention VALUES ('demo', 'x')",
    },
}

# What storage-writer and query-api of any version do all day; each statement gives up rather than wait.
HOT_PATH = """SET lock_timeout = '3s'; SET ROLE storage_writer;
BEGIN;
UPDATE storage.ingest_offset SET next_offset = next_offset + 2 WHERE topic = 't' AND part = 0;
COPY storage.sample (time, device_id, metric, value) FROM STDIN;
2024-05-02 12:00:00.5+00\t{device}\t1\t1.5
2024-05-02 12:00:01.5+00\t{device}\t1\t2.5
\\.
INSERT INTO storage.latest VALUES ({device}, 1, now(), 1, NULL, NULL, now());
INSERT INTO storage.dropped_copy VALUES (0, 0, {device}, 4, 1);
COMMIT;
SELECT count(*) FROM storage.sample WHERE device_id = {device};
SELECT count(*) FROM storage.latest WHERE device_id = {device};"""

# Reads a table as soon as somebody waits for it, and gives up when it has to wait for long itself.
READ_BEHIND_WAITER = """
DO $$ BEGIN
  FOR i IN 1..6000 LOOP
    IF EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'registry.rule'::regclass) THEN RETURN; END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RAISE EXCEPTION 'nobody waits for the table';
END $$;
SET statement_timeout = '8s';
SELECT count(*) FROM registry.rule"""

CATALOG = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
  SELECT concat_ws(' ', c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
  FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = to_regnamespace('{0}')
  UNION ALL SELECT concat_ws(' ', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = to_regnamespace('{0}')
  UNION ALL SELECT concat_ws(' ', oid::regprocedure, md5(prosrc)) FROM pg_proc WHERE pronamespace = to_regnamespace('{0}')) t(line)"""

# One SELECT over all rows of all tables as they are now: the same text asks a later version for the same columns.
ROWS_QUERY = """
SELECT string_agg(format('SELECT %L, md5(string_agg(r::text, '','' ORDER BY r::text)) FROM (SELECT %s FROM {0}.%I) r', c.relname,
                         (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                          WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), c.relname), ' UNION ALL ')
FROM pg_class c WHERE c.relnamespace = '{0}'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'migration'"""


@pytest.fixture(name="stack", scope="module")
def _stack():
    """PostgreSQL with the roles of an installation; no Kafka, no service."""
    folder = millrace_lab.new_folder()
    stack = Stack(millrace_lab.Layout(), Settings(folder, free_ports()), fast_database=True)
    stack.postgres.start()
    try:
        stack.postgres.wait_ready()
        stack.prepare_database()
        yield stack
    finally:
        stack.stop_all()


class Database:
    """One of its own, and the program that migrates it, through a gate."""

    def __init__(self, stack, schema, name, template="template1"):
        self._stack, self.schema, self.name = stack, schema, name
        self.newest = 0  # version, of the clean one
        self._service = stack.services[MIGRATORS[schema]]
        self._postgres = stack.postgres
        self.gate = StatementGate(self._postgres.port)
        self._postgres.sql(f"CREATE DATABASE {name} TEMPLATE {template}; GRANT CREATE, CONNECT ON DATABASE {name} TO"
                           f" {self._service.description.role}")

    def begin(self):
        """`migrate` as it is started in an installation."""
        environment = self._service.environment()
        key = self._service.description.prefix + "DATABASE_URL"
        here = environment[key].replace(f":{self._postgres.port}/", f":{self.gate.port}/")
        environment[key] = here.replace("/millrace", "/" + self.name)
        return subprocess.Popen([*self._service.argv(), "migrate"], env=environment, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def migrate(self):
        self.gate.hold(0, BEFORE)
        end(self.begin())

    def killed_at(self, number, after):
        """The text of the statement at which it was killed; None: it came to its end before."""
        self.gate.hold(number, after)
        child = self.begin()
        eventually(lambda: self.gate.held.is_set() or child.poll() is not None, 120, f"statement {number} of migrate")
        if not self.gate.held.is_set():
            end(child)
            return None
        child.kill()
        child.communicate()
        return self.gate.statements[-1]

    def sql(self, text):
        return self._postgres.sql(text, self.name)

    def version(self):
        if self.sql(f"SELECT to_regclass('{self.schema}.migration') IS NULL") == "t":
            return 0
        return int(self.sql(f"SELECT coalesce(max(version), 0) FROM {self.schema}.migration"))

    def catalog(self):
        return self.sql(CATALOG.format(self.schema))

    def state(self, query):
        """Version, catalog and what `query` says, in one."""
        return self.sql(f"SELECT max(version) FROM {self.schema}.migration; {CATALOG.format(self.schema)}; {query}")

    def fill(self, version):
        rows = ROWS[self.schema].get(version)
        if rows:
            self.sql(f"SET ROLE {self._service.description.role}; {rows}")

    def rows(self):
        """(a query for all rows as they are now, its answer)"""
        query = self.sql(ROWS_QUERY.format(self.schema))
        return query, self.sql(query)

    def copy(self, name):
        eventually(lambda: self._postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self.name}'") == "0", 60,
                   f"the sessions of {self.name} to end")
        return Database(self._stack, self.schema, name, template=self.name)

    def session(self):
        """A psql that reads what the test writes."""
        return subprocess.Popen(["psql", "-X", "-q", "-A", "-t", self._postgres.url(self.name)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)

    def dump(self):
        """The schema as SQL. Of a newer server, which this machine's pg_dump refuses, its catalog."""
        if postgres.server_programs() != postgres.BINARIES:
            return self.catalog()
        done = subprocess.run([postgres.BINARIES / "pg_dump", "-s", "-n", self.schema, self._postgres.url(self.name)],
                              capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def end(child):
    try:
        output, _ = child.communicate(timeout=300)
    finally:
        child.kill()
    assert child.returncode == 0, output
    return output


def _kind(statement):
    for begin, kind in (("BEGIN", "begin"), ("SET LOCAL lock_timeout", "script"), ("INSERT INTO", "note"), ("COMMIT", "commit")):
        if statement.startswith(begin):
            return kind
    return statement


@pytest.fixture(name="clean", params=sorted(MIGRATORS))
def _clean(stack, request):
    """A schema that no kill has met."""
    database = Database(stack, request.param, f"clean_{request.param}_{os.urandom(3).hex()}")
    database.migrate()
    database.newest = database.version()
    assert database.newest >= max(ROWS[request.param])
    yield database
    database.gate.close()


@pytest.fixture(name="database")
def _database(stack, clean):
    database = Database(stack, clean.schema, f"killed_{clean.schema}_{os.urandom(3).hex()}")
    yield database
    database.gate.close()


def _first_transaction(database):
    """The number of the first BEGIN of a run."""
    for number in range(1, 20):
        statement = database.killed_at(number, BEFORE)
        assert statement is not None, "there was nothing to migrate"
        if _kind(statement) == "begin":
            return number
    raise AssertionError("no transaction in the first statements")


def test_a_kill_at_any_statement_leaves_whole_versions(clean, database):
    """Each run is killed at one statement, before the server has it or after the server has done it and before the program
    knows. The next one goes on."""
    begin, number, version = _first_transaction(database), 1, 0
    killed, query, rows, state = [], None, None, None
    while True:
        for after in (BEFORE, AFTER):
            statement = database.killed_at(number, after)
            if statement is None:
                break
            killed.append((version, _kind(statement), after))
            if killed[-1][1:] == ("commit", AFTER):
                version += 1
                assert database.version() == version
                assert query is None or database.sql(query) == rows
                database.fill(version)
                query, rows = database.rows()
                state = database.state(query)
                number = begin - 1
            elif version == 0:
                assert database.version() == 0
            else:
                assert database.state(query) == state, f"half of a migration is there: {killed[-1]}"
        if statement is None:
            break
        number += 1
    for one in range(clean.newest):
        at = [entry[1:] for entry in killed if entry[0] == one and entry[1] in ("begin", "script", "note", "commit")]
        assert at == [(kind, after) for kind in ("begin", "script", "note", "commit") for after in (BEFORE, AFTER)], one
    database.migrate()
    assert database.state(query) == state
    assert _without_days(database).dump() == clean.dump()


def _without_days(database):
    """The tables of days are made by what is stored; a schema that holds nothing has none."""
    if database.schema == "storage":
        database.sql("DROP TABLE IF EXISTS storage.sample_20240501, storage.sample_20240502, storage.window_result_20240501")
    return database


def test_every_older_version_with_rows_becomes_the_newest(clean, database):
    begin = _first_transaction(database)
    older = []
    for version in range(1, clean.newest):
        assert _kind(database.killed_at(begin + 4, BEFORE)) == "begin"
        assert database.version() == version
        database.fill(version)
        older.append(database.copy(f"{database.name}_{version}"))
    for version, one in enumerate(older, start=1):
        query, rows = one.rows()
        assert "migration" not in query and rows.count("\n") + 1 >= 5
        one.migrate()
        assert one.version() == clean.newest
        assert one.sql(query) == rows, version
        assert _without_days(one).dump() == clean.dump(), version
        one.gate.close()


@pytest.mark.parametrize("clean", ["storage"], indirect=True)
def test_writers_and_readers_work_on_while_a_migration_is_open(clean, database):
    """At the end of every migration's statements, before its commit, with all the locks that it takes."""
    begin = _first_transaction(database)
    assert _kind(database.killed_at(begin + 4, BEFORE)) == "begin"
    database.fill(1)
    database.gate.hold(begin + 1, AFTER)
    child = database.begin()
    for device, version in enumerate(range(2, clean.newest + 1), start=100):
        eventually(lambda: database.gate.held.is_set() or child.poll() is not None, 120, f"migration {version} to be open")
        assert _kind(database.gate.statements[-1]) == "script" and database.version() == version - 1
        assert database.sql(HOT_PATH.format(device=device)).split() == ["2", "1"], version
        database.gate.go_on(begin + 1 + 4 * (version - 1) if version < clean.newest else 0, AFTER)
    end(child)
    assert database.version() == clean.newest
    assert database.sql("SELECT count(*) FROM storage.point WHERE device_id >= 100") == str(2 * (clean.newest - 1))
    assert database.sql("SELECT next_offset FROM storage.ingest_offset") == str(9 + 2 * (clean.newest - 1))


@pytest.mark.parametrize("clean", ["registry"], indirect=True)
def test_nobody_queues_behind_a_migration_that_waits_for_a_reader(clean, database):
    """A dump, or a forgotten BEGIN, holds a table that a migration alters. One that is killed while it waits is in nobody's way."""
    begin = _first_transaction(database)
    for _ in range(2):
        assert _kind(database.killed_at(begin + 4, BEFORE)) == "begin"
    assert database.version() == 2
    database.fill(1)
    with database.session() as reader:
        reader.stdin.write("BEGIN; SELECT 'holds it', count(*) FROM registry.rule;\n")
        reader.stdin.flush()
        assert reader.stdout.readline().startswith("holds it")
        database.gate.hold(0, BEFORE)
        killed = database.begin()
        assert database.sql(READ_BEHIND_WAITER) == "0"
        killed.kill()
        killed.communicate()
        child = database.begin()
        for _ in range(3):
            assert database.sql(READ_BEHIND_WAITER) == "0"
        assert child.poll() is None and database.version() == 2
        reader.stdin.close()
        reader.wait(60)
    end(child)
    assert database.version() == clean.newest
    assert clean.dump() == database.dump()
