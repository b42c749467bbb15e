"""Dead letters and their replay through the whole system."""
import json

import grpc
import pytest

from http_device import HttpDevice
from millrace_lab import eventually

STORED, PARTLY = 3, 4
TIME = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.fixture
def sender(lab, request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]
    return HttpDevice(lab, name, lab.create_device(name)), name


def _letter_of(lab, source):
    token = ""
    while True:
        page = lab.query("ListDeadLetters", page_size=1000, page_token=token)
        for letter in page.dead_letters:
            if letter.source == source:
                return letter
        token = page.next_page_token
        if not token:
            return None


def test_a_point_that_could_not_be_stored_is_replayed_once(lab, run_program, sender):
    device, name = sender
    lab.sql("ALTER TABLE storage.sample ADD CONSTRAINT no_666 CHECK (value <> 666) NOT VALID")
    try:
        source = device.send({"ts": TIME, "good": 1, "bad": 666})
        eventually(lambda: lab.query("GetReceipt", receipt=source).state == PARTLY, 60, "one point to be dead")
        letter = eventually(lambda: _letter_of(lab, source), 60, "the dead letter")
    finally:
        lab.sql("ALTER TABLE storage.sample DROP CONSTRAINT no_666")
    again = json.loads(run_program("millrace", "dead", "replay", letter.receipt, "--json").stdout)["receipt"]
    eventually(lambda: lab.query("GetReceipt", receipt=again).state == STORED, 60, "the replay to be stored")
    assert lab.query("GetReceipt", receipt=source).state == STORED
    bad = lab.range_samples(name, "bad", TIME * 1_000_000, TIME * 1_000_000 + 1)
    assert [sample.value.int_value or sample.value.double_value for sample in bad] == [666]
    failed = run_program("millrace", "dead", "replay", letter.receipt, check=False)
    assert failed.returncode == 1 and f"replayed by {again}" in failed.stderr
    assert len(lab.range_samples(name, "bad", 0, 2**52)) == 1


def test_the_command_line_lists_the_oldest_or_the_newest_dead_letters(lab, run_program, sender):
    device, _ = sender
    device.send({"a": 1})  # the gateway knows the device
    receipts = [device.post(b"{")[2]["receipt"] for _ in range(3)]

    def listed(*options):
        listing = run_program("millrace", "dead", "list", *options)
        return listing.stderr, [letter["receipt"] for letter in json.loads(listing.stdout)]
    said, newest = listed("--newest", "--limit", "2", "--json")
    assert newest == receipts[1:] and not said
    said, oldest = listed("--limit", "2", "--json")
    assert len(oldest) == 2 and oldest != newest and "--newest" in said
    table = run_program("millrace", "dead", "list", "--newest", "--limit", "1").stdout
    assert receipts[2] in table and receipts[1] not in table


def test_a_refused_payload_and_what_is_not_there_are_not_replayed(lab, sender):
    device, _ = sender
    status, _ = device.post(b"{", {"Content-Type": "application/json"})[:2]
    assert status == 400
    refused = eventually(lambda: [letter for letter in lab.query("ListDeadLetters", page_size=1000).dead_letters
                                  if not letter.source and letter.payload == b"{"], 60, "the refused payload")[-1]
    with pytest.raises(grpc.RpcError) as failed:
        lab.registry("ReplayDeadLetter", receipt=refused.receipt)
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    for receipt, code in (("dead:0:1000000", grpc.StatusCode.NOT_FOUND), ("dead:99:0", grpc.StatusCode.NOT_FOUND),
                          ("3:4", grpc.StatusCode.INVALID_ARGUMENT)):
        with pytest.raises(grpc.RpcError) as failed:
            lab.registry("ReplayDeadLetter", receipt=receipt)
        assert failed.value.code() == code, receipt


def test_a_refused_payload_is_corrected_once(lab, run_program, sender):
    device, name = sender
    receipt = device.post(b'{"a": 21,5}')[2]["receipt"]
    wrong = run_program("millrace", "dead", "fix", receipt, "-", stdin='{"a": }', check=False)
    assert wrong.returncode == 1 and "the corrected payload: " in wrong.stderr
    fixed = run_program("millrace", "dead", "fix", receipt, "-", "--json", stdin='{"a": 21.5}')
    stored = json.loads(fixed.stdout)["receipt"]
    eventually(lambda: lab.query("GetReceipt", receipt=stored).state == STORED, 60, "the correction to be stored")
    again = run_program("millrace", "dead", "fix", receipt, "-", stdin='{"a": 22}', check=False)
    assert again.returncode == 1 and f"corrected by {stored}" in again.stderr
    [sample] = lab.range_samples(name, "a", 0, 2**52)
    assert sample.value.double_value == 21.5


def test_what_can_never_be_stored_as_it_is_is_corrected(lab, run_program, sender):
    device, name = sender
    lab.sql("ALTER TABLE storage.sample ADD CONSTRAINT no_667 CHECK (value <> 667) NOT VALID")
    try:
        source = device.send({"ts": TIME, "bad": 667})
        letter = eventually(lambda: _letter_of(lab, source), 60, "the dead letter")
        stored = json.loads(run_program("millrace", "dead", "fix", letter.receipt, "-", "--json",
                                        stdin=json.dumps({"ts": TIME, "bad": 66.7})).stdout)["receipt"]
        eventually(lambda: lab.query("GetReceipt", receipt=stored).state == STORED, 60, "the correction to be stored")
    finally:
        lab.sql("ALTER TABLE storage.sample DROP CONSTRAINT no_667")
    assert lab.query("GetReceipt", receipt=source).state == STORED
    [sample] = lab.range_samples(name, "bad", 0, 2**52)
    assert sample.value.double_value == 66.7
    said = run_program("millrace", "dead", "replay", "--all", "--device", name, "--json").stdout
    assert json.loads(said) == {"replayed": 0, "skipped": 1}


def test_another_tenant_and_a_viewer_may_not_replay(lab, run_program, sender):
    made = json.loads(run_program("millrace", "key", "create", "--role", "viewer", "--json").stdout)
    viewer = next(value for value in made.values() if isinstance(value, str) and value.startswith("mk_"))
    with pytest.raises(grpc.RpcError) as failed:
        lab.registry("ReplayDeadLetter", key=viewer, receipt="dead:0:0")
    assert failed.value.code() == grpc.StatusCode.PERMISSION_DENIED
