"""The reads over HTTP: JSON as curl sends it, gRPC-Web, what a browser is told, and the exports of the command line."""
import base64
import csv
import io
import json
import struct
import subprocess
import urllib.error
import urllib.request

import pytest

from archive_run import parquet_rows
from http_device import HttpDevice
from millrace_lab import eventually
from web_query import SERVICE, framed, post, unframed

BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.fixture(name="meter")
def _meter(lab, request):
    """A device with 600 readings, one a second, value = number of the second."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]
    sender = HttpDevice(lab, name, lab.create_device(name))
    receipt = sender.send([{"ts": BEGIN // 1_000_000 + second, "value": second} for second in range(600)])
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, f"{receipt} to be stored")
    return name


def test_curl_reads_json(lab, meter):
    address = lab.stack.settings.address("query_http")
    asked = {"device": meter, "metric": "value", "fromUs": str(BEGIN), "toUs": str(BEGIN + 600_000_000), "points": 10}
    said = subprocess.run(
        ["curl", "-sS", "--fail", "-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {lab.api_key}",
         "-d", json.dumps(asked), f"http://{address}{SERVICE}Range"], capture_output=True, text=True, check=True).stdout
    answer = json.loads(said)
    assert answer["stepUs"] == "60000000"
    assert [int(bucket["count"]) for bucket in answer["buckets"]] == [60] * 10
    assert [bucket.get("first", 0) for bucket in answer["buckets"]] == [60 * minute for minute in range(10)]


def test_json_says_what_is_wrong(lab, meter):
    status, _, body = post(lab, "Latest", {"device": "no-such-device"})
    assert (status, json.loads(body)["code"]) == (404, "not_found")
    status, headers, body = post(lab, "Latest", {"device": meter}, key="mk_nobody_nothing")
    assert (status, json.loads(body)["code"], headers["WWW-Authenticate"]) == (401, "unauthenticated", "Bearer")
    status, _, body = post(lab, "Latest", b"{")
    assert (status, json.loads(body)["code"]) == (400, "invalid_argument")
    status, headers, _ = post(lab, "Tail", {})
    assert status == 415 and "application/connect+json" in headers["Accept-Post"]
    assert post(lab, "Nothing", {})[0] == 404
    status, headers, _ = post(lab, "Latest", b"x", Content_Type="text/plain")
    assert status == 415 and "application/json" in headers["Accept-Post"]
    assert post(lab, "Latest", b" " * 1_000_000)[0] == 413
    status, _, body = post(lab, "Latest", {"device": meter}, Connect_Timeout_Ms="nonsense")
    assert (status, json.loads(body)["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize("form, body", [("application/json", b"{}"), ("application/grpc-web+proto", b"\0\0\0\0\0"),
                                        ("application/connect+json", b"\0\0\0\0\2{}")])
def test_a_key_with_other_bytes_than_ascii_is_refused(lab, form, body):
    pid = lab.member("query-api").process.pid()
    for key in ("mk_\xff", "mk_a\tb"):
        status, _, said = post(lab, "Tail" if "connect" in form else "Latest", body, key=key, Content_Type=form)
        assert status == 401 or b"unauthenticated" in said or b"grpc-status:16" in said, (status, said)
    assert post(lab, "Latest", {})[0] == 200
    assert lab.member("query-api").process.pid() == pid


def test_a_message_that_is_none_is_refused_without_a_word_in_the_log(lab):
    no_text = b"\x12\x02\xff\xfe"  # the field `device`
    assert post(lab, "Latest", no_text, Content_Type="application/proto")[0] >= 400
    assert not lab.error_lines(), "a library's own words"


def test_grpc_web_frames_hold_message_and_trailers(lab, meter):
    import protos
    pb = protos.query()
    asked = framed(pb.RangeRequest(device=meter, metric="value", from_us=BEGIN, to_us=BEGIN + 3_000_000))
    for content_type, encode, decode in (
            ("application/grpc-web+proto", bytes, bytes),
            ("application/grpc-web-text", base64.b64encode, base64.b64decode)):
        status, headers, body = post(lab, "Range", encode(asked), Content_Type=content_type)
        assert status == 200 and headers["Content-Type"].startswith(content_type)
        answer, trailers = unframed(decode(body), pb.RangeResponse)
        assert [sample.value.int_value for sample in answer.samples] == [0, 1, 2]
        assert b"grpc-status:0\r\n" in trailers
    status, _, body = post(lab, "Range", asked, key="mk_nobody_nothing", Content_Type="application/grpc-web")
    assert status == 200 and body[0] == 0x80 and b"grpc-status:16\r\n" in body


def _frames(read):
    """(flags, JSON) of each message of Connect's streaming form."""
    while head := read(5):
        flags, size = struct.unpack(">BI", head)
        yield flags, json.loads(read(size))


def test_curl_follows_readings_as_json(lab):
    address = lab.stack.settings.address("query_http")
    sender = HttpDevice(lab, "curl-follows", lab.create_device("curl-follows"))
    asked = json.dumps({"devices": ["curl-follows"]}).encode()
    curl = subprocess.Popen(
        ["curl", "-sSN", "--fail", "-H", "Content-Type: application/connect+json", "-H", f"Authorization: Bearer {lab.api_key}",
         "-D", "-", "--data-binary", "@-", f"http://{address}{SERVICE}Tail"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with curl:
        curl.stdin.write(struct.pack(">BI", 0, len(asked)) + asked)
        curl.stdin.close()
        # The head comes when the tail is live.
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = curl.stdout.read(1)
            assert byte, head
            head += byte
        assert b" 200 " in head and b"application/connect+json" in head
        frames = _frames(curl.stdout.read)
        for value in range(3):
            sender.send({"live": value})
            flags, message = next(frames)
            assert flags == 0
            assert [(one["metric"], one["value"]["intValue"]) for one in message["readings"]] == [("live", str(value))]
        curl.kill()
    eventually(lambda: lab.metrics("query-api", "millrace_query_tail_readers") == 0, 60, "the tail to end with its client")


def test_a_stream_ends_with_its_deadline_and_says_so(lab):
    for kind, wanted in (("application/connect+json", b"deadline_exceeded"), ("application/grpc-web", b"grpc-status:4")):
        limit = {"Connect_Timeout_Ms": "300"} if "connect" in kind else {"grpc_timeout": "300m"}
        message = b"{}" if "json" in kind else b""
        status, headers, body = post(lab, "Tail", struct.pack(">BI", 0, len(message)) + message, Content_Type=kind, **limit)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        assert wanted in body


def _exported_as_grpc_web_text(lab, meter, **fields):
    import protos
    pb = protos.query()
    asked = framed(pb.ExportRequest(devices=[meter], from_us=BEGIN, to_us=BEGIN + 600_000_000, **fields))
    status, _, body = post(lab, "Export", base64.b64encode(asked), Content_Type="application/grpc-web-text")
    assert status == 200
    # Each piece is padded by itself.
    body = b"".join(base64.b64decode(part + b"==="[:-len(part) % 4]) for part in body.replace(b"=", b" ").split())
    file, at = b"", 0
    while body[at] == 0:
        size = struct.unpack(">I", body[at + 1:at + 5])[0]
        file += pb.ExportResponse.FromString(body[at + 5:at + 5 + size]).data
        at += 5 + size
    assert body[at] == 0x80 and b"grpc-status:0\r\n" in body[at:]
    return file


def test_an_export_comes_as_grpc_web_text(lab, meter):
    assert _exported_as_grpc_web_text(lab, meter).count(b"\r\n") == 601


@pytest.mark.usefixtures("parquet_worker")
def test_an_export_as_parquet_comes_as_grpc_web_text(lab, meter, tmp_path):
    file = tmp_path / "web.parquet"
    file.write_bytes(_exported_as_grpc_web_text(lab, meter, format=2))
    assert parquet_rows([file], "epoch_us(time)", "value_int") == [[BEGIN + second * 1_000_000, second] for second in range(600)]


def test_a_page_of_another_origin_is_not_let_in_unless_it_is_listed(lab):
    url = f"http://{lab.stack.settings.address('query_http')}{SERVICE}Latest"
    asked = urllib.request.Request(url, method="OPTIONS", headers={
        "Origin": "https://board.example", "Access-Control-Request-Method": "POST"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=60)
    assert refused.value.code == 403
    status, headers, _ = post(lab, "ListDeadLetters", {}, Origin="https://board.example")
    assert status == 200 and headers["Access-Control-Allow-Origin"] is None


def test_an_export_holds_every_point_of_the_range(lab, meter, run_program, tmp_path):
    file = tmp_path / "day.csv"
    run_program("millrace", "export", meter, "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:05:00Z", "--output",
                str(file))
    with open(file, newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    assert [int(row["value"]) for row in rows] == list(range(300))
    assert {(row["device"], row["metric"], row["type"], row["untimed"]) for row in rows} == {(meter, "value", "int", "")}
    assert rows[1]["time"] == "2026-01-01T00:00:01Z"
    refused = run_program("millrace", "export", meter, "--metric", "unheard-of", check=False)
    assert refused.returncode == 1 and "unheard-of" in refused.stderr


@pytest.mark.usefixtures("parquet_worker")
def test_an_export_as_parquet_holds_the_points_of_csv(lab, meter, run_program, tmp_path):
    times = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:10:00Z")
    files = {one: tmp_path / one for one in ("csv", "parquet", "arrow")}
    for one, file in files.items():
        done = run_program("millrace", "export", meter, *times, "--format", one, "--output", str(file))
        assert done.stderr == "millrace: 600 points\n"
    with open(files["csv"], newline="", encoding="utf-8") as text:
        wanted = [[row["device"], row["metric"], BEGIN + second * 1_000_000, row["type"], row["value"], row["untimed"] == "true"]
                  for second, row in enumerate(csv.DictReader(text))]
    assert len(wanted) == 600
    assert parquet_rows([files["parquet"]], "device", "metric", "epoch_us(time)", "type",
                        "coalesce(value_double::text, value_int::text, value_bool::text, value_text)", "untimed") == wanted
    assert files["arrow"].read_bytes()[:4] == files["arrow"].read_bytes()[-8:-4] == b"\xff\xff\xff\xff"
    with open(tmp_path / "piped", "wb") as piped:
        subprocess.run([lab.binaries / "millrace", "export", meter, *times, "--format", "parquet"], stdout=piped, check=True,
                       env=lab.environment, timeout=120)
    assert parquet_rows([tmp_path / "piped"], "count(*)") == [[600]]
    refused = run_program("millrace", "export", meter, "--format", "xlsx", check=False)
    assert refused.returncode == 2 and "--format" in refused.stderr


def test_the_command_line_ranks_and_aggregates(lab, meter, run_program):
    times = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:10:00Z", "--device", meter)
    top = [json.loads(line) for line in run_program("millrace", "top", "value", "--by", "max", *times, "--json")
           .stdout.splitlines()]
    assert top == [{"device": meter, "value": 599, "count": 600}]
    printed = run_program("millrace", "aggregate", "value", "--step", "5m", *times, "--format", "csv").stdout
    rows = list(csv.reader(io.StringIO(printed)))
    assert [(row[0], row[2], row[7], row[8]) for row in rows] == [("2026-01-01T00:00:00Z", "300", "0", "299"),
                                                                 ("2026-01-01T00:05:00Z", "300", "300", "599")]
    few = run_program("millrace", "range", meter, "value", "--from", "2026-01-01T00:00:00Z", "--to",
                      "2026-01-01T00:10:00Z", "--points", "5", "--lttb", "--format", "csv").stdout
    lines = few.splitlines()
    assert len(lines) == 5 and lines[0].endswith(",0") and lines[-1].endswith(",599")
    eventually(lambda: f"{meter},value" in run_program("millrace", "latest", "--all", "--metric", "value", "--format",
                                                       "csv").stdout, 30, "the device among all latest values")
