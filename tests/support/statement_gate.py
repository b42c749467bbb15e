"""A place between a program and PostgreSQL where the program stops at a statement, before the server has it or after the server
has done it. The program must not use COPY. Texts are those of the messages Query and Parse (manual, chapter 55)."""
import select
import socket
import struct
import threading

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_DONE = (0, 12)  # AuthenticationOk, AuthenticationSASLFinal: the client has nothing to answer


class StatementGate:
    """Passes each connection on to `server_port`. hold() before the program starts; close() at the end."""

    def __init__(self, server_port):
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closed = False
        self.statements = []  # of the last connection
        self.hold(0, after=False)
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, number, after):
        """A connection stops at its statement of this number, counted from 1; 0: at none."""
        self.held = threading.Event()
        self._number, self._after = number, after
        self._released = threading.Event()

    def go_on(self, number=0, after=False):
        """What is held goes on, to the statement of this number."""
        released = self._released
        self.hold(number, after)
        released.set()

    def close(self):
        self._closed = True
        self._released.set()
        self._listener.close()

    def _accept(self):
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            self.statements = []
            try:
                if _start(client, server):
                    while self._turn(client, server):
                        pass
            except (ConnectionError, EOFError):
                pass  # one of the two is gone, and so is the other when this returns

    def _turn(self, client, server):
        """One request and its answer; False at the end of the session."""
        request, statement = b"", None
        while True:
            kind, body = _message(client)
            request += kind + struct.pack(">I", len(body) + 4) + body
            if kind in b"QP":
                statement = (body if kind == b"Q" else body.split(b"\0", 1)[1]).split(b"\0", 1)[0].decode()
            if kind in b"QSX":
                break
        if statement is not None:
            self.statements.append(statement)
        here = statement is not None and len(self.statements) == self._number
        if here and not self._after and not self._wait(client):
            return False
        server.sendall(request)
        if kind == b"X":
            return False
        answer = _until_ready(server)
        if here and self._after and not self._wait(client):
            return False
        client.sendall(answer)
        return True

    def _wait(self, client):
        """False: the program is gone."""
        released = self._released
        self.held.set()
        while not released.wait(0.01):
            if select.select([client], [], [], 0)[0] and not client.recv(1, socket.MSG_PEEK):
                return False
        return not self._closed


def _exactly(source, size):
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _message(source):
    head = _exactly(source, 5)
    return head[:1], _exactly(source, struct.unpack(">I", head[1:])[0] - 4)


def _until_ready(server):
    answer = b""
    while True:
        kind, body = _message(server)
        answer += kind + struct.pack(">I", len(body) + 4) + body
        if kind == b"Z":
            return answer


def _start(client, server):
    """Up to the first ReadyForQuery; False where there is no session to come."""
    while True:
        size = struct.unpack(">I", _exactly(client, 4))[0]
        body = _exactly(client, size - 4)
        code = struct.unpack(">I", body[:4])[0]
        if code not in (_SSL, _GSS):
            break
        client.sendall(b"N")
    server.sendall(struct.pack(">I", size) + body)
    while code != _CANCEL:
        kind, body = _message(server)
        client.sendall(kind + struct.pack(">I", len(body) + 4) + body)
        if kind == b"Z":
            return True
        if kind == b"R" and struct.unpack(">I", body[:4])[0] not in _DONE:
            kind, body = _message(client)
            server.sendall(kind + struct.pack(">I", len(body) + 4) + body)
    return False
