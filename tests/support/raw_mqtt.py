"""A small MQTT 3.1.1 / 5 client that shows what is on the wire: packet ids, DUP, reason codes and properties are the
test's own choice. Blocking, one thread; nothing is answered by itself."""
import socket
import struct
from dataclasses import dataclass, field

USER_PROPERTY = 0x26
_BYTE = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
_TWO = {0x13, 0x21, 0x22, 0x23}
_FOUR = {0x02, 0x11, 0x18, 0x27}
_TEXT = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F}
_BINARY = {0x09, 0x16}
_VARIABLE = {0x0B}
CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 5, 6, 7, 9, 11, 13, 14


@dataclass
class Packet:
    kind: int
    flags: int
    body: bytes
    packet_id: int = 0
    reason: int = 0
    properties: dict = field(default_factory=dict)
    user: dict = field(default_factory=dict)
    user_list: list = field(default_factory=list)  # user properties in their order
    subscription_ids: list = field(default_factory=list)
    session_present: bool = False
    topic: str = ""
    payload: bytes = b""
    codes: list = field(default_factory=list)

    @property
    def qos(self):
        return self.flags >> 1 & 3

    @property
    def dup(self):
        return bool(self.flags & 8)

    @property
    def retain(self):
        return bool(self.flags & 1)


@dataclass
class Will:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: bytes = b""


class Closed(Exception):
    """The server closed the connection."""


class RawMqtt:
    def __init__(self, port, version=5, timeout=60, stream=None):
        """`stream`: something connected that is used as a socket is (TLS, a WebSocket), in the place of TCP."""
        self.version = version
        self._socket = stream or socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._buffer = b""
        self._early = []  # packets that came before one that was waited for

    def connect(self, user, password, client_id, clean=True, keep_alive=60, properties=b"", will=None,
                receipts=True):
        """Sends CONNECT and returns CONNACK; version 5 asks for receipts."""
        flags = (0x02 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
        if will:
            flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        body = _text("MQTT") + bytes([self.version, flags]) + struct.pack("!H", keep_alive)
        if self.version == 5:
            if receipts:
                properties += bytes([USER_PROPERTY]) + _text("receipts") + _text("true")
            body += _varint(len(properties)) + properties
        body += _text(client_id)
        if will:
            if self.version == 5:
                body += _varint(len(will.properties)) + will.properties
            body += _text(will.topic) + _text(will.payload)
        if user is not None:
            body += _text(user)
        if password is not None:
            body += _text(password)
        self.send(1, 0, body)
        return self.read()

    def publish(self, topic, payload, packet_id=None, dup=False, message_id=None, qos=None, retain=False, properties=b""):
        """Sends one PUBLISH; QoS 1 when there is a packet id. Does not wait for the answer."""
        quality = qos if qos is not None else (1 if packet_id else 0)
        body = _text(topic)
        if packet_id:
            body += struct.pack("!H", packet_id)
        if self.version == 5:
            if message_id:
                properties += bytes([USER_PROPERTY]) + _text("message-id") + _text(message_id)
            body += _varint(len(properties)) + properties
        self.send(3, (8 if dup else 0) | quality << 1 | (1 if retain else 0), body + payload)

    def ask(self, topic, payload, packet_id, **options):
        """PUBLISH with QoS 1 and its PUBACK."""
        self.publish(topic, payload, packet_id, **options)
        answer = self.read()
        assert answer.kind == PUBACK and answer.packet_id == packet_id, answer
        return answer

    def give(self, topic, payload, packet_id=None, qos=0, **options):
        """One PUBLISH with all that its QoS asks for; returns PUBACK or PUBREC."""
        self.publish(topic, payload, packet_id if qos else None, qos=qos, **options)
        if not qos:
            return None
        answer = self.expect(PUBACK if qos == 1 else PUBREC)
        assert answer.packet_id == packet_id, answer
        if qos == 2 and answer.reason < 0x80:
            self.acknowledge(PUBREL, packet_id)
            assert self.expect(PUBCOMP).packet_id == packet_id
        return answer

    def acknowledge(self, kind, packet_id, reason=0):
        """PUBACK, PUBREC, PUBREL or PUBCOMP."""
        body = struct.pack("!H", packet_id) + (bytes([reason]) if self.version == 5 and reason else b"")
        self.send(kind, 2 if kind == PUBREL else 0, body)

    def subscribe(self, *filters, packet_id=1, properties=b""):
        """Filters are (text, options) or text (QoS 2); sends SUBSCRIBE and returns SUBACK. Retained messages come behind it."""
        body = struct.pack("!H", packet_id)
        if self.version == 5:
            body += _varint(len(properties)) + properties
        for one in filters:
            text, options = one if isinstance(one, tuple) else (one, 2)
            body += _text(text) + bytes([options])
        self.send(8, 2, body)
        answer = self.expect(SUBACK)
        assert answer.packet_id == packet_id, answer
        return answer

    def unsubscribe(self, *filters, packet_id=1):
        """Sends UNSUBSCRIBE and returns UNSUBACK."""
        body = struct.pack("!H", packet_id) + (b"\0" if self.version == 5 else b"")
        self.send(10, 2, body + b"".join(map(_text, filters)))
        answer = self.expect(UNSUBACK)
        assert answer.packet_id == packet_id, answer
        return answer

    def expect(self, kind):
        """The next packet, which is of this kind."""
        packet = self.read()
        assert packet.kind == kind, packet
        return packet

    def receive(self):
        """The next PUBLISH, with all that its QoS asks for."""
        message = self.expect(PUBLISH)
        if message.qos == 1:
            self.acknowledge(PUBACK, message.packet_id)
        elif message.qos == 2:
            self.acknowledge(PUBREC, message.packet_id)
            while (packet := self._read_wire()).kind != PUBREL:
                self._early.append(packet)
            assert packet.packet_id == message.packet_id, packet
            self.acknowledge(PUBCOMP, message.packet_id)
        return message

    def assert_quiet(self):
        """Nothing has come: what the server had sent before would stand before PINGRESP."""
        assert self.ping().kind == PINGRESP

    def assert_closed(self, timeout=60):
        """The server closes without a further word (DISCONNECT of version 5 apart, which is returned)."""
        last = None
        try:
            while True:
                last = self.read(timeout)
                assert last.kind == DISCONNECT, last
        except Closed:
            return last

    def ping(self):
        self.send(12, 0, b"")
        return self.read()

    def send(self, kind, flags, body):
        self.send_bytes(bytes([kind << 4 | flags]) + _varint(len(body)) + body)

    def send_bytes(self, data):
        self._socket.sendall(data)

    def read(self, timeout=60):
        """The next packet; Closed when there is none any more; TimeoutError when nothing comes."""
        return self._early.pop(0) if self._early else self._read_wire(timeout)

    def _read_wire(self, timeout=60):
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

    def disconnect(self, reason=0):
        self.send(14, 0, bytes([reason]) if reason else b"")
        self._socket.close()

    def leave(self):
        """DISCONNECT, and the server has taken note of it."""
        self.send(14, 0, b"")
        self.assert_closed()

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
            packet.session_present = bool(body[0] & 1)
            packet.reason = body[1]
            if self.version == 5:
                _read_properties(packet, body[2:])
        elif packet.kind == PUBLISH:
            topic, body = _read_text(body)
            packet.topic = topic.decode()
            if packet.qos:
                packet.packet_id = struct.unpack("!H", body[:2])[0]
                body = body[2:]
            if self.version == 5:
                body = _read_properties(packet, body)
            packet.payload = body
        elif packet.kind in (SUBACK, UNSUBACK):
            packet.packet_id = struct.unpack("!H", body[:2])[0]
            packet.codes = list(_read_properties(packet, body[2:]) if self.version == 5 else body[2:])
        elif packet.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            packet.packet_id = struct.unpack("!H", body[:2])[0]
            if self.version == 5 and len(body) > 2:
                packet.reason = body[2]
                _read_properties(packet, body[3:])
        elif packet.kind == DISCONNECT and body:
            packet.reason = body[0]
            _read_properties(packet, body[1:])
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
    """Returns what stands behind them."""
    if not data:
        return data
    length, used = _read_varint(data)
    data, rest = data[used:used + length], data[used + length:]
    while data:
        key, data = data[0], data[1:]
        if key == USER_PROPERTY:
            name, data = _read_text(data)
            value, data = _read_text(data)
            packet.user[name.decode()] = value.decode()
            packet.user_list.append((name.decode(), value.decode()))
        elif key in _BYTE:
            packet.properties[key], data = data[0], data[1:]
        elif key in _TWO:
            packet.properties[key], data = struct.unpack("!H", data[:2])[0], data[2:]
        elif key in _FOUR:
            packet.properties[key], data = struct.unpack("!I", data[:4])[0], data[4:]
        elif key in _VARIABLE:
            number, used = _read_varint(data)
            packet.subscription_ids.append(number)
            data = data[used:]
        elif key in _TEXT | _BINARY:
            packet.properties[key], data = _read_text(data)
        else:
            raise ValueError(f"unknown property {key:#x}")
    return rest


def encode_properties(values, user=()):
    """{id: number or text} and user properties as they stand in a packet, without their length."""
    out = b""
    for key, value in values.items():
        out += bytes([key])
        if key in _BYTE:
            out += bytes([value])
        elif key in _TWO:
            out += struct.pack("!H", value)
        elif key in _FOUR:
            out += struct.pack("!I", value)
        elif key in _VARIABLE:
            out += _varint(value)
        else:
            out += _text(value)
    for name, value in user:
        out += bytes([USER_PROPERTY]) + _text(name) + _text(value)
    return out


def _read_text(data):
    length = struct.unpack("!H", data[:2])[0]
    return data[2:2 + length], data[2 + length:]
