"""The demo: a device for a newcomer's hands, and a small fleet of meters that streams all the time."""
import json
import os
import time

from . import environment, say, system
from .processes import Process
from .say import DevError

METERS = 50
RATE = 5
DEVICE = "device-1"


def register(stack):
    """The devices of the demo, each once. Returns what was added, for the report."""
    file = meters_file(stack)
    known = read_tokens(file)
    wanted = [f"meter-{number}" for number in range(1, METERS + 1)]
    missing = [device for device in wanted if device not in known]
    added = []
    if missing:
        with say.Step(f"{len(missing)} demo meters") as step:
            for device in missing:
                step.detail = device
                append_token(file, device, create_device(stack, device))
        added.append("demo meters")
    if not stack.settings.kept("device_token"):
        stack.settings.keep("device_token", create_device(stack, DEVICE))
        stack.settings.keep("device_id", DEVICE)
        added.append(DEVICE)
    return added


def create_device(stack, device):
    """A new device and its token. One whose token was lost (a call that was interrupted) is made anew."""
    try:
        return json.loads(system.millrace(stack, "device", "create", device, "--json"))["token"]
    except DevError:
        system.millrace(stack, "device", "delete", device, "--yes")
        return json.loads(system.millrace(stack, "device", "create", device, "--json"))["token"]


def meters_file(stack):
    return stack.settings.folder / "meters.csv"


def read_tokens(file):
    if not file.exists():
        return {}
    rows = (row.split(",") for row in file.read_text(encoding="ascii").splitlines()[1:])
    return {row[0]: row[1] for row in rows if len(row) == 2}


def append_token(file, device, token):
    fresh = not file.exists()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="ascii") as out:
        if fresh:
            out.write("device,token\n")
        out.write(f"{device},{token}\n")


class Fleet:
    """The process that streams the meters."""

    def __init__(self, stack):
        self.name = "fleet"
        self.process = Process(stack.settings.folder, "fleet")
        self._stack = stack

    def argv(self):
        settings = self._stack.settings
        command = [str(self._stack.layout.binaries / "millrace-fleet"), "--credentials", str(meters_file(self._stack)),
                   "--protocol", "mqtt", "--rate", str(RATE), "--duration", "0"]
        if settings.options.get("data"):
            command += ["--data", settings.options["data"]]
        return command

    def _environment(self):
        return environment.client_environment(self._stack)

    def current(self):
        return self.process.matches(self.argv(), self._environment())

    def start(self):
        if not self.process.alive():
            self.process.start(self.argv(), env=self._environment(), cwd=self._stack.settings.folder)

    def alive(self):
        return self.process.alive()

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def signal(self, number):
        self.process.signal(number)

    def wait_for_readings(self, timeout=90):
        """Waits until one of the meters can be read back; returns its latest values as `millrace` prints them."""
        deadline = time.monotonic() + timeout
        number = 0
        with say.Step("readings of the demo fleet") as step:
            while True:
                device = f"meter-{number % METERS + 1}"
                number += 1
                try:
                    if json.loads(system.millrace(self._stack, "latest", device, "--json"))["latest"]:
                        return f"$ millrace latest {device}\n{system.millrace(self._stack, 'latest', device)}"
                    fault = "no values yet"
                except DevError as error:
                    fault = str(error)
                step.detail = fault.splitlines()[-1] if fault else ""
                if not self.alive():
                    raise DevError(f"the demo fleet ended; the end of {self.process.log}:\n"
                                   + say.tail_of(self.process.log))
                if time.monotonic() > deadline:
                    raise DevError(f"no reading of the demo fleet arrived within {timeout} s: {fault}\n"
                                   "./dev status and ./dev logs show where it stands")
                time.sleep(0.2)
