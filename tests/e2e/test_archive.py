"""storage-archiver as a part of the whole: its pages, and a day that leaves the database and is read back."""
import re
import urllib.request

import pytest

from archive_run import archive, directory
from http_device import HttpDevice
from millrace_lab import ROOT, eventually

BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000


def _section(file, title):
    text = (ROOT / "docs" / file).read_text(encoding="utf-8")
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", text, re.M | re.S).group(1).strip()


def test_options_and_metrics_are_the_documented_ones(lab):
    archiver = lab.stack.services["storage-archiver"]
    printed = archiver.call("--print-config-docs").strip()
    assert printed == "## storage-archiver\n\n" + _section("configuration.md", "storage-archiver")
    with urllib.request.urlopen(archiver.ops_url + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    told = {f"| `{name}` | {kind} | {what} |"
            for name, what in re.findall(r"^# HELP (millrace_storage_archiver_\S+) (.*)$", text, re.M)
            for kind in re.findall(rf"^# TYPE {name} (\S+)$", text, re.M)}
    documented = [line for line in _section("metrics.md", "storage-archiver").splitlines() if line.startswith("| `")]
    assert documented == sorted(told)


def test_it_is_ready_while_it_is_off(lab):
    ready, detail = lab.readyz("storage-archiver")
    assert ready, detail


def _send(lab, sender, seconds):
    receipt = sender.send([{"ts": BEGIN // SECOND + second, "value": value} for second, value in seconds])
    eventually(lambda: lab.query("GetReceipt", receipt=receipt).state == 3, 60, f"{receipt} to be stored")


@pytest.mark.usefixtures("parquet_worker")
def test_a_day_leaves_the_database_and_is_read_back(lab, tmp_path):
    sender = HttpDevice(lab, "archived-1", lab.create_device("archived-1"))

    def read():
        return [(one.time_us, one.value.double_value or one.value.int_value) for one in
                lab.query("Range", device="archived-1", metric="value", from_us=BEGIN, to_us=BEGIN + 600 * SECOND).samples]

    _send(lab, sender, [(second, second + 1) for second in range(300)])
    before = read()
    assert len(before) == 300
    archive(lab, tmp_path, directory(lab))
    assert lab.sql("SELECT count(*) FROM storage.sample WHERE time < '2026-02-01'") == [["0"]]
    assert read() == before
    # A late row, and another value for an archived time: what the device sent last counts.
    _send(lab, sender, [(7, 1007), (400, 1400)])
    late = read()
    assert late == [(time, 1007 if time == BEGIN + 7 * SECOND else value) for time, value in before] + [(BEGIN + 400 * SECOND, 1400)]
    archive(lab, tmp_path, directory(lab))
    assert read() == late
