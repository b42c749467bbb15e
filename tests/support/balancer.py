"""HAProxy before several gateways: TCP, to whichever has the fewest connections and says that it is ready."""
import socket
import subprocess
from pathlib import Path

from millrace_dev.settings import free_ports
from millrace_lab import eventually

CONFIGURATION = """
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 2s
    timeout client 10m
    timeout server 10m
    timeout check 2s
    option redispatch
    retries 3
frontend mqtt
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    balance leastconn
    # A gateway that hangs still has a kernel that accepts connections: only its own answer counts.
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions
{servers}
"""


class Balancer:
    """Runs until stop()."""

    def __init__(self, folder, gateways):
        """`gateways`: (MQTT port, operations port) of each."""
        self.port = free_ports()["mqtt"]
        servers = "\n".join(f"    server gateway{index} 127.0.0.1:{mqtt} port {ops}"
                            for index, (mqtt, ops) in enumerate(gateways))
        path = Path(folder) / "haproxy.cfg"
        path.write_text(CONFIGURATION.format(port=self.port, servers=servers), encoding="ascii")
        self._log = open(Path(folder) / "haproxy.log", "wb")  # noqa: SIM115 - as long as the program
        self._child = subprocess.Popen(["haproxy", "-db", "-f", str(path)], stdin=subprocess.DEVNULL, stdout=self._log,
                                       stderr=self._log)
        eventually(self._accepts, 60, "HAProxy to accept connections")

    def _accepts(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return True
        except OSError:
            return False

    def stop(self):
        self._child.terminate()
        self._child.wait(30)
        self._log.close()
