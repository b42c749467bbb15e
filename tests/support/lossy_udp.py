"""A UDP proxy that loses datagrams, both ways, by a seeded share."""
import random
import selectors
import socket
import threading


class LossyUdp:
    """Forwards 127.0.0.1:port to a server; each client gets a socket of its own towards it, as behind a NAT."""

    def __init__(self, server, loss, seed):
        self._server = server
        self._loss = loss
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._front = _socket()
        self._front.bind(("127.0.0.1", 0))
        self.port = self._front.getsockname()[1]
        self._stop, self._stopped = socket.socketpair()
        self._back = {}  # client's address: socket towards the server
        self.passed = self.lost = 0
        self._selector.register(self._front, selectors.EVENT_READ, self._from_client)
        self._selector.register(self._stopped, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._stop.send(b"x")
        self._thread.join()
        for one in (self._front, self._stop, self._stopped, *self._back.values()):
            one.close()
        self._selector.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def _loses(self):
        if self._random.random() < self._loss:
            self.lost += 1
            return True
        self.passed += 1
        return False

    def _from_client(self, front):
        data, client = front.recvfrom(65536)
        if client not in self._back:
            back = _socket()
            back.connect(self._server)
            self._back[client] = back
            self._selector.register(back, selectors.EVENT_READ, lambda socket_: self._from_server(socket_, client))
        if not self._loses():
            self._back[client].send(data)

    def _from_server(self, back, client):
        try:
            data = back.recv(65536)
        except ConnectionRefusedError:
            return  # the server is away: lost like any other
        if not self._loses():
            self._front.sendto(data, client)


def _socket():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
