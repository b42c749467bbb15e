"""The ledger: what gateways acknowledged, what is in the log, and what the writer made of it, against log and table."""
import json
import secrets
import time

import grpc
import pytest

import ledger
from http_device import HttpDevice
from millrace_lab import eventually, now_us

TIME = int(time.time()) - 3600  # of a day that is not compacted while it is counted
HOUR_US = 3_600_000_000


@pytest.fixture
def device(lab):
    name = f"ledger-{secrets.token_hex(5)}"
    return name, HttpDevice(lab, name, lab.create_device(name))


def settled(lab, begin):
    """The sums of the last two hours, when nothing is pending and the gateways have said all that they acknowledged: they do so
    once a second."""
    seen = [None]

    def same_again():
        before, seen[0] = seen[0], ledger.sums(lab, begin)
        return seen[0] == before and seen[0].pending == 0
    eventually(same_again, 90, "the ledger to be settled", interval=2.5)
    return seen[0]


def test_the_sums_are_those_of_the_log_and_of_the_table(lab, run_program, device):
    name, http = device
    begin = now_us() - HOUR_US
    before = settled(lab, begin)
    then = ledger.state(lab)
    said = {"Idempotency-Key": name}
    for number in range(20):
        http.send({"ts": TIME + number, f"{name}-a": number, f"{name}-b": number})
    eventually(lambda: ledger.sums(lab, begin).records == before.records + 20, 60, "20 records to be accounted for")
    http.send({"ts": TIME, f"{name}-a": 100})  # another value for a stored time
    http.send({"ts": TIME, f"{name}-b": 0})  # the same again
    http.send({"ts": TIME + 50, f"{name}-a": 1}, said)
    http.send({"ts": TIME + 50, f"{name}-a": 1}, said)  # a copy
    eventually(lambda: ledger.sums(lab, begin).records == before.records + 24, 60, "24 records to be accounted for")
    after = settled(lab, begin)
    grown = {field: getattr(after, field) - getattr(before, field) for field in after._fields}
    assert grown == {"acknowledged": 24, "in_log": 24, "records": 24, "copies": 1, "dead_records": 0, "points": 43, "inserted": 41,
                     "replaced": 1, "dead_points": 0, "pending": 0, "missing": 0}
    ledger.check(lab, then)
    shown = run_program("millrace", "--api-key", lab.stack.settings.kept("platform_key"), "ledger", "--from", "1h", "--json")
    assert json.loads(shown.stdout)["missing"] == 0

    of_device = json.loads(run_program("millrace", "ledger", "--device", name, "--from", "1h", "--json").stdout)
    assert {key: of_device[key] for key in ("in_log", "stored", "copies", "pending", "points", "dead_points")} == {
        "in_log": 24, "stored": 23, "copies": 1, "pending": 0, "points": 43, "dead_points": 0}


def test_a_dead_letter_is_accounted_for_and_not_missing(lab, device):
    name, http = device
    begin = now_us() - HOUR_US
    before = settled(lab, begin)
    lab.sql("ALTER TABLE storage.sample ADD CONSTRAINT no_667 CHECK (value <> 667) NOT VALID")
    try:
        source = http.send({"ts": TIME, f"{name}-good": 1, f"{name}-bad": 667})
        eventually(lambda: lab.query("GetReceipt", receipt=source).state == 4, 60, "one point to be dead")
    finally:
        lab.sql("ALTER TABLE storage.sample DROP CONSTRAINT no_667")
    after = settled(lab, begin)
    assert (after.points - before.points, after.inserted - before.inserted, after.dead_points - before.dead_points) == (2, 1, 1)
    assert after.missing == 0
    found = lab.query("GetLedger", device=name, from_us=begin, to_us=now_us()).device
    assert (found.in_log, found.stored, found.dead_points) == (1, 1, 1)


def test_sums_over_tenants_are_for_the_platform_and_a_device_for_its_tenant(lab, device):
    name, http = device
    http.send({"ts": TIME, "x": 1})
    begin, end = now_us() - HOUR_US, now_us() + HOUR_US
    with pytest.raises(grpc.RpcError) as refused:
        lab.query("GetLedger", from_us=begin, to_us=end)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED and "platform" in refused.value.details()
    assert lab.query("GetLedger", device=name, from_us=begin, to_us=end).device.in_log == 1
    tenant = f"lt-{secrets.token_hex(4)}"
    platform = lab.stack.settings.kept("platform_key")
    lab.registry("CreateTenant", platform, tenant=tenant)
    key = lab.registry("CreateApiKey", platform, tenant=tenant, role=1).key

    def with_other_key():
        try:
            lab.query("GetLedger", key=key, device=name, from_us=begin, to_us=end)
        except grpc.RpcError as error:
            return error.code()
        return None
    eventually(lambda: with_other_key() == grpc.StatusCode.NOT_FOUND, 60, "another tenant's key to see no such device")


def test_pages_of_hours_are_the_whole(lab, device):
    _, http = device
    http.send({"ts": TIME, "x": 1})
    begin = now_us() - HOUR_US
    settled(lab, begin)
    end = now_us() + HOUR_US
    key = lab.stack.settings.kept("platform_key")
    whole = lab.query("GetLedger", key, from_us=begin, to_us=end).hours
    assert whole
    pages, token = [], ""
    while True:
        page = lab.query("GetLedger", key, from_us=begin, to_us=end, page_size=1, page_token=token)
        pages.extend((hour.hour_us, hour.partition) for hour in page.hours)
        token = page.next_page_token
        if not token:
            break
    assert pages == [(hour.hour_us, hour.partition) for hour in whole]


def test_refused_payloads_are_counted_apart(lab, run_program, device):
    _, http = device
    http.send({"a": 1})  # the gateway knows the device

    def refused():
        shown = run_program("millrace", "--api-key", lab.stack.settings.kept("platform_key"), "ledger", "--from", "2h", "--json")
        return json.loads(shown.stdout)["refused"]
    before = refused()
    for _ in range(3):
        assert http.post(b"{")[0] == 400
    eventually(lambda: refused() == before + 3, 60, "three refused payloads in the ledger")
