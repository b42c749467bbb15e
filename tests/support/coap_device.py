"""A device that speaks CoAP without DTLS, one request at a time, and shows code, Max-Age and payload of the answer."""
import os
import random
import socket
import struct

from garbage_coap import CONTENT_FORMAT, URI_PATH, URI_QUERY, message

MAX_AGE = 14


class CoapDevice:
    def __init__(self, port, device, token, tenant="demo"):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._options = [(URI_PATH, b"v1"), (URI_PATH, b"telemetry"), (CONTENT_FORMAT, b"\x32"),
                         (URI_QUERY, f"device={device}@{tenant}".encode()), (URI_QUERY, f"token={token}".encode())]
        self._id = random.randrange(1 << 15)

    def add_options(self, *options):
        """Of all requests from now on."""
        self._options.extend(options)

    def move(self, port):
        """To another gateway, from the port that it had."""
        self._socket.connect(("127.0.0.1", port))

    def post(self, payload, message_id=None, token=None, kind=0, options=()):
        """(code such as "2.04", Max-Age or None, payload); repeats as RFC 7252 section 4.2 says. The test may choose message id,
        token and kind (1: non-confirmable), and add options to this request."""
        self._id += 1
        token = token or os.urandom(4)
        data = message(message_id or self._id, self._options + list(options), payload, token=token, kind=kind)
        for wait in (2, 4, 8, 16, 32):
            self._socket.send(data)
            self._socket.settimeout(wait)
            try:
                while True:
                    answer = self._socket.recv(65536)
                    if answer[1] == 0 or answer[4:4 + (answer[0] & 15)] != token:
                        continue  # an empty acknowledgement, or what belongs to an earlier request
                    if answer[0] >> 4 & 3 == 0:
                        self._socket.send(bytes([0x60, 0]) + answer[2:4])
                    return _parse(answer)
            except TimeoutError:
                continue
        raise TimeoutError("no answer")

    def close(self):
        self._socket.close()


def _parse(answer):
    code = f"{answer[1] >> 5}.{answer[1] & 31:02}"
    at, number, max_age = 4 + (answer[0] & 15), 0, None
    while at < len(answer) and answer[at] != 0xFF:
        delta, length = answer[at] >> 4, answer[at] & 15
        at += 1
        delta, at = _extended(answer, delta, at)
        length, at = _extended(answer, length, at)
        number += delta
        if number == MAX_AGE:
            max_age = int.from_bytes(answer[at:at + length], "big")
        at += length
    return code, max_age, answer[at + 1:]


def _extended(answer, nibble, at):
    if nibble == 13:
        return answer[at] + 13, at + 1
    if nibble == 14:
        return struct.unpack("!H", answer[at:at + 2])[0] + 269, at + 2
    return nibble, at
