"""storage-archiver as a part of the whole."""
import re
import urllib.request

from millrace_lab import ROOT


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
