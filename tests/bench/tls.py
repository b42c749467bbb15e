"""the gateway over TLS: handshakes a core, memory of idle connections, a reconnect storm beside a verified load"""
import contextlib
import os
import resource
import secrets
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from bench_lab import Background, bench_lab, figure, mqtt_connections, process_cpu, resident, write_credentials
from device_fleet import wait_until_known
from fleet_run import database_count
from millrace_dev import bench, say
from millrace_dev.say import DevError
from millrace_lab import eventually
from tls_front import Front

HANDSHAKES = int(os.environ.get("MILLRACE_BENCH_HANDSHAKES", "4000"))
DEVICES = int(os.environ.get("MILLRACE_BENCH_STORM_DEVICES", "10000"))
FEW = DEVICES // 5
WITH_PASSWORDS = DEVICES // 20  # each check costs 19 MiB and tens of milliseconds on purpose
BESIDE, BESIDE_RATE = 100, 500  # devices and messages/s that go on through another gateway
STORM_RATE = DEVICES // 5  # messages/s of those that were dropped: each has its turn in five seconds
SETTLE = 5  # seconds


def run(layout):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with bench_lab() as lab:
        front = Front(lab, lab.folder / "tls", UNIDENTIFIED_PER_ADDRESS_LIMIT=2 * DEVICES)  # they all have one address
        with say.Step("devices"):
            few, many = write_credentials(lab, "few", FEW), write_credentials(lab, "storm", DEVICES)
            beside = write_credentials(lab, "beside", BESIDE)
            wait_until_known(lab, ["protocol-gateway", front.service.name], FEW + DEVICES + BESIDE, 120)
        rows = _handshakes(front) + _idle(lab, front, few, many)
        rows += _storm(lab, front, many, beside)
        rows += _password_storm(lab, front)
    return rows


# --- handshakes ---

def _handshakes(front):
    """What the gateway's CPU would give a core of handshakes alone; one client, which is slower, makes them."""
    client = front.context(versions=ssl.TLSVersion.TLSv1_3)
    with front.secure(context=client) as stream:
        front.mqtt(stream=stream)  # the ticket comes behind the handshake
        ticket = stream.session
    rows = []
    for name, session, least in (("full", None, 1800), ("resumed", ticket, 4000)):
        with say.Step(f"{HANDSHAKES} handshakes, {name}"):
            before = process_cpu(front.service.process.pid())
            for _ in range(HANDSHAKES):
                with front.secure(context=client, session=session) as stream:
                    if stream.session_reused != (session is not None):
                        raise DevError(f"a handshake that was to be {name} was not")
            spent = process_cpu(front.service.process.pid()) - before
        rows.append(figure(f"TLS 1.3 handshakes, {name} (ECDSA P-256)", HANDSHAKES / spent, "/s and core", least,
                           at_most=False))
    return rows


# --- memory ---

def _over_tls(lab, front, file, rate, *more):
    return Background(lab, rate, "--credentials", file, "--ca", front.authority.ca, "--mqtt",
                      f"mqtts://localhost:{front.ports['mqtts']}", *more)


def _connected(lab, front, count):
    eventually(lambda: mqtt_connections(lab, front.service) >= count, 240, f"{count} connections over TLS", interval=0.2)


def _idle(lab, front, few, many):
    """The slope of resident memory."""
    with _over_tls(lab, front, few, 1e-6), say.Step(f"{FEW}, then {FEW + DEVICES} idle connections"):
        _connected(lab, front, FEW)
        time.sleep(SETTLE)  # what connecting took is free again
        least = resident(front.service)
        with _over_tls(lab, front, many, 1e-6):
            _connected(lab, front, FEW + DEVICES)
            time.sleep(SETTLE)
            most = resident(front.service)
    return [figure("memory of an idle TLS connection", (most - least) / DEVICES, "B", 40_960)]


# --- the storm ---

def _storm(lab, front, many, beside):
    """The gateway of all those devices is killed and started again; another one carries a load meanwhile."""
    taken = "iot_messages_ingested_total"
    address = f"127.0.0.1:{lab.member('protocol-gateway').ports['mqtt']}"
    with Background(lab, BESIDE_RATE, "--credentials", beside, "--mqtt", address, "--verify") as calm, \
            _over_tls(lab, front, many, STORM_RATE) as stormy:
        with say.Step(f"{DEVICES} devices over TLS, dropped at once"):
            _connected(lab, front, DEVICES)
            eventually(lambda: front.metric(taken) >= 2 * DEVICES, 240, "every device to have published", interval=0.2)
            lab.kill(front.service.name)
            begun = time.monotonic()
            lab.restart(front.service.name)
            started = time.monotonic() - begun
            _connected(lab, front, DEVICES)
            back = time.monotonic() - begun
            known = front.metric(taken)
            eventually(lambda: front.metric(taken) >= known + DEVICES, 240, "every device to publish again", interval=0.2)
            publishing = time.monotonic() - begun
        with say.Step("counting what was acknowledged"):
            dropped, beside_it = stormy.finish(), calm.finish()
            dropped.update(_stored(lab, "storm", dropped["acknowledged"]))
    rows = [figure(f"{DEVICES} TLS clients dropped at once: gateway ready again", started, "s"),
            figure(f"{DEVICES} TLS clients dropped at once: all back", back, "s", 30),
            figure("  and as many messages more acknowledged", publishing, "s", 30)]
    if not dropped["lost_connections"] >= DEVICES:
        raise DevError(f"not all of them were dropped: {dropped}")
    for name, report in (("of the dropped", dropped), ("of the load beside", beside_it)):
        rows += [bench.row(f"acknowledged {name}", report["acknowledged"], "messages"),
                 bench.row(f"  lost {name}", report["lost"], "messages", 0),
                 bench.row(f"  doubled {name}", report["doubled"], "messages", 0)]
    return rows + [figure("publish to PUBACK of the load beside, longest", beside_it["ack_ms"]["max"], "ms", 1000)]


def _stored(lab, prefix, acknowledged):
    """Of those devices, in the database; the fleet's own check would speak TLS to query-api, too."""
    def counted():
        rows, different = database_count(lab, prefix)
        return (rows, different) if different >= acknowledged else None
    with contextlib.suppress(DevError):
        eventually(counted, 120, "the database to hold every message", interval=0.5)
    rows, different = database_count(lab, prefix)
    return {"lost": max(0, acknowledged - different), "doubled": rows - different}


# --- the storm, with passwords ---

def _password_storm(lab, front):
    """The restarted gateway remembers no password: Argon2id for every device."""
    with say.Step(f"{WITH_PASSWORDS} passwords"):
        file = _write_passwords(lab, "pass", WITH_PASSWORDS)
    with _over_tls(lab, front, file, WITH_PASSWORDS), say.Step(f"{WITH_PASSWORDS} devices with passwords, dropped at once"):
        _connected(lab, front, WITH_PASSWORDS)
        lab.kill(front.service.name)
        begun = time.monotonic()
        lab.restart(front.service.name)
        eventually(lambda: front.metric('millrace_gateway_mqtt_connects_total{outcome="accepted"}') >= WITH_PASSWORDS, 240,
                   "every password to be checked", interval=0.2)  # a connection that is open waits for that
        back = time.monotonic() - begun
    checks = front.metric("millrace_gateway_password_seconds_count")
    seconds = front.metric("millrace_gateway_password_seconds_sum") / max(1, checks)
    return [figure(f"{WITH_PASSWORDS} TLS clients with passwords dropped at once: all back", back, "s"),
            figure("  checks of passwords for it", checks, ""), figure("  one check, on average", seconds * 1e3, "ms")]


def _write_passwords(lab, prefix, count):
    """The fleet's file has the password where the token would be: MQTT sends both in the same field."""
    names = list(lab.create_devices([f"{prefix}-{number}" for number in range(count)]))
    passwords = {name: secrets.token_hex(12) for name in names}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: lab.registry("AddCredential", device=name, password=passwords[name]), names))
    file = lab.folder / f"{prefix}.csv"
    file.write_text("device,token\n" + "".join(f"{one},{word}\n" for one, word in passwords.items()), encoding="ascii")
    return file
