"""Peers that abuse CoAP: datagrams that are no messages, and block-wise transfers that never become a body (RFC 7252, RFC 7959)."""
import os
import random
import socket
import struct

URI_PATH, CONTENT_FORMAT, URI_QUERY, BLOCK1, SIZE1 = 11, 12, 15, 27, 60
REFUSED = range(400, 600)


def _varint(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _extended(number):
    """RFC 7252 section 3.1: the nibble of an option's delta or length, and what follows."""
    if number < 13:
        return number, b""
    if number < 269:
        return 13, bytes([number - 13])
    return 14, struct.pack(">H", number - 269)


def message(message_id, options, payload, token=b"\x01", kind=0):
    """A POST; `options` are (number, value)."""
    out, last = bytes([0x40 | kind << 4 | len(token), 2]) + struct.pack(">H", message_id & 0xFFFF) + token, 0
    for number, value in sorted(options, key=lambda option: option[0]):
        (delta, more), (length, rest) = _extended(number - last), _extended(len(value))
        out += bytes([delta << 4 | length]) + more + rest + value
        last = number
    return out + (b"\xff" + payload if payload else b"")


def block(number, more, exponent):
    return BLOCK1, _varint(number << 4 | more << 3 | exponent)


class Peer:
    """One UDP socket; its messages carry the device's credentials."""

    def __init__(self, port, device, token):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._login = [(URI_PATH, b"v1"), (URI_PATH, b"telemetry"), (CONTENT_FORMAT, b"\x32"),
                       (URI_QUERY, f"device={device}".encode()), (URI_QUERY, f"token={token}".encode())]
        self._id = random.randrange(1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, options, payload):
        self._id += 1
        self._socket.send(message(self._id, self._login + options, payload, token=os.urandom(4)))

    def ask(self, options, payload):
        """The status of the answer (231 for 2.31), which may come after an empty acknowledgement; the message is sent again
        as RFC 7252 section 4.2 says."""
        self._id += 1
        token = os.urandom(4)
        data = message(self._id, self._login + options, payload, token=token)
        for wait in (2, 4, 8, 16, 32):
            self._socket.send(data)
            self._socket.settimeout(wait)
            try:
                while True:
                    answer = self._socket.recv(65536)
                    if len(answer) >= 4 and answer[1] != 0 and answer[4:4 + (answer[0] & 15)] == token:
                        return (answer[1] >> 5) * 100 + (answer[1] & 31)
                    if len(answer) >= 4 and answer[0] >> 4 & 3 == 3:
                        return 0  # reset
            except OSError:
                continue
        raise AssertionError("no answer over CoAP within a minute")


def random_datagrams(ports, seed, count=4000):
    """Random bytes, some of them behind a valid header, and beginnings of DTLS records; nobody has to answer."""
    dice = random.Random(seed)
    heads = [b"", b"\x40\x02\x00\x01", b"\x48\x02\x00\x01" + bytes(8), b"\x40\x02\x00\x01\xff", b"\x4f\x02\x00\x01",
             b"\x40\x02\x00\x01\xdd\xff\xff\xff\xff", b"\x16\xfe\xfd" + bytes(8) + b"\x01\x00\x01", b"\x17\xfe\xfd\x00\x01"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for number in range(count):
            try:
                peer.sendto(dice.choice(heads) + dice.randbytes(dice.randrange(0, 1400)), ("127.0.0.1", ports[number % len(ports)]))
            except ConnectionRefusedError as refused:
                raise AssertionError("the port is closed: the listener is gone") from refused


def block_abuse(port, device, token):
    """Transfers that are begun and left, repeated, torn, announced too large, and larger than announced."""
    full = b"x" * 1024
    with Peer(port, device, token) as peer:
        assert peer.ask([block((1 << 20) - 1, 1, 6)], full) in REFUSED, "the last block of a body that has none before"
        assert peer.ask([block(0, 1, 6), (SIZE1, _varint(1 << 30))], full) in REFUSED, "a gigabyte was announced"
        assert peer.ask([block(0, 1, 7)], full) in (*REFUSED, 0), "a block size that does not exist"
        assert peer.ask([block(0, 1, 6)], b"short") in REFUSED, "a block that is not full"
        assert peer.ask([block(0, 1, 6)], full) == 231
        assert peer.ask([block(2, 1, 6)], full) in REFUSED, "a block was left out"
        number, status = 0, 231
        while status == 231 and number < 10_000:
            status = peer.ask([block(number, 1, 6)], full)
            number += 1
        assert status in REFUSED, "an endless body was taken"
    for round_number in range(2000):
        with Peer(port, device, token) as peer:  # another sender each time, as its address says
            peer.send([block(0, 1, 6)], full)
            peer.send([block(1 + round_number % 3, 1, 6)], full)
    with Peer(port, device, token) as peer:
        status = peer.ask([], b'{"after_the_abuse":1}')
        assert status == 204, f"a good message after the abuse was answered with {status}"
