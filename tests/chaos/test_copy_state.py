"""storage-writer is killed again and again, anywhere between a commit and the next saved state of what tells copies apart: a
message with an id that comes again is one, however long ago its first was sent."""
import random
import secrets

import pytest

from http_device import HttpDevice
from millrace_lab import TENANT, eventually

# Nothing of the log is read again but what the saved state asks for.
FORGETFUL = {"MILLRACE_STORAGE_WRITER_COPY_WINDOW_S": "0", "MILLRACE_STORAGE_WRITER_COPY_RECORDS": "0",
             "MILLRACE_STORAGE_WRITER_COPY_STATE_INTERVAL_MS": "50"}
ROUNDS, MESSAGES = 12, 40


@pytest.fixture
def forgetful(lab):
    member = lab.member("storage-writer")
    member.extra.update(FORGETFUL)
    lab.kill("storage-writer")
    lab.restart("storage-writer")
    try:
        yield lab
    finally:
        for key in FORGETFUL:
            member.extra.pop(key)
        lab.kill("storage-writer")
        lab.restart("storage-writer")


def saved_offset(lab, partition):
    rows = lab.sql(f"SELECT coalesce(max(log_offset), 0) FROM storage.copy_state WHERE part = {partition}")
    return int(rows[0][0])


def test_an_id_is_remembered_over_every_kill(forgetful, exact_ledger):
    lab, choice = forgetful, random.Random(7)
    name = f"again-{secrets.token_hex(5)}"
    metric = f"m-{name}"
    device = HttpDevice(lab, name, lab.create_device(name))

    def send(number):
        return device.send({metric: number}, {"Idempotency-Key": f"{name}-{number}"})
    numbers, copies, receipt = 0, 0, ""
    for turn in range(ROUNDS):
        killed_at = choice.randrange(MESSAGES)
        for message in range(MESSAGES):
            if message == killed_at:
                lab.kill("storage-writer")
            if numbers and choice.random() < 0.3:
                receipt = send(choice.randrange(numbers))
                copies += 1
            else:
                receipt = send(numbers)
                numbers += 1
        lab.restart("storage-writer")
        partition, offset = map(int, receipt.split(":"))
        if turn % 2 == 0:  # in the other turns it is killed before, after or while it saves
            eventually(lambda upto=offset, part=partition: saved_offset(lab, part) > upto, 60, "the state to be saved", 0.05)
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, f"{receipt} to be stored")
    rows = lab.sql(f"""SELECT count(*), count(DISTINCT s.value) FROM storage.point s JOIN storage.metric m ON m.id = s.metric
                   WHERE m.tenant = '{TENANT}' AND m.name = '{metric}'""")
    assert [int(one) for one in rows[0]] == [numbers, numbers], f"{numbers} messages and {copies} copies were sent"
    assert lab.metrics("storage-writer", "millrace_storage_writer_copy_states_unusable_total") == 0
