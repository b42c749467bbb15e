"""MQTT clients that no one here wrote, as processes that can be killed; all alike (tests/conformance/mqtt/clients/README.md)."""
import os
import queue
import subprocess
import threading
from dataclasses import dataclass

WAIT = 60


@dataclass(frozen=True)
class Received:
    qos: int
    topic: str
    payload: str


class _Process:
    """Its lines, messages apart from answers."""

    def __init__(self, argv, environment=None):
        self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                       env={**os.environ, **(environment or {})})
        self._answers, self._messages = queue.Queue(), queue.Queue()
        self._seen = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._child.stdout:
            self._seen.append(line)
            self._sort(line.rstrip("\n"))
        self._answers.put(None)

    def _sort(self, line):
        if line.startswith("message "):
            _, qos, topic, payload = line.split(" ", 3)
            self._messages.put(Received(int(qos), topic, payload))
        else:
            self._answers.put(line)

    def tell(self, line):
        self._child.stdin.write(line + "\n")

    def expect(self, start):
        """The rest of the next answer, which begins so."""
        try:
            answer = self._answers.get(timeout=WAIT)
        except queue.Empty:
            answer = "nothing"
        assert answer and answer.startswith(start), f"{answer!r} instead of {start!r}; all it said:\n{''.join(self._seen)}"
        return answer[len(start):].strip()

    def messages(self, count):
        """The next messages; fails when they do not come."""
        try:
            return [self._messages.get(timeout=WAIT) for _ in range(count)]
        except queue.Empty:
            raise AssertionError(f"no {count} messages came; all it said:\n{''.join(self._seen)}") from None

    def quiet(self):
        """Whether no further message has come."""
        return self._messages.empty()

    def wait(self):
        return self._child.wait(timeout=WAIT)

    def kill(self):
        self._child.kill()
        self._child.wait()
        self._reader.join()


class LibraryClient:
    """A program around a library: one connection from its start to end() or kill()."""

    def __init__(self, command, url, version, client_id, keep, credentials, environment):
        self._process = _Process([*command, url, str(version), client_id, "keep" if keep else "clean", *credentials], environment)
        self.session_present = self._process.expect("connected ") == "1"

    def subscribe(self, qos, topic):
        self._process.tell(f"subscribe {qos} {topic}")
        self._process.expect("subscribed")

    def publish(self, qos, topic, payload):
        """Returns when the exchange is over."""
        self._process.tell(f"publish {qos} {topic} {payload}")
        self._process.expect("published")

    def messages(self, count):
        return self._process.messages(count)

    def quiet(self):
        return self._process.quiet()

    def end(self):
        self._process.tell("end")
        self._process.expect("ended")
        assert self._process.wait() == 0

    def kill(self):
        self._process.kill()


class MosquittoClient:
    """mosquitto_sub and mosquitto_pub: connects with the first subscription, and once for each message published."""

    session_present = None  # its tools do not say

    def __init__(self, url, version, client_id, keep, credentials, environment):
        scheme, rest = url.split("://")
        assert scheme in ("mqtt", "mqtts"), "mosquitto's tools of the distribution have no WebSocket"
        host, port = rest.split(":")
        self._client_id, self._environment, self._sub = client_id, environment, None
        self._where = ["-h", host, "-p", port, "-V", {4: "mqttv311", 5: "mqttv5"}[version]]
        if scheme == "mqtts":
            self._where += ["--cafile", environment["MQTT_CA"]]
        if credentials:
            self._where += ["-u", credentials[0], "-P", credentials[1]]
        self._keep = (["-c"] + (["-x", "3600"] if version == 5 else [])) if keep else []

    def subscribe(self, qos, topic):
        assert self._sub is None, "one subscription each"
        self._sub = _Process(["stdbuf", "-oL", "mosquitto_sub", "-d", *self._where, "-i", self._client_id, *self._keep, "-q",
                              str(qos), "-t", topic, "-F", "message %q %t %p"])
        while not self._sub.expect("").startswith("Subscribed"):
            pass

    def publish(self, qos, topic, payload):
        subprocess.run(["mosquitto_pub", *self._where, "-i", self._client_id + "-pub", "-q", str(qos), "-t", topic, "-m", payload],
                       check=True, timeout=WAIT)

    def messages(self, count):
        return self._sub.messages(count)

    def quiet(self):
        return self._sub.quiet()

    def end(self):
        self.kill()

    def kill(self):
        if self._sub:
            self._sub.kill()
            self._sub = None
