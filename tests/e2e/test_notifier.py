"""The notifier as a part of the whole, and the receiver that tests send its webhooks to."""
import http.client
import re
import threading
import urllib.request

import pytest

from millrace_lab import ROOT
from webhook_receiver import WebhookReceiver, is_signed, sign

BODY = b'{"state":"STATE_RAISED"}'


def _post(receiver, path="/hook", key="a-1", signature="", body=BODY):
    connection = http.client.HTTPConnection(receiver.url().split("/")[2], timeout=60)
    try:
        connection.request("POST", path, body, {"Idempotency-Key": key, "Millrace-Signature": signature})
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_receiver_checks_signatures():
    # The vector of the notifier's own unit test.
    header = ("t=1700000000,v1=2c92a214331f6af6d65541275ed44f3eb9074f82b7f770f12da8ddbf86c1bf7d")
    assert sign("whsec_test", 1700000000, BODY) == header
    assert is_signed("whsec_test", header, BODY)
    assert not is_signed("whsec_test", header, BODY + b" ")
    assert not is_signed("other", header, BODY)
    assert not is_signed("whsec_test", header.replace("t=17", "t=18"), BODY)
    assert not is_signed("whsec_test", None, BODY)
    with WebhookReceiver() as receiver:
        receiver.secret("s")
        assert _post(receiver, key="a-1", signature=sign("s", 17, BODY)) == 200
        assert _post(receiver, key="a-2", signature=sign("wrong", 17, BODY)) == 200
        assert [one.signed for one in receiver.received()] == [True, False]
        assert receiver.keys() == ["a-1", "a-2"]
        assert receiver.received()[0].alert == {"state": "STATE_RAISED"}


def test_the_receiver_fails_hangs_and_comes_back():
    with WebhookReceiver() as receiver:
        receiver.fail(503, headers={"Retry-After": "7"})
        assert _post(receiver, key="a-1") == 503
        receiver.hang()
        answers = []
        sender = threading.Thread(target=lambda: answers.append(_post(receiver, key="a-2")))
        sender.start()
        receiver.wait(lambda one: len(one.received()) == 2, 60, "the request that hangs")
        assert _post(receiver, path="/other", key="b-1") == 200
        assert not answers
        receiver.work()
        sender.join(60)
        assert answers == [200]
        assert receiver.keys() == ["a-2"]
        receiver.stop()
        with pytest.raises(OSError):
            _post(receiver)
        receiver.start()
        assert _post(receiver, key="a-3") == 200
        assert receiver.keys() == ["a-2", "a-3"]


def _section(file, title):
    text = (ROOT / "docs" / file).read_text(encoding="utf-8")
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", text, re.M | re.S).group(1).strip()


def test_options_and_metrics_are_the_documented_ones(lab):
    notifier = lab.stack.services["notifier"]
    printed = notifier.call("--print-config-docs").strip()
    assert printed == "## notifier\n\n" + _section("configuration.md", "notifier")
    with urllib.request.urlopen(notifier.ops_url + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    told = {f"| `{name}` | {kind} | {what} |" for name, what in re.findall(r"^# HELP (millrace_notifier_\S+) (.*)$", text, re.M)
            for kind in re.findall(rf"^# TYPE {name} (\S+)$", text, re.M)}
    documented = [line for line in _section("metrics.md", "notifier").splitlines() if line.startswith("| `")]
    assert documented == sorted(told)


def test_it_is_ready_and_drains(lab):
    ready, detail = lab.readyz("notifier")
    assert ready, detail
    assert lab.member("notifier").stop(), "it had to be killed"
    lab.restart("notifier")
