"""A small MQTT 3.1.1 / 5 client that shows what is on the wire: packet ids, DUP, reason codes and properties are the
test's own choice. Blocking, one thread, QoS 0 and 1."""
import socket
import struct
from dataclasses import dataclass, field

USER_PROPERTY = 0x26
_BYTE = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
_TWO = {0x13, 0x21, 0x22, 0x23}
_FOUR = {0x02, 0x11, 0x18, 0x27}
_TEXT = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F}
_BINARY = {0x09, 0x16}
CONNACK, PUBACK, PINGRESP, DISCONNECT = 2, 4, 13, 14


@dataclass
class Packet:
    kind: int
    flags: int
    body: bytes
    packet_id: int = 0
    reason: int = 0
    properties: dict = field(default_factory=dict)
    user: dict = field(default_factory=dict)


class Closed(Exception):
    """The server closed the connection."""


class RawMqtt:
    def __init__(self, port, version=5, timeout=60):
        self.version = version
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._buffer = b""

    def connect(self, user, password, client_id, clean=True, keep_alive=60, properties=b""):
        """Sends CONNECT and returns CONNACK."""
        flags = (0x02 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
        body = _text("MQTT") + bytes([self.version, flags]) + struct.pack("!H", keep_alive)
        if self.version == 5:
            body += _varint(len(properties)) + properties
        body += _text(client_id)
        if user is not None:
            body += _text(user)
        if password is not None:
            body += _text(password)
        self.send(1, 0, body)
        return self.read()

    def publish(self, topic, payload, packet_id=None, dup=False, message_id=None, qos=None):
        """Sends one PUBLISH; QoS 1 when there is a packet id. Does not wait for the answer."""
        quality = qos if qos is not None else (1 if packet_id else 0)
        body = _text(topic)
        if packet_id:
            body += struct.pack("!H", packet_id)
        if self.version == 5:
            properties = bytes([USER_PROPERTY]) + _text("message-id") + _text(message_id) if message_id else b""
            body += _varint(len(properties)) + properties
        self.send(3, (8 if dup else 0) | quality << 1, body + payload)

    def ask(self, topic, payload, packet_id, **options):
        """PUBLISH with QoS 1 and its PUBACK."""
        self.publish(topic, payload, packet_id, **options)
        answer = self.read()
        assert answer.kind == PUBACK and answer.packet_id == packet_id, answer
        return answer

    def ping(self):
        self.send(12, 0, b"")
        return self.read()

    def send(self, kind, flags, body):
        self.send_bytes(bytes([kind << 4 | flags]) + _varint(len(body)) + body)

    def send_bytes(self, data):
        self._socket.sendall(data)

    def read(self, timeout=60):
        """The next packet; Closed when there is none any more; TimeoutError when nothing comes."""
        self._socket.settimeout(timeout)
        first = self._take(1)[0]
        length, shift = 0, 0
        while True:
            byte = self._take(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        return self._parse(Packet(first >> 4, first & 15, self._take(length)))

    def close(self):
        """Without DISCONNECT, as a device that lost its network."""
        self._socket.close()

    def disconnect(self):
        self.send(14, 0, b"")
        self._socket.close()

    def _take(self, count):
        while len(self._buffer) < count:
            try:
                chunk = self._socket.recv(65536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise Closed()
            self._buffer += chunk
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _parse(self, packet):
        body = packet.body
        if packet.kind == CONNACK:
            packet.reason = body[1]
            if self.version == 5:
                _read_properties(packet, body[2:])
        elif packet.kind == PUBACK:
            packet.packet_id = struct.unpack("!H", body[:2])[0]
            if self.version == 5 and len(body) > 2:
                packet.reason = body[2]
                _read_properties(packet, body[3:])
        elif packet.kind == DISCONNECT and body:
            packet.reason = body[0]
        return packet


def _text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("!H", len(data)) + data


def _varint(number):
    out = b""
    while True:
        byte, number = number & 0x7F, number >> 7
        out += bytes([byte | (0x80 if number else 0)])
        if not number:
            return out


def _read_varint(data):
    number, shift = 0, 0
    for count, byte in enumerate(data, 1):
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, count
    raise ValueError("unfinished number")


def _read_properties(packet, data):
    if not data:
        return
    length, used = _read_varint(data)
    data = data[used:used + length]
    while data:
        key, data = data[0], data[1:]
        if key == USER_PROPERTY:
            name, data = _read_text(data)
            value, data = _read_text(data)
            packet.user[name.decode()] = value.decode()
        elif key in _BYTE:
            packet.properties[key], data = data[0], data[1:]
        elif key in _TWO:
            packet.properties[key], data = struct.unpack("!H", data[:2])[0], data[2:]
        elif key in _FOUR:
            packet.properties[key], data = struct.unpack("!I", data[:4])[0], data[4:]
        elif key in _TEXT | _BINARY:
            packet.properties[key], data = _read_text(data)
        else:
            raise ValueError(f"unknown property {key:#x}")


def _read_text(data):
    length = struct.unpack("!H", data[:2])[0]
    return data[2:2 + length], data[2 + length:]
