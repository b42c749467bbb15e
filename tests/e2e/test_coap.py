"""CoAP and CoAPS as other people's clients speak it, over a network that loses every fifth datagram."""
import contextlib
import json
import secrets
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lossy_udp import LossyUdp
from millrace_dev import toolchain
from millrace_dev.environment import psk
from millrace_lab import TENANT, Layout, eventually
from fleet_run import FleetRun, database_count

LOSS = 0.2
SEED = 20_251_125


@pytest.fixture(scope="module")
def aiocoap():
    """The interpreter that has it."""
    return toolchain.install_coap_client(Layout())


@pytest.fixture
def device(lab):
    """Name (short: an identity of tinydtls holds 32 bytes) and token."""
    name = f"c-{secrets.token_hex(6)}"
    return name, lab.create_device(name)


def _uri(lab, scheme, device, port):
    name, token = device
    query = f"?device={name}@{TENANT}&token={token}" if scheme == "coap" else ""
    return f"{scheme}://127.0.0.1:{port}/v1/telemetry{query}"


def _proxy(lab, scheme, seed):
    return LossyUdp(("127.0.0.1", lab.stack.settings.ports[scheme]), LOSS, seed)


def _payload(number, pad=0):
    """Without a time of its own: whatever comes twice is two rows."""
    return json.dumps({"number": number, "pad": "x" * pad})


def _check_stored(lab, device, receipts, sent):
    """`receipts` by number. What was acknowledged has one row, and nothing has two."""
    assert len(receipts) >= sent // 2, "too few were acknowledged for the test to say anything"
    for receipt in receipts.values():
        eventually(lambda asked=receipt: lab.query("GetReceipt", receipt=asked).state == 3, 60, f"{receipt} to be stored")
    rows = lab.sql(f"""
        SELECT s.value::int8, count(*) FROM storage.point s
        JOIN storage.metric m ON m.id = s.metric AND m.name = 'number'
        JOIN registry.device d ON d.device_key = s.device_id WHERE d.device = '{device[0]}' GROUP BY 1""")
    found = {int(value): int(count) for value, count in rows}
    assert {number: found.get(number, 0) for number in receipts} == dict.fromkeys(receipts, 1)
    assert set(found.values()) == {1}, found


def _coap_client(uri, device, number, pad, patience=120):
    """One message by coap-client-openssl; its answer if that is no error."""
    return _run_coap_client(uri, device, number, pad, patience).stdout


def _run_coap_client(uri, device, number, pad, patience):
    command = ["coap-client-openssl", "-m", "post", "-t", "50", "-B", str(patience), "-e", _payload(number, pad)]
    if pad:
        command += ["-b", "256"]
    if uri.startswith("coaps:"):
        command += ["-u", f"{device[0]}@{TENANT}", "-k", psk(device[1])]
    return subprocess.run([*command, uri], capture_output=True, text=True, timeout=240, check=False,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("pad", [0, 1500], ids=["small", "blocks"])
@pytest.mark.parametrize("scheme", ["coap", "coaps"])
def test_coap_client_over_a_lossy_network(lab, device, scheme, pad):
    count = 12
    at_once = 4 if pad else count  # the gateway puts at most four bodies of a device together
    with _proxy(lab, scheme, SEED + pad) as proxy, ThreadPoolExecutor(at_once) as pool:
        uri = _uri(lab, scheme, device, proxy.port)
        answers = list(pool.map(lambda number: _coap_client(uri, device, number, pad), range(count)))
        assert proxy.lost > 0
    receipts = {number: json.loads(answer)["receipt"] for number, answer in enumerate(answers) if '"receipt"' in answer}
    _check_stored(lab, device, receipts, count)


@pytest.mark.parametrize("pad", [0, 1500], ids=["small", "blocks"])
@pytest.mark.parametrize("scheme", ["coap", "coaps"])
def test_aiocoap_over_a_lossy_network(lab, device, aiocoap, scheme, pad):
    count = 6  # one after the other
    script = Path(__file__).parents[1] / "support" / "aiocoap_device.py"
    with _proxy(lab, scheme, SEED + pad + 1) as proxy:
        done = subprocess.run(
            [aiocoap, script, _uri(lab, scheme, device, proxy.port), f"{device[0]}@{TENANT}", psk(device[1])],
            input=json.dumps([_payload(number, pad) for number in range(count)]), capture_output=True, text=True,
            timeout=600, check=False)
        assert proxy.lost > 0
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert {answer["code"] for answer in answers} == {"2.04"}, done.stdout + done.stderr
    receipts = {answer["number"]: json.loads(answer["payload"])["receipt"] for answer in answers}
    _check_stored(lab, device, receipts, count)


@pytest.mark.parametrize("scheme", ["coap", "coaps"])
def test_a_wrong_token_is_turned_away(lab, device, scheme):
    wrong = (device[0], "mt_wrong")
    uri = _uri(lab, scheme, wrong, lab.stack.settings.ports[scheme])
    command = ["coap-client-openssl", "-m", "post", "-B", "5", "-e", _payload(1), "-u", f"{device[0]}@{TENANT}", "-k",
               psk("mt_wrong"), uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert "receipt" not in done.stdout
    if scheme == "coap":
        assert "4.01" in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["coap", "coaps"])
def test_a_gateway_device_speaks_for_its_children(lab, device, scheme):
    gateway, child, other = device[0], f"{device[0]}-kid", f"{device[0]}-other"
    tokens = {name: lab.create_device(name) for name in (child, other)}
    lab.registry("SetDeviceChildren", device=gateway, children=[child])
    port = lab.stack.settings.ports[scheme]

    def post_for(whose, number, below="telemetry"):
        uri = _uri(lab, scheme, device, port).replace("/v1/telemetry", f"/v1/devices/{whose}/{below}")
        return _run_coap_client(uri, device, number, 0, 60)
    eventually(lambda: '"receipt"' in post_for(child, 1).stdout, 60, "the gateway to know the child")
    receipts = {number: json.loads(post_for(child, number).stdout)["receipt"] for number in (2, 3)}
    _check_stored(lab, (child, tokens[child]), receipts, 2)
    for whose in (other, "nobody-at-all"):
        refused = post_for(whose, 4).stderr
        assert "4.03" in refused and "no gateway of it" in refused
    assert "4.04" in post_for(child, 5, "elsewhere").stderr
    lab.registry("SetDeviceEnabled", device=child, enabled=False)
    eventually(lambda: "4.03" in post_for(child, 6).stderr, 60, "the child to be disabled")


def test_a_disabled_device_gets_no_session_any_more(lab):
    device = ("coap-disabled", lab.create_device("coap-disabled"))
    uri = _uri(lab, "coaps", device, lab.stack.settings.ports["coaps"])
    assert '"receipt"' in _coap_client(uri, device, 1, 0)
    lab.registry("SetDeviceEnabled", device=device[0], enabled=False)
    eventually(lambda: '"receipt"' not in _coap_client(uri, device, 2, 0, patience=3), 60, "the refusal")


def _client_hello():
    """Of DTLS 1.2 (RFC 6347 section 4.2), without a cookie."""
    body = b"\xfe\xfd" + secrets.token_bytes(32) + b"\x00\x00" + b"\x00\x02\x00\xae" + b"\x01\x00"
    length = len(body).to_bytes(3, "big")
    handshake = b"\x01" + length + b"\x00\x00" + b"\x00\x00\x00" + length + body
    return b"\x16\xfe\xff" + bytes(8) + len(handshake).to_bytes(2, "big") + handshake


def _is_answered(peer, address):
    """Whether a ClientHello is, by HelloVerifyRequest: a datagram may be lost, and is sent again."""
    peer.settimeout(5)
    for _ in range(4):
        peer.sendto(_client_hello(), address)
        with contextlib.suppress(TimeoutError):
            return peer.recv(2048)[:1] == b"\x16"
    return False


def test_half_open_dtls_handshakes_leave_room_for_devices(lab, device):
    address = ("127.0.0.1", lab.stack.settings.ports["coaps"])
    for number in range(3000):  # each from another port, as with forged senders
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((f"127.0.1.{number % 200 + 1}", 0))
            if number % 50 == 49:  # and no faster than they are read
                assert _is_answered(peer, address), f"{number} were enough"
            else:
                peer.sendto(_client_hello(), address)
    uri = _uri(lab, "coaps", device, address[1])
    assert '"receipt"' in _coap_client(uri, device, 1, 0, patience=20)


def test_a_dtls_session_is_never_resumed(lab, tmp_path):
    """It would prove no key and so outlive its token. Holds from the third session of a process on."""
    token = lab.create_device("coap-resumed")
    ticket = tmp_path / "session"

    def shake_hands(*options):
        call = ["openssl", "s_client", "-dtls1_2", "-connect", lab.stack.settings.address("coaps"), "-psk",
                psk(token).encode().hex(), "-psk_identity", f"coap-resumed@{TENANT}", "-cipher", "PSK", *options]
        # It ends when its input does, which is after the handshake.
        return subprocess.run(call, input="Q\n", capture_output=True, text=True, timeout=60, check=False).stdout
    assert lab.member("protocol-gateway").stop()
    lab.restart("protocol-gateway")
    assert "New, TLSv1.2" in shake_hands("-sess_out", ticket)
    assert ticket.exists(), "the first session of a process still gets a ticket"
    assert "session ticket" in shake_hands()
    assert "session ticket" not in shake_hands()
    again = shake_hands("-sess_in", ticket)
    assert "New, TLSv1.2" in again and "Reused" not in again, again


def test_a_fleet_over_a_restart_of_the_gateway_loses_and_doubles_nothing(lab):
    fleet = FleetRun(lab, "coap-restart", SEED, rate=300, devices=40, seconds=12, protocol="coap,coaps", untimed=1.0)
    try:
        fleet.wait_for_load()
        lab.kill("protocol-gateway")
        lab.restart("protocol-gateway")
        fleet.wait_for_more(100)
        report = fleet.finish()
    finally:
        fleet.stop()
    rows, different = database_count(lab, "coap-restart")
    assert rows == different >= report["acknowledged"]
