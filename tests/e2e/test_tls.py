"""TLS and WebSocket: devices over every transport, certificates that change, and those who do not behave."""
import json
import socket
import ssl
import struct
import subprocess
import threading
import urllib.request

import pytest

from millrace_dev.authority import Authority
from millrace_lab import TENANT, eventually
from raw_mqtt import PUBACK, Closed, RawMqtt
from raw_web_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawWebSocket, Refused
from tls_front import READING, Front

BOTH = pytest.mark.parametrize("version", [4, 5])
TRANSPORTS = pytest.mark.parametrize("transport", ["tls", "ws", "wss"])


@pytest.fixture
def front(lab, tmp_path):
    made = Front(lab, tmp_path / "tls")
    yield made
    made.close()


def test_messages_over_every_transport_are_acknowledged(front):
    for transport in ("tls", "ws", "wss"):
        for version in (4, 5):
            client = front.mqtt(transport, version)
            for packet_id in range(1, 40):
                front.publish(client, packet_id)
            client.close()
    assert front.metric("millrace_gateway_tls_handshakes_total") >= 4


def test_mosquitto_clients_over_tls(front):
    for version in ("311", "5"):
        done = subprocess.run(
            ["mosquitto_pub", "-V", version, "-h", "localhost", "-p", str(front.ports["mqtts"]), "--cafile",
             str(front.authority.ca), "--tls-alpn", "mqtt", "-u", f"{front.device}@{TENANT}", "-P", front.token, "-q", "1",
             "-t", f"devices/{front.device}/telemetry", "-m", READING.decode()],
            capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        done = subprocess.run(  # -E: ends when the subscription is acknowledged
            ["mosquitto_sub", "-V", version, "-h", "localhost", "-p", str(front.ports["mqtts"]), "--cafile",
             str(front.authority.ca), "-u", f"{front.device}@{TENANT}", "-P", front.token, "-E", "-t",
             f"devices/{front.device}/commands"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


@TRANSPORTS
@BOTH
def test_paho_over_every_transport(front, transport, version):
    paho = pytest.importorskip("paho.mqtt.client")
    client = paho.Client(client_id=f"paho-{transport}-{version}", protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
                         transport="tcp" if transport == "tls" else "websockets")
    client.username_pw_set(f"{front.device}@{TENANT}", front.token)
    if transport != "ws":
        client.tls_set_context(front.context())
    connected, published = threading.Event(), threading.Event()
    client.on_connect = lambda _c, _u, _f, code, _p=None: code == 0 and connected.set()
    client.on_publish = lambda *_: published.set()
    port = {"tls": "mqtts", "ws": "mqtt_ws", "wss": "mqtt_wss"}[transport]
    client.connect("localhost", front.ports[port])
    client.loop_start()
    try:
        assert connected.wait(60)
        client.publish(f"devices/{front.device}/telemetry", READING, qos=1)
        assert published.wait(60)
    finally:
        client.disconnect()
        client.loop_stop()


def test_http_over_tls(front):
    request = urllib.request.Request(f"https://localhost:{front.ports['https']}/v1/telemetry", data=READING, headers={
        "Authorization": f"Bearer {front.token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, context=front.context(), timeout=60) as answer:
        assert answer.status == 202 and b"receipt" in answer.read()


@pytest.mark.parametrize("versions", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_resume_sessions(front, versions):
    context = front.context(versions=versions)
    first = front.secure(context=context)
    front.publish(front.mqtt(stream=first))  # the ticket comes with the first bytes of TLS 1.3
    resumed = front.secure(context=context, session=first.session)
    front.publish(front.mqtt(stream=resumed))
    assert resumed.session_reused
    first.close()
    resumed.close()


def test_older_versions_and_other_protocols_are_refused(front):
    old = front.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    for refused in (lambda: front.secure(context=old), lambda: front.secure(alpn=["h2"])):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            refused()
    assert front.secure(alpn=["h2", "mqtt"]).selected_alpn_protocol() == "mqtt"
    eventually(lambda: front.metric('millrace_gateway_tls_handshakes_total{outcome="failed"}') >= 2, 60, "the failures to be counted")


def test_a_client_certificate_is_optional_and_any_is_taken(front, tmp_path):
    stranger = Authority(tmp_path / "stranger").client("stranger")
    for versions in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for certificate in (None, front.authority.client("meter"), stranger):
            context = front.context(certificate, versions)
            first = front.secure(context=context)
            front.publish(front.mqtt(stream=first))
            again = front.secure(context=context, session=first.session)
            front.publish(front.mqtt(stream=again))
            assert again.session_reused
            first.close()
            again.close()


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_new_certificate_is_served_and_nobody_is_cut_off(front, by_signal):
    def serial(context=None):
        with front.secure(context=context) as connection:
            return connection.getpeercert()["serialNumber"]
    kept = front.mqtt()
    context = front.context()
    ticket = front.secure(context=context)
    front.publish(front.mqtt(stream=ticket))
    before = serial()
    text = (front.authority.folder / "server.ext").read_text()
    front.authority.renew("server", "/CN=localhost", text)
    if by_signal:
        front.service.signal(1)
    eventually(lambda: serial() != before, 60, "the new certificate")
    front.publish(kept)
    assert front.secure(context=context, session=ticket.session).session_reused, "tickets outlive the certificate"
    kept.close()


def test_files_that_do_not_fit_leave_the_old_certificate(front):
    front.lab.allowed_errors.add("certificates cannot be read again")
    (front.authority.folder / "server.key").write_text("nonsense")
    eventually(lambda: front.metric('millrace_tls_reloads_total{outcome="failed"}') >= 1, 60, "the failure to be counted")
    front.publish(front.mqtt())
    front.authority.renew("server", "/CN=localhost", (front.authority.folder / "server.ext").read_text())
    eventually(lambda: front.metric('millrace_tls_reloads_total{outcome="done"}') >= 1, 60, "the next ones to be read")
    front.publish(front.mqtt())


def test_garbage_harms_nobody(front):
    kept = front.mqtt()
    for port in ("mqtts", "mqtt_ws", "mqtt_wss", "https"):
        for said in (b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x10\x0c\x00\x04MQTT"):
            with front.tcp(port) as client:
                client.settimeout(60)
                try:
                    client.sendall(said)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
                except OSError as error:  # the gateway may have closed before or while this is said
                    assert not isinstance(error, TimeoutError)
    front.publish(kept)
    for transport in ("tls", "ws", "wss"):
        front.publish(front.mqtt(transport))


# --- WebSocket: section 6 of both standards ---


@BOTH
def test_text_frames_end_the_connection(front, version):
    # [MQTT-6.0.0-1], 3.1.1 [MQTT-6.0.0-1]
    web_socket = front.stream("ws")
    client = front.mqtt(version=version, stream=web_socket)
    front.publish(client)
    web_socket.send_frame(TEXT, b"hello")
    while (frame := web_socket.read_frame()) and frame[0] != CLOSE:
        pass
    assert web_socket.close_code == 1003


@BOTH
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_packets_and_frames_have_nothing_to_do_with_each_other(front, version, size):
    # [MQTT-6.0.0-2], 3.1.1 [MQTT-6.0.0-2]
    web_socket = front.stream("wss")
    web_socket.frame_size = size
    client = front.mqtt(version=version, stream=web_socket)
    for packet_id in range(1, 4):
        front.publish(client, packet_id)
    # Two packets in one message of three frames, with a ping between them and a frame without bytes.
    gathered = []
    client._socket = type("Gather", (), {"sendall": lambda _self, data: gathered.append(data)})()
    for packet_id in (10, 11):
        client.publish(f"devices/{front.device}/telemetry", READING, packet_id)
    client._socket = web_socket
    both = b"".join(gathered)
    web_socket.send_frame(BINARY, both[:7], final=False)
    web_socket.send_frame(PING, b"are you there")
    web_socket.send_frame(CONTINUATION, b"", final=False)
    web_socket.send_frame(CONTINUATION, both[7:])
    pongs, acknowledged = [], []
    while len(acknowledged) < 2:
        opcode, payload = web_socket.read_frame()
        if opcode == PONG:
            pongs.append(payload)
        else:
            while payload:
                assert payload[0] >> 4 == PUBACK
                acknowledged.append(struct.unpack("!H", payload[2:4])[0])
                payload = payload[2 + payload[1]:]
    assert acknowledged == [10, 11] and pongs == [b"are you there"]


@BOTH
@pytest.mark.parametrize("transport", ["ws", "wss"])
def test_each_packet_comes_in_a_message_of_its_own(front, version, transport):
    """Paho's C library looks at the rest of a message only when the next one has come."""
    web_socket = front.stream(transport)
    front.publish(front.mqtt(version=version, stream=web_socket))
    web_socket.send_frame(BINARY, b"\xc0\x00" * 3)  # PINGREQ
    assert [web_socket.read_frame() for _ in range(3)] == [(BINARY, b"\xd0\x00")] * 3


def test_the_subprotocol_is_mqtt_and_must_be_offered(front):
    # [MQTT-6.0.0-4], 3.1.1 [MQTT-6.0.0-4]
    for offered in ("mqtt", "chat, mqtt"):
        assert "\r\nSec-WebSocket-Protocol: mqtt" in RawWebSocket(front.tcp("mqtt_ws"), subprotocol=offered).response
    for offered in (None, "chat", "mqttv3.1"):
        with pytest.raises(Refused, match="400"):
            RawWebSocket(front.tcp("mqtt_ws"), subprotocol=offered)
    with pytest.raises(Refused, match="404"):
        RawWebSocket(front.tcp("mqtt_ws"), path="/elsewhere")
    with pytest.raises(Refused, match="431"):
        RawWebSocket(front.tcp("mqtt_ws"), fields=f"X: {'x' * 20000}\r\n")
    with front.tcp("mqtt_ws") as client:
        client.sendall(b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 426")


def test_a_message_that_is_too_large_ends_the_connection(front):
    web_socket = front.stream("ws")
    front.mqtt(stream=web_socket)
    for i in range(9):  # 9 x 64 KiB: more than twice the largest packet
        web_socket.send_frame(BINARY if i == 0 else CONTINUATION, b"\x30" + b"\xff\xff\x03" + b"x" * 65532 if i == 0 else b"x" * 65536,
                              final=False)
    while (frame := web_socket.read_frame()) and frame[0] != CLOSE:
        pass
    assert web_socket.close_code in (1009, 1000)  # or MQTT ends it first: the packet is malformed


# --- admission ---


@pytest.fixture
def narrow(lab, tmp_path):
    made = Front(lab, tmp_path / "tls", HANDSHAKE_DEADLINE_MS=1500, TLS_HANDSHAKES_PER_S=10, IO_THREADS=1,
                 PROXY_PROTOCOL_FROM="127.0.0.2,127.0.1.0/24")
    yield made
    made.close()


def test_slow_handshakes_end_at_the_deadline(narrow):
    silent = [narrow.tcp(port) for port in ("mqtts", "mqtt_wss", "mqtt_ws", "https") for _ in range(3)]
    kept = narrow.mqtt()
    narrow.publish(kept)
    for client in silent:
        client.settimeout(60)
        assert client.recv(1) == b"", "closed by the server"
        client.close()
    narrow.publish(kept, 2)
    assert narrow.metric('millrace_gateway_tls_handshakes_total{outcome="timeout"}') >= 9


def test_half_open_handshakes_are_bounded_and_leave_room_for_others(lab, tmp_path):
    front = Front(lab, tmp_path / "tls", TLS_HANDSHAKES_LIMIT=4, TLS_HANDSHAKES_PER_ADDRESS_LIMIT=3, HANDSHAKE_DEADLINE_MS=300000)
    under_way, waiting = ("millrace_gateway_tls_handshakes_" + name for name in ("under_way", "waiting"))
    try:
        begun = [_from("127.0.0.9", front.ports[port]) for port in ("mqtts", "https", "mqtt_wss") for _ in range(5)]
        assert front.metric(under_way) == 0, "who has sent nothing costs nothing"
        for client in begun:
            client.sendall(b"\x16\x03\x01")  # the beginning of a ClientHello
        eventually(lambda: (front.metric(under_way), front.metric(waiting)) == (3, 12), 60, "the bound of an address")
        for _ in range(3):  # others go on, one after the other
            device = front.mqtt()
            front.publish(device)
            device.close()
        for client in begun:
            client.close()
        eventually(lambda: (front.metric(under_way), front.metric(waiting)) == (0, 0), 60, "nobody to be left")
    finally:
        front.close()


def test_a_storm_waits_in_the_backlog(narrow):
    outcomes = []

    def come():
        client = narrow.mqtt()
        narrow.publish(client)
        outcomes.append("back")
        client.close()
    threads = [threading.Thread(target=come) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert outcomes == ["back"] * 30, "nobody is refused"
    assert narrow.metric("millrace_gateway_mqtt_accept_pauses_total") > 0


def _from(address, port):
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))


def _header(source="10.9.8.7", command=0x21, extensions=b""):
    body = socket.inet_aton(source) + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 4711, 8883) + extensions
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x11]) + struct.pack("!H", len(body)) + body


def test_a_balancer_says_who_it_is(narrow):
    mqtt = narrow.service.ports["mqtt"]
    for address in ("127.0.0.2", "127.0.1.77"):
        plain = _from(address, mqtt)
        plain.sendall(_header(extensions=b"\x04\x00\x04abcd"))
        narrow.publish(narrow.mqtt(stream=plain))
        raw = _from(address, narrow.ports["mqtts"])
        raw.sendall(_header(command=0x20))
        narrow.publish(narrow.mqtt(stream=narrow.context().wrap_socket(raw, server_hostname="localhost")))
    # Without the header from a balancer, and with it from anybody else, it is no MQTT.
    silent = RawMqtt(None, 5, stream=_from("127.0.0.2", mqtt))
    with pytest.raises((Closed, ConnectionError)):
        silent.connect(f"{narrow.device}@{TENANT}", narrow.token, "no-header")
    with socket.create_connection(("127.0.0.1", mqtt), timeout=60) as liar:
        liar.sendall(_header())
        assert liar.recv(1) == b""
    eventually(lambda: narrow.metric("millrace_gateway_proxy_headers_refused_total") >= 1, 60, "the refusal to be counted")


def test_an_address_without_credentials_takes_no_more_than_its_places(lab, tmp_path):
    front = Front(lab, tmp_path / "tls", UNIDENTIFIED_PER_ADDRESS_LIMIT=3, PROXY_PROTOCOL_FROM="127.0.0.2")
    ports = [front.service.ports["mqtt"], front.service.ports["http"], front.ports["mqtts"], front.ports["https"]]

    def shut_out(stream):
        try:
            return stream.recv(1) == b""
        except ConnectionResetError:
            return True

    def let_in(address):
        try:
            return front.mqtt(stream=_from(address, ports[0]))
        except (Closed, ConnectionError):
            return None
    try:
        silent = [_from("127.0.0.9", port) for port in ports[:3]]
        assert all(shut_out(_from("127.0.0.9", port)) for port in ports)
        eventually(lambda: front.metric("millrace_gateway_strangers_refused_total") == 4, 60, "the four to be counted")
        kept = [let_in("127.0.0.8") for _ in range(5)]
        assert all(kept), "who has shown credentials is counted no more, and other addresses are not concerned"
        silent[0].close()
        kept += [eventually(lambda: let_in("127.0.0.9"), 60, "the place of the one that has gone") for _ in range(2)]
        for client in kept:
            front.publish(client)
        # Through a balancer it is the address that the header names.
        refused = front.metric("millrace_gateway_strangers_refused_total")
        begun = [_from("127.0.0.2", ports[0]) for _ in range(4)]
        for stream in begun:
            stream.sendall(_header())
        eventually(lambda: front.metric("millrace_gateway_strangers_refused_total") > refused, 60, "one of four to be refused")
        other = _from("127.0.0.2", ports[0])
        other.sendall(_header(source="10.9.8.8"))
        front.publish(front.mqtt(stream=other))
    finally:
        front.close()


@pytest.mark.parametrize("scheme, port", [("mqtts", "mqtts"), ("ws", "mqtt_ws"), ("wss", "mqtt_wss")])
def test_the_fleet_speaks_every_transport(front, run_program, tmp_path, scheme, port):
    file = tmp_path / "credentials.csv"
    file.write_text(f"device,token\n{front.device},{front.token}\n")
    done = run_program("millrace-fleet", "--mqtt", f"{scheme}://localhost:{front.ports[port]}", "--ca", front.authority.ca,
                       "--credentials", file, "--protocol", "mqtt5", "--rate", 200, "--duration", 2, "--json")
    report = json.loads(done.stdout)
    assert report["acknowledged"] == report["sent"] > 100


def test_grpc_over_tls(front, run_program, tmp_path):
    """Both APIs, with certificates that are renewed while they serve."""
    lab = front.lab
    lab.allowed_errors.add(".cc:")  # gRPC says on stderr that clients left
    certificate, key = front.authority.server()
    ports = {}
    for kind, variable, port in (("device-registry", "REGISTRY", "registry"), ("query-api", "QUERY", "query")):
        prefix = "MILLRACE_" + kind.upper().replace("-", "_") + "_"
        service = lab.add_service(kind, f"tls-{kind}", extra={prefix + "TLS_CERTIFICATE_FILE": str(certificate),
                                                              prefix + "TLS_KEY_FILE": str(key)})
        service.wait_ready()
        ports[port] = service.ports[port]
    try:
        calls = (("--registry", "registry", ("device", "list")), ("--query", "query", ("alerts",)))
        for flag, port, call in calls:
            address = f"localhost:{ports[port]}"
            run_program("millrace", flag, address, "--ca", front.authority.ca, *call)
            stranger = Authority(tmp_path / "stranger")
            stranger.ensure()
            assert run_program("millrace", "--timeout", 10, flag, address, "--ca", stranger.ca, *call, check=False).returncode
            assert run_program("millrace", "--timeout", 10, flag, address, *call, check=False).returncode

        context = front.context()
        context.set_alpn_protocols(["h2"])

        def serial():
            with context.wrap_socket(socket.create_connection(("127.0.0.1", ports["query"]), timeout=60),
                                     server_hostname="localhost") as connection:
                return connection.getpeercert()["serialNumber"]
        before = serial()
        front.authority.renew("server", "/CN=localhost", (front.authority.folder / "server.ext").read_text())
        eventually(lambda: serial() != before, 60, "gRPC to serve the new certificate")
    finally:
        for name in ("tls-device-registry", "tls-query-api"):
            lab.drop_service(name)
