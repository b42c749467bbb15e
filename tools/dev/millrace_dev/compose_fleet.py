"""millrace-fleet --verify in a container of an installation."""
import json
import re
import subprocess
import threading

from . import say
from .processes import wait_until
from .say import DevError


class Fleet:
    """Begins to send at once, in the background."""

    def __init__(self, env, tree, prefix, seconds, rate=1000):
        self._step = say.Step(f"{rate} messages/s for {seconds} s, then every one is looked for")
        self._errors, self._acknowledged = [], 0
        self._child = subprocess.Popen(
            ["docker", "compose", "run", "--rm", "-T", "tools", "millrace-fleet", "--devices", "200", "--rate", str(rate),
             "--duration", str(seconds), "--protocol", "mqtt,http,coaps", "--untimed", "0.5", "--prefix", prefix,
             "--verify", "--json", "--progress"],
            env=env, cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._child.stderr:
            count = re.search(r"\backnowledged (\d+)", line)
            if count:
                self._acknowledged = int(count.group(1))
            self._errors = self._errors[-100:] + [line]

    def wait_for_load(self):
        wait_until(lambda: self._acknowledged > 5000 or self._child.poll() is not None, 120, "the fleet's acknowledgements",
                   interval=0.2)

    def finish(self):
        with self._step:
            output = self._child.stdout.read()
            self._child.wait(60)
        try:
            report = json.loads(output[output.index("{"):])
        except ValueError:
            told = output[-500:] + "".join(self._errors[-15:])
            raise DevError(f"the fleet ended with {self._child.returncode}:\n{told}") from None
        if self._child.returncode != 0 or report["lost"] or report["doubled"] or report["wrong_value"]:
            raise DevError(f"the fleet's verdict ({self._child.returncode}): {json.dumps(report)}")
        return {key: value for key, value in report.items() if isinstance(value, (int, float))}

    def stop(self):
        if self._child.poll() is None:
            self._child.terminate()
            self._child.wait()
