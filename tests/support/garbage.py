"""Peers that send garbage, send slowly, or send too much. Each function returns when it is done and raises AssertionError
where the server does not do what it must; a closed connection is a right answer to garbage."""
import base64
import random
import socket
import time

REFUSED = b"HTTP/1.1 4"


def connect(port, timeout=30):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def exchange(port, data, timeout=30, end=False):
    """Sends everything that the server takes and returns what it answers until it closes or is silent."""
    answer = b""
    with connect(port, timeout) as peer:
        try:
            peer.sendall(data)
            if end:
                peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused in the middle: the answer may still be there
        try:
            while chunk := peer.recv(65536):
                answer += chunk
                if len(answer) > 1 << 20:
                    break
        except OSError:
            pass
    return answer


def random_bytes(ports, seed, count=40):
    """Random bytes on every TCP port, some behind a valid beginning."""
    dice = random.Random(seed)
    heads = [b"", b"GET / HTTP/1.1\r\n", b"POST /v1/telemetry HTTP/1.1\r\nHost: x\r\n", b"\x10", b"\x10\x20\x00\x04MQTT\x05",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01"]
    for port in ports:
        for _ in range(count):
            exchange(port, dice.choice(heads) + dice.randbytes(dice.randrange(1, 8192)), timeout=20, end=True)


def packets_before_connect(port):
    """Every MQTT packet type before CONNECT: the connection is closed."""
    for kind in range(16):
        if kind == 1:
            continue
        for flags in (0, 2, 15):
            for body in (b"", b"\x00\x01", b"\x00\x03a/bpayload"):
                answer = exchange(port, bytes([kind << 4 | flags, len(body)]) + body)
                assert len(answer) < 100, f"MQTT packet {kind} before CONNECT was answered with {answer[:40]!r}"
    for head in (b"\x10\xff\xff\xff\xff\x7f", b"\x10\xff\xff\xff\x7f", b"\x10\x80\x80\x80\x00"):
        exchange(port, head + b"x" * 4096, end=True)


def credentials(user, token):
    return base64.b64encode(f"{user}:{token}".encode()).decode()


def http_request(headers, body, login):
    return (f"POST /v1/telemetry HTTP/1.1\r\nHost: millrace\r\nAuthorization: Basic {login}\r\n"
            f"Content-Type: application/json\r\n{headers}\r\n\r\n").encode() + body


def smuggling(port, login):
    """Requests that two servers in a row might read differently: each is refused, and what hides behind is no request."""
    hidden = b"GET /livez HTTP/1.1\r\nHost: millrace\r\n\r\n"
    shapes = {
        "length and chunked": ("Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + hidden),
        "two lengths": ("Content-Length: 7\r\nContent-Length: 9", b'{"a":1}' + hidden),
        "list of lengths": ("Content-Length: 7, 9", b'{"a":1}' + hidden),
        "signed length": ("Content-Length: +7", b'{"a":1}' + hidden),
        "hexadecimal length": ("Content-Length: 0x7", b'{"a":1}' + hidden),
        "negative length": ("Content-Length: -7", b'{"a":1}' + hidden),
        "space before the colon": ("Content-Length : 7", b'{"a":1}' + hidden),
        "unknown coding": ("Transfer-Encoding: xchunked", b"0\r\n\r\n" + hidden),
        "chunked twice": ("Transfer-Encoding: chunked, chunked", b"0\r\n\r\n" + hidden),
        "chunk size too large": ("Transfer-Encoding: chunked", b"ffffffffffffffffff\r\n" + hidden),
        "bare LF": ("Content-Length: 7\nX-A: 1", b'{"a":1}' + hidden),
        "NUL in a header": ("X-A: \x00\r\nContent-Length: 7", b'{"a":1}' + hidden),
    }
    for name, (headers, body) in shapes.items():
        answer = exchange(port, http_request(headers, body, login), end=True)
        answers = answer.count(b"HTTP/1.1 ")
        assert answer == b"" or (answer.startswith((REFUSED, b"HTTP/1.1 501")) and answers == 1), f"{name}: {answer[:200]!r}"


def huge_bodies(port, login):
    """A gigabyte, announced and not: refused before it is read."""
    announced = exchange(port, http_request("Content-Length: 1073741824", b"x" * 65536, login))
    assert announced.startswith(b"HTTP/1.1 413"), announced[:200]
    with connect(port) as peer:
        sent, answer = 0, b""
        try:
            peer.sendall(http_request("Transfer-Encoding: chunked", b"", login))
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            while sent < 1 << 30:
                peer.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        try:
            answer = peer.recv(4096)
        except OSError:
            pass
        assert sent < 64 << 20, f"{sent >> 20} MiB of an endless body were taken"
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413"), answer[:200]
    header = exchange(port, b"POST /v1/telemetry HTTP/1.1\r\nX: " + b"a" * (4 << 20))
    assert header == b"" or header.startswith(REFUSED), header[:200]


def deep_json(port, login):
    """Nested 100,000 deep: refused with its reason."""
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        answer = exchange(port, http_request(f"Content-Length: {len(body)}\r\nConnection: close", body, login))
        assert answer.startswith(b"HTTP/1.1 4"), answer[:200]


def half_open(ports, count):
    """Connections that begin something and never go on; the caller closes them."""
    peers = []
    for number in range(count):
        peer = connect(ports[number % len(ports)])
        peer.sendall((b"\x10", b"POST /v1", b"")[number % 3])
        peers.append(peer)
    return peers


def one_byte_a_second(port, data, seconds):
    """Sends byte by byte until the server closes or the time is over; returns whether it closed."""
    deadline = time.monotonic() + seconds
    with connect(port) as peer:
        peer.settimeout(1)
        for byte in data:
            if time.monotonic() > deadline:
                return False
            try:
                peer.sendall(bytes([byte]))
                if peer.recv(4096) == b"":
                    return True
            except TimeoutError:
                continue
            except OSError:
                return True
    return False
