"""Reading back: who may see what, buckets, pages, the live tail, and the program for people."""
import csv
import io
import json
import subprocess
import threading

import grpc
import pytest

from http_device import HttpDevice
from millrace_lab import eventually
from millrace_dev import system

MINUTE = 60_000_000
BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


def _stored(lab, receipt):
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, f"{receipt} to be stored")


@pytest.fixture
def series(lab, request):
    """A device with 600 readings, one a second, value = number of the second."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]
    token = lab.create_device(name)
    sender = HttpDevice(lab, name, token)
    receipt = sender.send([{"ts": BEGIN // 1_000_000 + second, "value": second} for second in range(600)])
    _stored(lab, receipt)
    return name, token


@pytest.fixture
def other_tenant(lab):
    """An admin key of another tenant, made beside the first."""
    settings = lab.stack.settings
    if not settings.kept("other_key"):
        settings.keep("other_key", system.make_tenant(lab.stack, "other"))
    return settings.kept("other_key")


def test_pages_hold_every_point_once_and_in_order(lab, series):
    name, _ = series
    found, token, pages = [], "", 0
    while True:
        page = lab.query("Range", device=name, metric="value", from_us=BEGIN, to_us=BEGIN + 10 * MINUTE, page_size=77,
                         page_token=token)
        found += [sample.time_us for sample in page.samples]
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert pages == 8
    assert found == [BEGIN + second * 1_000_000 for second in range(600)]


def test_buckets_hold_count_minimum_maximum_and_mean(lab, series):
    name, _ = series
    answer = lab.query("Range", device=name, metric="value", from_us=BEGIN, to_us=BEGIN + 10 * MINUTE, step_us=MINUTE)
    assert [bucket.time_us for bucket in answer.buckets] == [BEGIN + minute * MINUTE for minute in range(10)]
    for minute, bucket in enumerate(answer.buckets):
        assert (bucket.count, bucket.min, bucket.max) == (60, minute * 60, minute * 60 + 59)
        assert bucket.mean == pytest.approx(minute * 60 + 29.5)


def test_latest_is_the_newest_value(lab, series):
    name, token = series
    receipt = HttpDevice(lab, name, token).send({"ts": BEGIN // 1_000_000 - 60, "value": -1, "fresh": 5})
    _stored(lab, receipt)

    def latest():
        return {entry.metric: entry for entry in lab.query("Latest", device=name).entries}
    eventually(lambda: "fresh" in latest(), 30, "the new metric in Latest")
    assert latest()["value"].time_us == BEGIN + 599 * 1_000_000


def test_tail_shows_readings_as_they_come(lab, series):
    import protos
    name, token = series
    pb = protos.query()
    call = grpc.insecure_channel(lab.stack.settings.address("query")).unary_stream(
        "/millrace.query.v1.QueryService/Tail", request_serializer=pb.TailRequest.SerializeToString,
        response_deserializer=pb.TailResponse.FromString)
    stream = call(pb.TailRequest(devices=[name]), metadata=(("authorization", f"Bearer {lab.api_key}"),), timeout=120)
    seen, stop = [], threading.Event()

    def read():
        try:
            for answer in stream:
                seen.extend(reading.value.int_value for reading in answer.readings if reading.metric == "live")
                if 1 in seen:
                    stop.set()
                    return
        except grpc.RpcError:
            stop.set()
    thread = threading.Thread(target=read)
    thread.start()
    sender = HttpDevice(lab, name, token)
    # The tail begins somewhere after the call: send until it has been seen.
    eventually(lambda: stop.is_set() or (sender.send({"live": 1}) and False), 60, "the reading in the tail", interval=0.2)
    stream.cancel()
    thread.join()
    assert seen and set(seen) == {1}


def test_a_key_sees_its_tenant_only(lab, series, other_tenant):
    name, token = series
    with_own = lab.query("Range", device=name, metric="value", from_us=BEGIN, to_us=BEGIN + 10 * MINUTE)
    assert with_own.samples
    assert _nothing(lambda: lab.query("Range", other_tenant, device=name, metric="value", from_us=BEGIN,
                                      to_us=BEGIN + 10 * MINUTE).samples)
    assert _nothing(lambda: lab.query("Latest", other_tenant, device=name).entries)
    receipt = HttpDevice(lab, name, token).send({"a": 1})
    _stored(lab, receipt)
    assert lab.query("GetReceipt", other_tenant, receipt=receipt).state == 1
    with pytest.raises(grpc.RpcError) as refused:
        lab.query("Latest", other_tenant, tenant="demo", device=name)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.RpcError):
        lab.registry("DeleteDevice", other_tenant, tenant="demo", device=name)


def _nothing(call):
    """The answer is empty, or says that there is no such thing."""
    try:
        return len(call()) == 0
    except grpc.RpcError as error:
        return error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED)


def test_no_key_a_wrong_key_and_a_weak_role_are_refused(lab, series):
    name, _ = series
    for key in ("mk_nobody_nothing", "nonsense"):
        with pytest.raises(grpc.RpcError) as refused:
            lab.query("Latest", key, device=name)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    viewer = lab.registry("CreateApiKey", role=1, description="wall display").key

    def may_read():
        try:
            return lab.query("Latest", viewer, device=name).entries
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            return False
    eventually(may_read, 30, "the new key to be known to query-api")
    with pytest.raises(grpc.RpcError) as refused:
        lab.registry("CreateDevice", viewer, device="not-allowed")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_a_deleted_device_is_refused_within_seconds(lab, series):
    name, token = series
    sender = HttpDevice(lab, name, token)
    sender.send({"a": 1})
    lab.registry("DeleteDevice", device=name)
    eventually(lambda: sender.post({"a": 2})[0] == 401, 30, "the gateway to refuse the device")


def test_the_command_line_prints_the_forms_that_scripts_rely_on(lab, run_program):
    created = json.loads(run_program("millrace", "device", "create", "cli-1", "--json").stdout)
    assert set(created) == {"device", "token"} and created["device"] == "cli-1"
    receipt = HttpDevice(lab, "cli-1", created["token"]).send([
        {"ts": "2026-01-01T00:00:00Z", "power": 0.1}, {"ts": "2026-01-01T00:00:00.000001Z", "power": 1e300}])
    _stored(lab, receipt)
    answer = json.loads(run_program("millrace", "receipt", receipt, "--json").stdout)
    assert {"receipt": receipt, "state": "stored"}.items() <= answer.items() and "reason" in answer
    printed = run_program("millrace", "range", "cli-1", "power", "--from", "2026-01-01T00:00:00Z", "--to",
                          "2026-01-02T00:00:00Z", "--format", "csv").stdout
    rows = [row for row in csv.reader(io.StringIO(printed)) if row and not row[0].startswith("time")]
    assert [(row[0], float(row[1])) for row in rows] == [("2026-01-01T00:00:00Z", 0.1),
                                                         ("2026-01-01T00:00:00.000001Z", 1e300)]
    assert "cli-1" in run_program("millrace", "device", "list").stdout
    assert run_program("millrace", "device", "show", "no-such-device", check=False).returncode == 1
    assert run_program("millrace", "nonsense", check=False).returncode == 2


def test_topics_are_created_once_and_differences_are_shown(lab, run_program):
    before = run_program("millrace", "admin", "topics").stdout
    again = run_program("millrace", "admin", "topics").stdout
    assert "telemetry" in before and before == again


def test_grpcurl_finds_the_services_by_reflection(lab, series):
    name, _ = series
    grpcurl = lab.layout.tools / "bin" / "grpcurl"
    address = lab.stack.settings.address("query")
    listed = subprocess.run([grpcurl, "-plaintext", address, "list"], capture_output=True, text=True, check=True).stdout
    assert "millrace.query.v1.QueryService" in listed and "grpc.health.v1.Health" in listed

    def entries():
        answer = subprocess.run([grpcurl, "-plaintext", "-H", f"authorization: Bearer {lab.api_key}", "-d",
                                 json.dumps({"device": name}), address, "millrace.query.v1.QueryService/Latest"],
                                capture_output=True, text=True, check=True).stdout
        return json.loads(answer).get("entries", [])
    # Latest is written about once a second.
    eventually(entries, 30, "the device's values in Latest")
    assert entries()[0]["metric"] == "value"


def test_every_program_tells_its_version_and_configuration(lab):
    for name in ("protocol-gateway", "device-registry", "storage-writer", "query-api", "notifier"):
        service = lab.stack.services[name]
        assert service.call("--version").strip()
        assert "MILLRACE_" in service.call("--help")
        printed = service.call("--print-config")
        for role in ("device_registry", "storage_writer", "query_api"):
            secret = lab.stack.settings.kept(f"database_{role}")
            assert secret not in printed
        service.call("--check-config")
    for name in ("millrace", "millrace-fleet"):
        done = subprocess.run([lab.binaries / name, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.strip()


def test_latest_of_a_device_that_never_sent_is_empty(lab):
    lab.create_device("silent-1")
    assert _nothing(lambda: lab.query("Latest", device="silent-1").entries)
    assert lab.query("GetReceipt", receipt="3:999999999").state == 1
