"""Debian's Mosquitto on a free port, as other people run it: with an own configuration, certificates if asked for."""
import subprocess
import socket
from pathlib import Path

import paho.mqtt.client as mqtt

from millrace_lab import eventually

PROGRAM = "/usr/sbin/mosquitto"

# Everything that the bridge has not taken yet is kept (docs/bridge.md says what the defaults do).
KEEPS_EVERYTHING = """
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mosquitto:
    """Starts at once; end with stop()."""

    def __init__(self, folder, configuration=KEEPS_EVERYTHING, listener="", port=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self._configuration = self.folder / "mosquitto.conf"
        # It would become another user, who cannot read the folder.
        self._configuration.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{listener}\nallow_anonymous true\n"
                                       f"{configuration}", encoding="utf-8")
        self._child = None
        self.start()

    def start(self):
        with open(self.folder / "mosquitto.log", "ab") as log:
            self._child = subprocess.Popen([PROGRAM, "-c", str(self._configuration)], stdout=log, stderr=log,
                                           stdin=subprocess.DEVNULL)
        eventually(self._answers, 60, "Mosquitto to listen")

    def stop(self):
        if self._child is not None:
            self._child.terminate()
            self._child.wait(30)
            self._child = None

    def kill(self):
        self._child.kill()
        self._child.wait(30)
        self._child = None

    def _answers(self):
        assert self._child.poll() is None, (self.folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Publisher:
    """A client that counts what the broker has acknowledged. The queue of what is not yet acknowledged is bounded."""

    def __init__(self, port, version=mqtt.MQTTv311):
        self.client = mqtt.Client(protocol=version)
        self.client.max_inflight_messages_set(500)
        self.acknowledged = 0
        self.sent = 0
        self.client.on_publish = self._published
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _published(self, *_):
        self.acknowledged += 1

    def publish(self, topic, payload, qos=1, **more):
        eventually(lambda: self.sent - self.acknowledged < 5000, 120, "the broker to acknowledge", interval=0.01)
        self.client.publish(topic, payload, qos, **more)
        self.sent += 1

    def finish(self, timeout=120):
        eventually(lambda: self.acknowledged == self.sent, timeout, "the broker to acknowledge everything")
        self.client.disconnect()
        self.client.loop_stop()
        return self.acknowledged
