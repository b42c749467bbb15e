"""millrace-fleet under --verify in the background, and what a fault test asks while it runs."""
import json
import re
import subprocess
import threading
import time

from millrace_lab import eventually


class FleetRun:
    """Begins to send at once. `acknowledged()` is the fleet's own count so far."""

    def __init__(self, lab, prefix, seed, rate=3000, devices=200, seconds=25, protocol="mqtt,http,coap", untimed=0.5,
                 environment=None, qos=1):
        self.prefix = prefix
        self.rate = rate
        self._acknowledged = 0
        self._errors = []
        self._child = subprocess.Popen(
            [str(lab.binaries / "millrace-fleet"), "--devices", str(devices), "--rate", str(rate), "--duration",
             str(seconds), "--protocol", protocol, "--untimed", str(untimed), "--qos", str(qos), "--seed", str(seed), "--prefix", prefix,
             "--verify", "--json", "--progress"],
            env=environment or lab.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def acknowledged(self):
        return self._acknowledged

    def wait_for_load(self, timeout=90):
        """Until acknowledgements come at half of the rate at least: then messages are in flight at every moment."""
        def flows():
            before = self._acknowledged
            time.sleep(1)
            return self._acknowledged - before >= self.rate / 2
        eventually(lambda: self._running() and flows(), timeout, f"{self.rate / 2:.0f} acknowledgements/s of the fleet")

    def wait_for_more(self, count, timeout=120):
        """Until so many more messages were acknowledged than now. The fleet must still be sending."""
        before = self._acknowledged
        eventually(lambda: self._running() and self._acknowledged - before >= count, timeout,
                   f"{count} more acknowledgements")

    def end_load(self):
        """Nothing new is sent; finish() then has the report."""
        self._child.terminate()

    def finish(self, timeout=420):
        """Waits for the end and returns the report; nothing acknowledged may be lost, doubled or wrong."""
        try:
            output = self._child.stdout.read()
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"the fleet did not end:\n{self._tail()}") from None
        self._reader.join(10)
        assert code in (0, 1), f"millrace-fleet ended with {code}:\n{output[-2000:]}{self._tail()}"
        report = json.loads(output)
        assert code == 0 and report["lost"] == report["doubled"] == report["wrong_value"] == 0, \
            f"{json.dumps(report)}\n{self._tail()}"
        return report

    def stop(self):
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def _running(self):
        assert self._child.poll() is None, f"the fleet ended early ({self._child.returncode}):\n{self._tail()}"
        return True

    def _tail(self):
        return "".join(self._errors[-30:])

    def _read(self):
        for line in self._child.stderr:
            count = re.search(r"\backnowledged[ =:]+(\d+)", line)
            if count:
                self._acknowledged = int(count.group(1))
            self._errors.append(line)
            del self._errors[:-200]


def database_count(lab, prefix):
    """(rows, different messages) of the metric `sequence` of the run's devices, asked of the database itself."""
    rows = lab.sql(f"""
        SELECT coalesce(sum(n), 0), coalesce(sum(different), 0) FROM (
          SELECT s.device_id, count(*) AS n, count(DISTINCT s.value) AS different
          FROM storage.point s
          JOIN storage.metric m ON m.id = s.metric AND m.name = 'sequence'
          JOIN registry.device d ON d.device_key = s.device_id
          WHERE d.device LIKE '{prefix}-%' GROUP BY s.device_id) AS per_device""")
    return int(rows[0][0]), int(rows[0][1])


def written(lab):
    """How many records the writer has behind it, over all partitions."""
    return int(lab.sql("SELECT coalesce(sum(next_offset), 0) FROM storage.ingest_offset WHERE topic LIKE '%.telemetry'")[0][0])
