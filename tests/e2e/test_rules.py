"""`millrace rule …` against a running system, and that a rule that is made raises what it should."""
import json
import re

import pytest

from http_device import HttpDevice
from millrace_lab import ROOT, eventually
from webhook_receiver import WebhookReceiver


@pytest.fixture
def rule(run_program, request):
    """Calls `millrace rule COMMAND ID …` with an id of this test; the rule is deleted at the end."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]

    def call(command, *arguments, **options):
        return run_program("millrace", "rule", command, name, *arguments, **options)
    yield call
    run_program("millrace", "rule", "delete", name, check=False)


def _shown(rule):
    return json.loads(rule("show", "--json").stdout)


def test_only_what_is_given_changes(rule):
    made = json.loads(rule("create", "--metric", "temperature", "--raise", "value > 80", "--clear", "value < 75",
                           "--description", "too hot", "--device-prefix", "boiler-", "--json").stdout)
    assert made["severity"] == "warning" and made["enabled"] is True and made["tenant"]
    assert _shown(rule) == made
    changed = json.loads(rule("update", "--raise", "value > 90", "--severity", "critical", "--json").stdout)
    assert changed.pop("version") > made["version"]
    expected = {**made, "raise": "value > 90", "severity": "critical"}
    del expected["version"]
    assert changed == expected
    # An empty text takes away what the rule had.
    bare = json.loads(rule("update", "--clear", "", "--device-prefix", "", "--description", "", "--json").stdout)
    assert (bare["clear"], bare["device_prefix"], bare["description"]) == ("", "", "")
    assert bare["raise"] == "value > 90"


def test_enable_disable_list_and_delete(rule, run_program):
    rule("create", "--metric", "temperature", "--raise", "value > 80", "--disabled")
    assert _shown(rule)["enabled"] is False
    rule("enable")
    assert _shown(rule)["enabled"] is True
    rule("update", "--disabled")
    assert _shown(rule)["enabled"] is False
    rule("update", "--enabled")
    assert _shown(rule)["enabled"] is True
    rule("disable")
    shown = _shown(rule)
    assert shown["enabled"] is False
    assert shown in json.loads(run_program("millrace", "rule", "list", "--json").stdout)
    table = run_program("millrace", "rule", "list").stdout.splitlines()
    assert table[0].split() == ["RULE", "VERSION", "ENABLED", "SEVERITY", "METRIC", "DEVICES", "RAISE", "CLEAR",
                                "DESCRIPTION"]
    row = next(line for line in table if line.startswith(shown["rule"]))
    assert "value > 80" in row and str(shown["version"]) in row
    assert rule("delete").stdout.startswith(f"deleted rule {shown['rule']}")
    gone = rule("show", check=False)
    assert gone.returncode == 1 and "there is no rule" in gone.stderr and "next: `millrace rule list`" in gone.stderr


def test_a_fault_in_a_condition_is_shown_with_its_column(rule):
    wrong = rule("create", "--metric", "m", "--raise", "value >> 80", check=False)
    assert wrong.returncode == 1 and not wrong.stdout
    assert wrong.stderr.startswith("millrace: raise, column 8: "), wrong.stderr
    rule("create", "--metric", "m", "--raise", "value > 80")
    again = rule("create", "--metric", "m", "--raise", "value > 80", check=False)
    assert again.returncode == 1 and "exists already" in again.stderr
    usage = rule("update", check=False)
    assert usage.returncode == 2 and "nothing to change" in usage.stderr


def test_the_conditions_of_the_documentation_are_taken(rule):
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    conditions = re.search(r"^```cel\n(.*?)^```", text, re.M | re.S).group(1).splitlines()
    assert len(conditions) >= 5
    rule("create", "--metric", "m", "--raise", "false")
    for condition in conditions:
        assert json.loads(rule("update", "--raise", condition, "--json").stdout)["raise"] == condition
    refused = rule("update", "--raise", "1 < value < 5", check=False)
    assert refused.returncode == 1 and "column" in refused.stderr


def test_a_rule_raises_and_clears_and_its_end_clears(lab, rule, run_program):
    device = HttpDevice(lab, "boiler-9", lab.create_device("boiler-9"))
    name = json.loads(rule("create", "--metric", "heat", "--raise", "value > 80", "--clear", "value < 75",
                           "--device-prefix", "boiler-", "--json").stdout)["rule"]

    def alerts():
        return json.loads(run_program("millrace", "alerts", "--rule", name, "--json").stdout)

    def send(value):
        status, _ = device.post(json.dumps({"heat": value}).encode())[:2]
        assert status == 202
        return True
    # The rule is looked at within a second of its making; until then a hot reading is an ordinary one.
    eventually(lambda: send(91) and [one["state"] for one in alerts()] == ["raised"], 60, "the alert", interval=0.5)
    send(78)  # between the two conditions: stays open
    send(70)
    eventually(lambda: [one["state"] for one in alerts()] == ["cleared"], 60, "the clear")
    send(95)
    eventually(lambda: sorted(one["state"] for one in alerts()) == ["cleared", "raised"], 60, "the second alert")
    rule("delete")
    eventually(lambda: [one["state"] for one in alerts()] == ["cleared", "cleared"], 60, "the end of the open alert")
    device.close()


def test_a_webhook_gets_signed_alerts_and_its_secret_is_in_no_log(lab, rule, run_program):
    path = "/path-secret"  # a receiver may keep its own secret there
    device = HttpDevice(lab, "boiler-10", lab.create_device("boiler-10"))
    with WebhookReceiver() as receiver:
        set_ = json.loads(run_program("millrace", "webhook", "set", receiver.url(path), "--json").stdout)
        secret = set_["secret"]
        assert secret.startswith("whs_") and len(secret) == 4 + 64
        receiver.secret(secret, path)
        shown = run_program("millrace", "webhook", "show", "--json").stdout
        assert json.loads(shown)["url"] == receiver.url(path) and "secret\":" not in shown
        assert secret not in run_program("millrace", "webhook", "show").stdout
        name = json.loads(rule("create", "--metric", "heat", "--raise", "value > 80", "--device-prefix", "boiler-10",
                               "--json").stdout)["rule"]
        device.send({"heat": 10})

        def raised():
            device.send({"heat": 91})
            return receiver.received(path)
        eventually(raised, 60, "the alert at the receiver", interval=0.5)
        device.send({"heat": 20})
        eventually(lambda: len(receiver.received(path)) == 2, 60, "the clear at the receiver")
        first, second = receiver.received(path)
        assert first.signed and second.signed
        assert (first.alert["rule"], first.alert["state"], second.alert["state"]) == (name, "STATE_RAISED", "STATE_CLEARED")
        assert first.key == f"{first.alert['alertId']}-{first.alert['eventNumber']}"
        # Who keeps a copy of the registry passes over webhooks.
        for reader in ("protocol-gateway", "query-api", "storage-writer", "device-registry"):
            assert lab.metrics(reader, "millrace_registry_view_invalid_total") == 0, reader
        assert run_program("millrace", "webhook", "delete").stdout == "deleted the webhook\n"
    gone = run_program("millrace", "webhook", "show", check=False)
    assert gone.returncode == 1 and "has no webhook" in gone.stderr and "next: `millrace webhook set URL`" in gone.stderr
    wrong = run_program("millrace", "webhook", "set", "ftp://example.com", check=False)
    assert wrong.returncode == 1 and wrong.stderr.startswith("millrace: url: no http://")
    for member in lab.stack.members().values():
        log = member.process.log
        if log.exists():
            text = log.read_text(encoding="utf-8", errors="replace")
            assert secret not in text and path not in text, f"{member.name} logs a webhook's secret"
    device.close()
