"""./dev: what it promises about the processes it starts. Runs it on a system of its own, on its own ports."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from millrace_dev import processes, settings
from millrace_lab import ROOT, Layout, eventually, new_folder


def _dev(state, *arguments, timeout=300, env=None):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_DEV")}
    environment.update(MILLRACE_DEV_STATE=str(state), **(env or {}))
    return subprocess.run([ROOT / "dev", *arguments], env=environment, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, check=False)


def _port_offset():
    """An offset at which all ports of ./dev are free."""
    for offset in range(1000, 9000, 100):
        if not any(settings.port_taken(port + offset) for port in settings.DEFAULT_PORTS.values()):
            return str(offset)
    raise AssertionError("no free offset")


@pytest.fixture(scope="module")
def system():
    """./dev up in a folder of its own; the tools and jars of this clone are lent to it."""
    state = new_folder()
    for name in ("tools", "kafka", "install"):
        (Layout().state / name).mkdir(parents=True, exist_ok=True)
        (state / name).symlink_to(Layout().state / name)
    offset = _port_offset()
    first = _dev(state, "up", env={"MILLRACE_DEV_PORT_OFFSET": offset})
    assert first.returncode == 0, first.stdout + first.stderr
    yield state, first.stdout, int(offset)
    _dev(state, "down")


def test_up_ends_with_readings_and_lines_that_work_as_pasted(system):
    state, screen, _ = system
    assert "meter-" in screen
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MILLRACE_DEV_STATE": str(state), "HOME": "/nonexistent"}
    lines = [line.strip() for line in screen.splitlines()]
    pasted = [line for line in lines if line.startswith(("curl ", "mosquitto_pub ", "echo "))]
    assert len(pasted) == 3
    for line in pasted:
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False,
                              timeout=60)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    for line in (pasted[0], pasted[2]):
        assert "coap-client-openssl" in line or "curl" in line
        assert '"receipt"' in subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True,
                                             check=True).stdout, line
    begin = next(index for index, line in enumerate(lines) if line.startswith("eval "))
    block = "\n".join(lines[begin:begin + 4])

    def reads_back():
        done = subprocess.run(["bash", "-e", "-c", block], env=environment, cwd=ROOT, capture_output=True, text=True,
                              check=False, timeout=60)
        return done.returncode == 0 and "21.7" in done.stdout and "21.9" in done.stdout and '"temperature"' in done.stdout
    eventually(reads_back, 60, "the published readings", interval=0.5)


def test_a_second_up_is_quick_and_changes_nothing(system):
    state, _, _ = system
    before = {file.name: file.read_text() for file in (state / "up" / "run").glob("*.json")}
    begun = time.monotonic()
    again = _dev(state, "up")
    took = time.monotonic() - begun
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing was changed" in again.stdout
    assert {file.name: file.read_text() for file in (state / "up" / "run").glob("*.json")} == before
    assert took < 15, f"{took:.1f} s"  # under 5 s on a quiet machine; the other core may be busy here


def test_secrets_are_readable_by_their_owner_only(system):
    state, _, _ = system
    for name in ("secrets.json", "meters.csv", "profile"):
        assert (state / "up" / name).stat().st_mode & 0o077 == 0, name


def test_env_is_for_any_shell(system):
    state, _, offset = system
    printed = _dev(state, "env").stdout
    done = subprocess.run(["sh", "-euc", printed + "\ncommand -v grpcurl millrace; echo $MILLRACE_MQTT_ADDR"],
                          capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
    assert f"127.0.0.1:{1883 + offset}" in done and "grpcurl" in done
    assert f"export MILLRACE_OPEN_MQTT_ADDR=127.0.0.1:{1884 + offset}" in printed
    for name in ("MQTT_ADDR", "HTTP_URL", "COAP_URI", "COAPS_URI", "DEVICE_PSK", "REGISTRY_ADDR", "QUERY_ADDR", "KAFKA",
                 "DATABASE_URL", "TENANT", "API_KEY", "DEVICE_ID", "DEVICE_TOKEN", "BIN"):
        assert f"export MILLRACE_{name}=" in printed


def test_one_service_is_killed_and_started(system):
    state, _, _ = system
    assert _dev(state, "kill", "storage-writer").returncode == 0
    status = _dev(state, "status")
    assert status.returncode == 1 and "storage-writer is stopped: ./dev start storage-writer" in status.stdout
    assert _dev(state, "start", "storage-writer").returncode == 0
    assert _dev(state, "kill", "query-api", "STOP").returncode == 0
    assert "suspended" in _dev(state, "status").stdout
    assert _dev(state, "start", "query-api").returncode == 0
    assert _dev(state, "status").returncode == 0
    assert _dev(state, "kill", "nobody").returncode == 1
    assert "storage-writer" in _dev(state, "logs", "storage-writer").stdout


def test_a_port_in_use_is_named_with_its_setting(system):
    state, _, offset = system
    assert _dev(state, "kill", "protocol-gateway").returncode == 0
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 8080 + offset))
        taken.listen()
        refused = _dev(state, "up")
        assert refused.returncode == 1
        assert str(8080 + offset) in refused.stderr and "MILLRACE_DEV_PORT_HTTP" in refused.stderr
    resumed = _dev(state, "up")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def test_down_ends_what_it_started_and_nothing_else(system):
    state, _, _ = system
    # Somebody else's process has the pid that the record of a machine that lost its power names.
    stranger = subprocess.Popen(["sleep", "600"])
    record_file = state / "up" / "run" / "storage-writer.json"
    record = json.loads(record_file.read_text())
    process = processes.Process(state / "up", "storage-writer")
    pid = process.pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: process.pid() is None, 30, "the end of storage-writer")
    try:
        record_file.write_text(json.dumps({**record, "pid": stranger.pid}))
        down = _dev(state, "down")
        assert down.returncode == 0, down.stderr
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert _dev(state, "status").returncode == 1
    assert not any(settings.port_taken(port) for port in
                   json.loads((state / "up" / "config.json").read_text())["ports"].values())
    up = _dev(state, "up")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "meter-" in up.stdout


def test_all_processes_killed_at_once_is_no_obstacle(system):
    state, _, _ = system
    ended = processes.sweep(state / "up")
    assert "kafka" in ended and "postgres" in ended
    up = _dev(state, "up")
    assert up.returncode == 0, up.stdout + up.stderr
    assert _dev(state, "status").returncode == 0


def test_a_service_that_is_told_to_end_drains_and_ends_well(lab):
    for name in ("notifier", "protocol-gateway", "storage-writer", "query-api", "device-registry"):
        member = lab.member(name)
        assert member.stop(), f"{name} had to be killed"
        lab.restart(name)
