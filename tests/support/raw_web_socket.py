"""A small WebSocket client (RFC 6455) that shows what is on the wire: frames are the test's own choice."""
import base64
import os
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Refused(Exception):
    """The server answered something else than 101."""


class RawWebSocket:
    """Over a connected socket. sendall() and recv() carry bytes in binary frames, so that it is used as a socket is."""

    def __init__(self, stream, path="/mqtt", subprotocol="mqtt", host="localhost", fields=""):
        self._stream = stream
        self.frame_size = None  # of sendall(): the most bytes in a frame; None: one frame
        self.close_code = None
        protocol = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        stream.sendall((f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                        f"Sec-WebSocket-Version: 13\r\n{protocol}{fields}\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = stream.recv(4096)
            if not more:
                break
            head += more
        head, _, self._raw = head.partition(b"\r\n\r\n")
        self.response = head.decode()
        if not self.response.startswith("HTTP/1.1 101"):
            raise Refused(self.response)

    def send_frame(self, opcode, payload, final=True, masked=True):
        size = len(payload)
        head = bytes([(0x80 if final else 0) | opcode])
        mark = 0x80 if masked else 0
        if size < 126:
            head += bytes([mark | size])
        elif size < 65536:
            head += bytes([mark | 126]) + struct.pack("!H", size)
        else:
            head += bytes([mark | 127]) + struct.pack("!Q", size)
        mask = os.urandom(4) if masked else b""
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload
        self._stream.sendall(head + mask + body)

    def read_frame(self):
        """(opcode, payload); None at the end of the connection."""
        head = self._exactly(2)
        if head is None:
            return None
        assert not head[1] & 0x80, "a server does not mask"
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._exactly(8))[0]
        payload = self._exactly(size)
        opcode = head[0] & 0x0F
        if opcode == CLOSE and payload:
            self.close_code = struct.unpack("!H", payload[:2])[0]
        return opcode, payload

    def sendall(self, data):
        size = self.frame_size or max(1, len(data))
        for i in range(0, len(data), size):
            self.send_frame(BINARY, data[i:i + size])

    def recv(self, _size):
        """The bytes of the next data frame; empty at the end."""
        while True:
            frame = self.read_frame()
            if frame is None or frame[0] == CLOSE:
                return b""
            if frame[0] == PING:
                self.send_frame(PONG, frame[1])
            elif frame[0] in (BINARY, CONTINUATION) and frame[1]:
                return frame[1]

    def settimeout(self, seconds):
        self._stream.settimeout(seconds)

    def shutdown(self, how):
        self._stream.shutdown(how)

    def close(self):
        self._stream.close()

    def _exactly(self, size):
        while len(self._raw) < size:
            try:
                more = self._stream.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return None
            self._raw += more
        taken, self._raw = self._raw[:size], self._raw[size:]
        return taken
