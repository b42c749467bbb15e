"""The breaks that the delivery contract promises to survive, each done on purpose; the database is asked afterwards."""
import os
import shutil
import signal
import struct
import subprocess
import threading

import pytest

from http_device import HttpDevice
from millrace_lab import eventually

PENDING, STORED, LOST, EXPIRED = 2, 3, 7, 8
KAFKA_AWAY = {"kafka", "Kafka", "broker"}
DATABASE_AWAY = {"database", "PostgreSQL", "connection", "transaction"}


@pytest.fixture
def device(lab, request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]
    return name, lab.create_device(name)


def _state(lab, receipt):
    return lab.query("GetReceipt", receipt=receipt).state


def _stored(lab, receipt):
    eventually(lambda: _state(lab, receipt) == STORED, 120, f"{receipt} to be stored")


def _counted(lab, device, metric="n"):
    """(rows, different values) of one series in the database."""
    rows = lab.sql(f"""
        SELECT count(*), count(DISTINCT s.value) FROM storage.point s
        JOIN storage.metric m ON m.id = s.metric AND m.name = '{metric}'
        JOIN registry.device d ON d.device_key = s.device_id AND d.device = '{device}'""")
    return int(rows[0][0]), int(rows[0][1])


def _cut(log_file, records):
    """Removes so many records from the end of a segment. The records of this test are a batch each."""
    data = log_file.read_bytes()
    starts, at = [], 0
    while at + 12 <= len(data):
        offset, length = struct.unpack_from(">qi", data, at)
        if length <= 0:
            break
        starts.append(at)
        at += 12 + length
    assert len(starts) > records, f"{log_file} has {len(starts)} batches"
    with open(log_file, "r+b") as file:
        file.truncate(starts[-records])
    return offset + 1 - records


def test_a_log_that_was_cut_stops_its_partition_until_an_operator_decides(lab, device):
    """1,000 records are cut off a stopped broker's log, then 2,000 are produced: none of them is taken for one of those."""
    lab.allowed_errors |= KAFKA_AWAY | {"partition stopped"}
    name, token = device
    sender = HttpDevice(lab, name, token)
    receipts = [sender.send({"n": number}) for number in range(3000)]
    partition, last = map(int, receipts[-1].split(":"))
    first = last - 2999
    _stored(lab, receipts[-1])

    lab.kill("kafka")
    folder = lab.folder / "kafka" / "data" / f"millrace.telemetry-{partition}"
    segments = sorted(folder.glob("*.log"))
    end = _cut(segments[-1], 1000)
    for pattern in ("*.index", "*.timeindex", "*.snapshot"):
        for file in folder.glob(pattern):
            file.unlink()
    lab.restart("kafka")
    eventually(lambda: lab.member("protocol-gateway").ready(), 120, "the gateway to be ready again")
    sender.close()
    after = [sender.send({"n": 3000 + number}, {"Idempotency-Key": f"after-{number}"}) for number in range(2000)]
    assert int(after[-1].split(":")[1]) < last + 1500, "the log was not cut"

    shown = eventually(lambda: _refused_log(lab), 120, "the writer to stop the partition")
    assert "millrace admin log" in shown
    assert _counted(lab, name) == (3000, 3000), "something of the other log was taken"
    # Another partition goes on.
    other, number = None, 0
    while other is None or other.split(":")[0] == str(partition):
        number += 1
        neighbour = f"{name[:40]}-{number}"
        other = HttpDevice(lab, neighbour, lab.create_device(neighbour)).send({"n": 1})
    _stored(lab, other)

    looked = _millrace(lab, "admin", "log")
    assert looked.returncode == 1 and f"millrace admin log --partition {partition}" in looked.stdout, looked
    decided = _millrace(lab, "admin", "log", "--partition", partition, "--accept", "a test cut it")
    assert decided.returncode == 0, decided
    eventually(lambda: _counted(lab, name) == (5000, 5000), 120, "the records of the new generation")
    assert _millrace(lab, "admin", "log").returncode == 0
    eventually(lambda: lab.member("stream-processing").ready(), 60, "stream-processing to take the new generation")
    assert lab.metrics("stream-processing", "millrace_stream_stopped_partitions") == 0

    assert _state(lab, receipts[0]) == STORED and end > first
    cut_off = lab.query("GetReceipt", receipt=receipts[-1])
    assert cut_off.state == EXPIRED and "a test cut it" in cut_off.reason, cut_off
    assert _state(lab, f"{partition}:{last + 1}") == LOST
    now = eventually(lambda: _of_generation(sender.send({"n": 5000}), 1), 60, "a receipt of the new generation")
    _stored(lab, now)


def _of_generation(receipt, generation):
    return receipt if receipt.endswith(f".{generation}") else None


def _refused_log(lab):
    """The writer's log check while it refuses."""
    ready, text = lab.readyz("storage-writer")
    return text if not ready and "admin log" in text else None


def _millrace(lab, *arguments):
    return subprocess.run([str(lab.binaries / "millrace"), *map(str, arguments)], env=lab.environment, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False)


@pytest.mark.usefixtures("exact_ledger")
def test_kafka_hung_past_the_deadline_is_unknown_and_the_repeat_is_one_row(lab, device):
    lab.allowed_errors |= KAFKA_AWAY
    name, token = device
    sender = HttpDevice(lab, name, token)
    _stored(lab, sender.send({"n": 0}))
    lab.kill("kafka", signal.SIGSTOP)
    try:
        # Produced, no report: unknown. Later ones are not even taken.
        status, _, body = sender.post({"n": 1}, {"Idempotency-Key": "hung"})
        assert status == 504 and body["outcome"] == "unknown", (status, body)
        status, headers, _ = sender.post({"n": 2}, {"Idempotency-Key": "later"})
        assert status == 503 and int(headers["Retry-After"]) > 0
    finally:
        lab.kill("kafka", signal.SIGCONT)
    eventually(lambda: lab.member("protocol-gateway").ready(), 120, "the gateway to be ready again")
    _stored(lab, sender.send({"n": 1}, {"Idempotency-Key": "hung"}))
    _stored(lab, sender.send({"n": 3}))
    assert _counted(lab, name) == (3, 3), "0, 1 and 3, each once"


@pytest.mark.usefixtures("exact_ledger")
def test_a_hung_gateway_that_wakes_up_repeats_nothing(lab, device):
    """The device gives up on it after 20 s and goes to another gateway with the same message id."""
    name, token = device
    hung = HttpDevice(lab, name, token)
    _stored(lab, hung.send({"n": 0}))
    other = lab.add_service("protocol-gateway", "protocol-gateway-2")
    try:
        other.wait_ready()
        lab.kill("protocol-gateway", signal.SIGSTOP)
        answers = []
        # Its bytes wait in the sleeping gateway's socket.
        waiting = threading.Thread(target=lambda: answers.append(hung.post({"n": 1}, {"Idempotency-Key": "one"})))
        waiting.start()
        waiting.join(20)
        assert waiting.is_alive(), "a gateway that hangs has answered"
        second = HttpDevice(lab, name, token, address=f"127.0.0.1:{other.ports['http']}")
        receipt = second.send({"n": 1}, {"Idempotency-Key": "one"})
        lab.kill("protocol-gateway", signal.SIGCONT)
        waiting.join(60)
        assert answers and answers[0][0] == 202, answers
        late = answers[0][2]["receipt"]
        _stored(lab, late)
        repeated = lab.query("GetReceipt", receipt=late)
        assert repeated.original == receipt, (late, repeated, receipt, lab.query("GetReceipt", receipt=receipt))
        _stored(lab, second.send({"n": 2}))
        assert _counted(lab, name) == (3, 3)
    finally:
        lab.kill("protocol-gateway", signal.SIGCONT)
        other.stop()


@pytest.mark.usefixtures("exact_ledger")
def test_a_database_restored_from_an_old_backup_gets_the_rest_from_the_log(lab, device):
    """Registry and store go back to the backup; what was acknowledged since then is stored again, each message once, and
    no device key is given twice."""
    lab.allowed_errors |= DATABASE_AWAY
    name, token = device
    sender = HttpDevice(lab, name, token)
    for number in range(200):
        receipt = sender.send({"n": number} if number % 2 else {"n": number, "ts": 1_700_000_000 + number})
    _stored(lab, receipt)
    data = lab.folder / "postgres" / "data"
    backup = lab.folder / "backup"
    users = ["storage-writer", "query-api", "device-registry"]
    _stop(lab, *users, "postgres")
    shutil.copytree(data, backup, copy_function=shutil.copy2)
    for member in ("postgres", "device-registry", "storage-writer", "query-api"):
        lab.restart(member)
    late_name = name[:50] + "-late"
    late = HttpDevice(lab, late_name, lab.create_device(late_name))
    for number in range(200, 400):
        receipt = sender.send({"n": number} if number % 2 else {"n": number, "ts": 1_700_000_000 + number})
    late_receipt = late.send({"n": 1})
    _stored(lab, receipt)
    _stored(lab, late_receipt)
    late_key = int(lab.sql(f"SELECT device_key FROM registry.device WHERE device = '{late_name}'")[0][0])

    _stop(lab, *users, "postgres")
    shutil.rmtree(data)
    backup.rename(data)
    _own(data)
    for member in ("postgres", "device-registry", "storage-writer", "query-api"):
        lab.restart(member)
    eventually(lambda: _counted(lab, name) == (400, 400), 120, "the messages since the backup")
    _stored(lab, receipt)
    rows = lab.sql(f"SELECT count(*) FROM storage.point WHERE device_id = {late_key}")
    assert rows == [["1"]], "the device that the restored registry does not know has lost its reading"
    newest = name[:50] + "-new"
    lab.create_device(newest)
    new_key = int(lab.sql(f"SELECT device_key FROM registry.device WHERE device = '{newest}'")[0][0])
    assert new_key > late_key, "a device key was given twice"


def _stop(lab, *members):
    for member in members:
        lab.member(member).stop()


def _own(folder):
    """The user that PostgreSQL runs as owns its files, as before."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "postgres:postgres", str(folder)], check=True)
