"""How long readings are kept: what a dry run says is what then goes, and nothing else does."""
import json
import secrets
import time
from types import SimpleNamespace

import grpc
import pytest

from http_device import HttpDevice
from millrace_lab import eventually, now_us

DAY = 86_400
PASSES = 240  # seconds in which the maintenance looks at old days at least twice


@pytest.fixture
def tenant(lab, run_program):
    """A tenant of its own with a plain device and a meter, each with readings of an old, a younger and this day."""
    name = f"kept-{secrets.token_hex(4)}"
    platform = lab.stack.settings.kept("platform_key")
    lab.registry("CreateTenant", platform, tenant=name)
    key = lab.registry("CreateApiKey", platform, tenant=name, role=3).key

    def millrace(*arguments, **options):
        return run_program("millrace", "--api-key", key, "--tenant", name, *arguments, **options)
    eventually(lambda: millrace("type", "list", check=False).returncode == 0, 60, "the key to be known")
    millrace("type", "set", "meter", "--format", "json")
    today = int(time.time()) // DAY
    days = [today - 407, today - 203, today]
    devices = {}
    for device, kind in (("plain", []), ("meter-1", ["--type", "meter"])):
        token = json.loads(millrace("device", "create", device, *kind, "--json").stdout)["token"]
        devices[device] = HttpDevice(lab, device, token, tenant=name)
    made = SimpleNamespace(name=name, key=key, millrace=millrace, days=days, devices=devices)
    for device in devices:
        for day in days:
            _store(lab, made, device, day, range(20))
    return made


def _store(lab, tenant, device, day, seconds):
    receipt = tenant.devices[device].send([{"ts": day * DAY + second, "value": second} for second in seconds])
    eventually(lambda: lab.query("GetReceipt", tenant.key, receipt=receipt).state == 3, 60, f"{receipt} to be stored")
    return receipt


def _kept(lab, tenant, device):
    """The days of which the device has readings, with how many."""
    samples = lab.range_samples(device, "value", 0, now_us() + DAY * 1_000_000, tenant.key)
    days = {}
    for sample in samples:
        days[sample.time_us // 1_000_000 // DAY] = days.get(sample.time_us // 1_000_000 // DAY, 0) + 1
    return days


def _compact(lab, day):
    name = time.strftime("%Y-%m-%d", time.gmtime(day * DAY))
    lab.sql(f"SET ROLE storage_writer; SELECT storage.close_day('{name}')")
    lab.sql(f"SET ROLE storage_writer; SELECT storage.build_some('{name}', 1000000)")
    eventually(lambda: lab.sql(f"SELECT state FROM storage.day WHERE day = '{name}'") == [["3"]]
               or int(lab.sql(f"SELECT storage.swap_day('{name}')")[0][0]) >= 0, 90, f"{name} to be compacted", interval=0.5)


def _dry_run(tenant, *arguments):
    said = tenant.millrace("retention", "dry-run", *arguments, "--json").stdout
    return [json.loads(line) for line in said.splitlines()]


def _points(losses, *tiers):
    return sum(loss[tier]["points"] for loss in losses for tier in tiers or ("hot", "compacted", "archived"))


def test_a_dry_run_says_what_then_goes(lab, tenant):
    old, younger, today = tenant.days
    _compact(lab, old)
    everything = {old: 20, younger: 20, today: 20}
    receipt = _store(lab, tenant, "plain", younger, range(20))
    assert _dry_run(tenant) == []
    both = _dry_run(tenant, "--days", "300")
    assert [(loss["type"], _points([loss], "compacted"), _points([loss])) for loss in both] == [("", 40, 40)]
    tenant.millrace("retention", "set", "--type", "meter", "--forever")
    said = _dry_run(tenant, "--days", "100")
    assert [_points([loss]) for loss in said] == [20, 20]
    assert (_points(said, "compacted"), _points(said, "hot")) == (20, 20)
    of_type = _dry_run(tenant, "--type", "meter", "--days", "300")
    assert [(loss["type"], _points([loss])) for loss in of_type] == [("meter", 20)]
    shown = tenant.millrace("retention", "dry-run", "--days", "100").stdout
    assert "40 points would go; nothing was removed" in shown
    for device in ("plain", "meter-1"):
        assert _kept(lab, tenant, device) == everything

    before = lab.metrics("storage-writer", "millrace_storage_writer_points_expired_total")
    tenant.millrace("retention", "set", "--days", "100")
    assert json.loads(tenant.millrace("retention", "show", "--json").stdout) == {
        "tenant": tenant.name, "days": 100, "types": {"meter": 0}}
    eventually(lambda: _kept(lab, tenant, "plain") == {today: 20}, PASSES, "what is over to go", interval=1)
    assert _kept(lab, tenant, "meter-1") == everything
    eventually(lambda: lab.metrics("storage-writer", "millrace_storage_writer_points_expired_total") - before == _points(said),
               60, "as many points to be counted as the dry run said")
    assert _dry_run(tenant) == []
    assert lab.query("GetReceipt", tenant.key, receipt=receipt).state == 3
    assert [entry.metric for entry in lab.query("Latest", tenant.key, device="plain").entries] == ["value"]

    # What comes late for such a day is stored and accounted for, and goes with the next pass.
    _store(lab, tenant, "plain", old, range(5))
    eventually(lambda: _kept(lab, tenant, "plain") == {today: 20}, PASSES, "the late readings to go", interval=1)
    assert _kept(lab, tenant, "meter-1") == everything


def test_only_an_admin_of_the_tenant_decides(lab, tenant, run_program):
    operator = lab.registry("CreateApiKey", tenant.key, role=2).key

    def refused(*arguments):
        return run_program("millrace", "--api-key", operator, "--tenant", tenant.name, "retention", *arguments, check=False)
    eventually(lambda: "admin" in refused("set", "--days", "10").stderr, 60, "the operator to be refused")
    assert tenant.millrace("retention", "set", "--type", "nothing", "--days", "3", check=False).returncode == 1
    assert tenant.millrace("retention", "set", "--days", "0", check=False).returncode == 2
    with pytest.raises(grpc.RpcError) as other:
        lab.query("PreviewRetention", tenant.key, tenant="demo")
    assert other.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert json.loads(tenant.millrace("retention", "show", "--json").stdout)["days"] == 0
