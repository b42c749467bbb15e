"""Fixtures of the chaos tests: the load of tests/support/load.py, and the tenant's webhook.

MILLRACE_CHAOS_ROUNDS repeats each test, MILLRACE_CHAOS_SEED makes it the same one.
"""
import os
import random

import pytest

import ledger
from load import Load
from webhook_receiver import WebhookReceiver

ROUNDS = int(os.environ.get("MILLRACE_CHAOS_ROUNDS", "1"))


def pytest_generate_tests(metafunc):
    if "load" in metafunc.fixturenames:
        metafunc.parametrize("round_number", range(1, ROUNDS + 1))


class Webhook:
    """The demo tenant's webhook, received here."""

    def __init__(self, receiver):
        self._receiver = receiver

    def event_of(self, device):
        """The body of the delivered event of a device, if there is one; its signature was right."""
        for one in self._receiver.delivered():
            if one.alert.get("device") == device:
                assert one.signed, one.headers
                return one.alert
        return None


@pytest.fixture
def webhook(lab):
    with WebhookReceiver() as receiver:
        secret = lab.registry("SetWebhook", url=receiver.url()).secret
        receiver.secret(secret)
        yield Webhook(receiver)
        lab.registry("DeleteWebhook")


@pytest.fixture
def exact_ledger(lab):
    """What `load` does at its end, for tests with a load of their own: the ledger's sums against log and tables."""
    before = ledger.state(lab)
    yield
    print({"ledger": ledger.check(lab, before)._asdict()})


@pytest.fixture
def load(lab, request, round_number):
    seed = int(os.environ.get("MILLRACE_CHAOS_SEED") or random.randrange(1, 1 << 31))
    case = request.node.name.split("[")[0].removeprefix("test_")
    print(f"{request.node.name}: seed {seed}")
    one = Load(lab, request.node.name.removeprefix("test_") or case, seed)
    yield one
    for run in (one.run, one.timed):
        if run is not None:
            run.stop()
