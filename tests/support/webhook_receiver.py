"""A webhook's receiver for tests: records every request, checks its signature, and fails, hangs or goes away on demand."""
import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG = 0


@dataclass
class Received:
    """One request as it came in."""
    path: str
    headers: dict
    raw: bytes
    key: str            # Idempotency-Key
    signed: bool        # whether Millrace-Signature fits the path's secret
    status: int = HANG  # what it was answered; HANG: nothing (yet)
    alert: dict = field(default_factory=dict)
    at: float = 0.0     # when it had come in, seconds since the epoch


def sign(secret, unix_seconds, body):
    """The value of Millrace-Signature."""
    mac = hmac.new(secret.encode(), f"{unix_seconds}.".encode() + body, hashlib.sha256)
    return f"t={unix_seconds},v1={mac.hexdigest()}"


def is_signed(secret, header, body):
    """What a receiver has to check, besides the age of `t`."""
    parts = dict(part.split("=", 1) for part in (header or "").split(",") if "=" in part)
    return "t" in parts and hmac.compare_digest(sign(secret, parts["t"], body), header)


class WebhookReceiver:
    """Start with start() or `with`. Each path is a receiver of its own: it has a secret and a behaviour. A port that was
    given once is kept over stop() and start(), so that a receiver can be away for a while."""

    def __init__(self, port=0):
        self._port = port
        self._server = None
        self._thread = None
        self._changed = threading.Condition()
        self._received = []
        self._delivered = []
        self._secrets = {}
        self._answers = {}  # path: (status, headers)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """Refuses connections from now on. Requests that hang are let go without an answer."""
        if self._server is None:
            return
        server, self._server = self._server, None
        with self._changed:
            self._changed.notify_all()
        server.shutdown()
        server.server_close()
        self._thread.join()

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self._port}{path}"

    # --- behaviour ---

    def secret(self, secret, path="/hook"):
        """Requests of the path are checked against it; without one none counts as signed."""
        self._secrets[path] = secret

    def work(self, path="/hook"):
        self.fail(200, path)

    def fail(self, status, path="/hook", headers=None):
        """Answers the path with a status from now on, those that hang too."""
        with self._changed:
            self._answers[path] = (status, headers or {})
            self._changed.notify_all()

    def hang(self, path="/hook"):
        """Takes the path's requests and answers none until told otherwise."""
        self.fail(HANG, path)

    # --- what came ---

    def received(self, path="/hook"):
        """All requests of a path, in the order in which they came."""
        with self._changed:
            return [one for one in self._received if one.path == path]

    def delivered(self, path="/hook"):
        """Those that were answered 2xx, in the order of the answers."""
        with self._changed:
            return [one for one in self._delivered if one.path == path]

    def keys(self, path="/hook"):
        """Idempotency keys of what was delivered; a repeat stands there again."""
        return [one.key for one in self.delivered(path)]

    def wait(self, condition, timeout, what):
        """Waits until condition(self) holds; it is asked again after each request."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise AssertionError(f"{what}: not within {timeout} s; came: {len(self._received)}")

    # --- inside ---

    def take(self, path, headers, raw):
        """Called by the handler: records a request and returns (status, headers) of its answer, (HANG, …) for none."""
        secret = self._secrets.get(path)
        one = Received(path, headers, raw, headers.get("Idempotency-Key", ""),
                       secret is not None and is_signed(secret, headers.get("Millrace-Signature"), raw))
        one.at = time.time()
        try:
            one.alert = json.loads(raw)
        except ValueError:
            pass  # `alert` stays empty; `raw` has what came
        server = self._server
        with self._changed:
            self._received.append(one)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._server is not server or self._answer(path)[0] != HANG)
            if self._server is not server:
                return HANG, {}
            one.status, answer_headers = self._answer(path)
            if 200 <= one.status < 300:
                self._delivered.append(one)
            self._changed.notify_all()
            return one.status, answer_headers

    def _answer(self, path):
        return self._answers.get(path, (200, {}))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # a sender that was killed in the middle of a request


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver = None

    def do_POST(self):  # pylint: disable=invalid-name
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers = self.receiver.take(self.path, {**self.headers}, raw)
        self.close_connection = True
        if status == HANG:
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass
