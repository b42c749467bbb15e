"""Each part in turn is killed or hung while 200 devices send over three protocols, half of the messages untimed.

A run counts only if messages were in flight at the fault (load.start waits for that) and the victim worked again after
it, while the fleet was still sending.
"""
import signal
import threading
import time

import pytest

from fleet_run import written
from http_device import HttpDevice
from load import Since, rss_bytes
from millrace_lab import eventually

HANG = 20  # seconds

# What services say while a neighbour is away is expected; what they say afterwards is not.
KAFKA_AWAY = ("kafka", "Kafka", "broker")
DATABASE_AWAY = ("database", "PostgreSQL", "connection", "transaction")


def _works_again(load, victim):
    """Asks the victim for its own work."""
    lab = load.lab
    if victim == "protocol-gateway":
        before = lab.metrics(victim, "iot_messages_ingested_total")
        eventually(lambda: lab.metrics(victim, "iot_messages_ingested_total") > before, 60, "the gateway to take messages")
    elif victim == "device-registry":
        load.wait_for_registry()
        name = f"after-{load.seed:x}"
        token = lab.create_device(name)
        eventually(lambda: HttpDevice(lab, name, token).post({"a": 1})[0] == 202, 60, "a device made after the fault to send")
    elif victim == "query-api":
        assert load.wait_for_query().state != 0
    elif victim == "stream-processing":
        _processed_more(lab)
    else:  # storage-writer, kafka, postgres: the writer gets on
        before = written(lab)
        eventually(lambda: written(lab) > before, 120, "the writer to get on")


def _processed_more(lab, name="stream-processing"):
    eventually(lambda: lab.metrics(name, "millrace_stream_records_total") > 0, 120, "stream-processing to get on")


def _commits_again(lab):
    """A transaction of stream-processing that began after this call: alerts reach their readers again."""
    before = lab.metrics("stream-processing", "millrace_stream_transactions_total")
    eventually(lambda: lab.metrics("stream-processing", "millrace_stream_transactions_total") > before + 1, 120,
               "stream-processing to commit")


@pytest.mark.parametrize("victim", ["protocol-gateway", "storage-writer", "device-registry", "query-api", "stream-processing"])
def test_service_killed(load, victim):
    load.start(18)
    load.lab.kill(victim)
    since = Since()
    load.lab.restart(victim)
    _works_again(load, victim)
    load.note(victim=victim, fault="SIGKILL", back_s=round(float(since), 1))
    load.run.wait_for_more(1000)
    load.finish()


@pytest.mark.parametrize("victim", ["kafka", "postgres"])
def test_server_killed(load, victim):
    load.lab.allowed_errors |= set(KAFKA_AWAY if victim == "kafka" else DATABASE_AWAY)
    load.start(30)
    load.lab.kill(victim)
    since = Since()
    load.lab.restart(victim)
    load.run.wait_for_more(1000)
    _works_again(load, victim)
    load.note(victim=victim, fault="SIGKILL", back_s=round(float(since), 1))
    _commits_again(load.lab)
    load.note(streams_back_s=round(float(since), 1))
    load.finish()


@pytest.mark.parametrize("victim", ["kafka", "postgres"])
def test_server_hangs(load, victim):
    load.lab.allowed_errors |= set(KAFKA_AWAY if victim == "kafka" else DATABASE_AWAY)
    load.start(12 + HANG)
    load.lab.kill(victim, signal.SIGSTOP)
    time.sleep(HANG)
    load.lab.kill(victim, signal.SIGCONT)
    since = Since()
    load.run.wait_for_more(1000)
    _works_again(load, victim)
    load.note(victim=victim, fault=f"SIGSTOP {HANG} s", back_s=round(float(since), 1))
    _commits_again(load.lab)
    load.note(streams_back_s=round(float(since), 1))
    load.lab.wait_all_ready()
    load.finish()


def test_kafka_away_for_a_minute(load):
    """Memory stays bounded, nothing is acknowledged meanwhile, and everything flows again without a restart."""
    away = 60 if load.full else 25
    lab = load.lab
    lab.allowed_errors |= set(KAFKA_AWAY)
    gateway = lab.member("protocol-gateway").process.pid()
    idle = rss_bytes(gateway)
    load.start(away + 12)
    lab.member("kafka").stop()
    time.sleep(1)  # what Kafka acknowledged before its end is still on its way to the devices
    acknowledged = load.run.acknowledged()
    largest, stop = [0], threading.Event()

    def watch():
        while not stop.wait(0.2):
            largest[0] = max(largest[0], rss_bytes(gateway))
    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(away)
    meanwhile = load.run.acknowledged() - acknowledged
    refused = HttpDevice(lab, "away-device", lab.stack.settings.kept("away_token")).post({"a": 1})[0]
    lab.restart("kafka")
    since = Since()
    load.run.wait_for_more(1000)
    stop.set()
    watcher.join()
    _works_again(load, "kafka")
    limit = (idle + (256 << 20)) * 1.1
    load.note(victim="kafka", fault=f"away {away} s", back_s=round(float(since), 1), idle_mb=idle >> 20,
              largest_mb=largest[0] >> 20, acknowledged_meanwhile=meanwhile)
    load.finish()
    assert meanwhile == 0
    assert refused in (503, 504)
    assert largest[0] <= limit, f"{largest[0] >> 20} MB, allowed {int(limit) >> 20} MB"


@pytest.fixture(autouse=True)
def _device_for_the_outage(lab):
    if lab.stack.settings.kept("away_token") is None:
        lab.stack.settings.keep("away_token", lab.create_device("away-device"))


def test_two_writers_on_one_partition(load):
    """The first writer hangs, a second one takes its partitions over; the first wakes up and finds itself fenced."""
    lab = load.lab
    lab.allowed_errors |= {"fenced", "partition", "offset", "group"}
    load.start(45)
    lab.kill("storage-writer", signal.SIGSTOP)
    second = lab.add_service("storage-writer", f"storage-writer-2-{load.seed:x}")
    try:
        second.wait_ready()
        before = written(lab)
        since = Since()
        eventually(lambda: written(lab) > before + 1000, 90, "the second writer to take over")
        load.note(victim="storage-writer", fault="SIGSTOP, second writer", back_s=round(float(since), 1))
        lab.kill("storage-writer", signal.SIGCONT)
        load.run.wait_for_more(1000)
        load.finish()
    finally:
        second.stop()
    eventually(lab.member("storage-writer").ready, 120, "the first writer to be ready again")
    _works_after_handover(lab)


def _works_after_handover(lab):
    receipt = HttpDevice(lab, "away-device", lab.stack.settings.kept("away_token")).send({"a": 2})
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 120, "the first writer to write again")


# In the database itself: on a busy machine a client would come too late for most of the transactions.
KILLER = """
CREATE FUNCTION pg_temp.kill_between_copy_and_commit(wanted int, most interval) RETURNS int LANGUAGE plpgsql AS $$
DECLARE killed int := 0;
BEGIN
  WHILE killed < wanted AND clock_timestamp() < now() + most LOOP
    PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01);
    killed := killed + (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE usename = 'storage_writer' AND backend_xid IS NOT NULL AND query ILIKE 'COPY%');
  END LOOP;
  RETURN killed;
END $$;
"""


def test_database_sessions_killed_between_copy_and_commit(load):
    """A hundred times while the writer has a transaction open."""
    lab = load.lab
    lab.allowed_errors |= set(DATABASE_AWAY)
    wanted = 100 if load.full else 30
    load.start(70)
    killed = int(lab.sql(KILLER + f"SELECT pg_temp.kill_between_copy_and_commit({wanted}, interval '40 s')")[0][0])
    assert killed >= wanted / 2, f"only {killed} transactions were hit"
    since = Since()
    _works_again(load, "postgres")
    load.note(victim="storage-writer's sessions", fault=f"{killed} times between COPY and COMMIT",
              back_s=round(float(since), 1))
    load.finish()
