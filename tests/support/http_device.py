"""A device that speaks HTTP over one kept-alive connection."""
import base64
import http.client
import json
import select
import time


class HttpDevice:
    def __init__(self, lab, device, token, tenant="demo", timeout=90, address=None):
        self._address = address or lab.http_url.removeprefix("http://")
        self._credentials = "Basic " + base64.b64encode(f"{device}@{tenant}:{token}".encode()).decode()
        self._timeout = timeout
        self._connection = None
        self._known = False

    def post(self, payload, headers=None, path="/v1/telemetry"):
        """(status, headers, parsed body). The payload is bytes, or anything that becomes JSON. A header that is None is
        left out."""
        if self._connection is not None and self._was_closed():
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=self._timeout)
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        try:
            said = {"Authorization": self._credentials, "Content-Type": "application/json", **(headers or {})}
            self._connection.request("POST", path, body, {name: text for name, text in said.items() if text is not None})
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return answer.status, answer.headers, json.loads(text) if text else None

    def _was_closed(self):
        """The gateway ends a connection that is idle for long: between two answers there is nothing to read but its end."""
        sock = self._connection.sock
        return sock is not None and bool(select.select([sock], [], [], 0)[0])

    def send(self, payload, headers=None, path="/v1/telemetry"):
        """Posts what must be acknowledged; returns the receipt. A device made a moment ago (by a program, not by the lab)
        reaches the gateway's copy of the registry a little later: until its first message was taken, 401 may mean that."""
        deadline = time.monotonic() + (0 if self._known else 60)
        status, _, body = self.post(payload, headers, path)
        while status == 401 and time.monotonic() < deadline:
            time.sleep(0.05)
            status, _, body = self.post(payload, headers, path)
        self._known = self._known or status == 202
        assert status == 202, (status, body)
        return body["receipt"]

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None
