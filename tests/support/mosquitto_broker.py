"""A mosquitto of the distribution on a free port: open to all, nothing kept on disk."""
from millrace_dev.processes import Process, wait_until
from millrace_dev.settings import free_ports, port_taken

SETTINGS = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_dest stderr
log_type error
connection_messages false
max_inflight_messages 0
set_tcp_nodelay true
"""


class Mosquitto:
    """Between `with` and its end it runs; its files are in `folder`. `more`: further lines of its settings."""

    def __init__(self, folder, more=""):
        self.port = free_ports(("mosquitto",))["mosquitto"]
        self.process = Process(folder, "mosquitto")
        self._settings = folder / "mosquitto.conf"
        self._text = SETTINGS.format(port=self.port) + more

    def __enter__(self):
        self._settings.write_text(self._text, encoding="ascii")
        self.process.start(["/usr/sbin/mosquitto", "-c", str(self._settings)])
        wait_until(lambda: port_taken(self.port), 60, f"mosquitto on port {self.port}", while_alive=self.process)
        return self

    def __exit__(self, *_):
        self.process.stop()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def pid(self):
        return self.process.pid()
