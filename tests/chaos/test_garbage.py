"""Garbage on every port beside a verified load: nothing is lost, nothing is restarted, memory stays bounded."""
import threading
import time

import garbage
import garbage_coap
from garbage import credentials
from load import rss_bytes
from millrace_lab import eventually

IDLE = 10_000
# 15,000 connections at 8 KB are 120 MB; the rest is what a peer may send before it is refused.
MOST_GROWTH = 400 << 20


class Attackers:
    """Each in a thread of its own; what they find comes out of finish()."""

    def __init__(self):
        self._threads, self._failures = [], []

    def add(self, attack, *arguments):
        def run():
            try:
                attack(*arguments)
            except BaseException as failure:  # noqa: BLE001 - shown by the test
                self._failures.append(f"{attack.__name__}: {type(failure).__name__}: {failure}")
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def finish(self, timeout):
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(1, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), "an attack did not end"
        assert not self._failures, "\n".join(self._failures)


def test_garbage_on_every_port(load):
    lab = load.lab
    # A device that is told why it was refused: the log names the payload faults.
    lab.allowed_errors |= {"payload", "Kafka"}
    ports = lab.stack.settings.ports
    services = {name: lab.member(name).process.pid() for name in lab.stack.services}
    device = f"garbage-{load.seed:x}"
    token = lab.create_device(device)
    login = credentials(f"{device}@demo", token)
    tcp = [port for name in lab.stack.services for port in lab.stack.ports_of(name)]
    numbers = [ports[name] for name in tcp if not name.startswith("coap")]
    before = {name: rss_bytes(pid) for name, pid in services.items()}
    load.start(70)
    largest, over = dict(before), threading.Event()

    def watch():
        while not over.wait(0.5):
            for name, pid in services.items():
                largest[name] = max(largest[name], rss_bytes(pid))
    watcher = threading.Thread(target=watch)
    watcher.start()
    idle = []
    try:
        attackers = Attackers()
        attackers.add(garbage.random_bytes, numbers, load.seed)
        attackers.add(garbage.packets_before_connect, ports["mqtt"])
        attackers.add(garbage.smuggling, ports["http"], login)
        attackers.add(garbage.huge_bodies, ports["http"], login)
        attackers.add(garbage.deep_json, ports["http"], login)
        attackers.add(garbage_coap.random_datagrams, [ports["coap"], ports["coaps"]], load.seed)
        attackers.add(garbage_coap.block_abuse, ports["coap"], f"{device}@demo", token)
        for port in (ports["mqtt"], ports["http"]):
            for data in (b"\x10\xff\x7f" + b"\x00\x04MQTT\x05" * 40, b"POST /v1/telemetry HTTP/1.1\r\nX: " + b"a" * 60):
                attackers.add(garbage.one_byte_a_second, port, data, 40)
        idle += garbage.half_open([ports["mqtt"], ports["http"]], 600)
        while len(idle) < IDLE:
            idle.append(garbage.connect(ports["mqtt"]))
        load.run.wait_for_more(1000)  # with all of them open
        attackers.finish(120)
        load.run.wait_for_more(1000)
    finally:
        for peer in idle:
            peer.close()
        over.set()
        watcher.join()
    growth = {name: (largest[name] - before[name]) >> 20 for name in services}
    load.note(victim="every port", fault="garbage", growth_mb=growth, back_s=0)
    load.finish()
    now = {name: lab.member(name).process.pid() for name in lab.stack.services}
    assert now == services, "a service was restarted"
    assert all(lab.member(name).process.alive() for name in services)
    assert all(mb << 20 < MOST_GROWTH for mb in growth.values()), growth
    eventually(lambda: all(one.ready() for one in lab.stack.services.values()), 60, "all services to be ready")
