"""A fleet comes in: the import is killed and goes on, the gateway starts anew, every device publishes once."""
import re
import time

from device_fleet import (Import, check_tokens, count_lines, publish_once, summary, tokens_of, wait_for_lines, wait_until_known,
                          write_fleet)
from http_device import HttpDevice
from millrace_lab import eventually

DEVICES = 20_000


def _known(lab):
    return int(lab.metrics("protocol-gateway", "millrace_registry_view_devices"))


def test_a_fleet_is_imported_over_a_kill_and_each_device_publishes_once(lab, tmp_path):
    file = tmp_path / "fleet.csv"
    write_fleet(file, DEVICES, "bulk")
    before = _known(lab)

    first = Import(lab, file)
    wait_for_lines(tokens_of(file), first, 1, 60)
    first.kill()
    written = count_lines(tokens_of(file))
    assert written < DEVICES, "the import was over before it could be killed"
    # The registry goes on with what it had received: a device without a line may exist.
    second = Import(lab, file)
    created, there, refused = summary(second.finish())
    assert (created, there, refused) == (DEVICES - written, written, 0)
    check_tokens(tokens_of(file), DEVICES)
    assert summary(Import(lab, file).finish()) == (0, DEVICES, 0), "a third call has nothing to do"
    rows = lab.sql("""SELECT count(*), count(DISTINCT d.device_key) FROM registry.device d
                      JOIN registry.device_token t USING (device_key) WHERE d.device LIKE 'bulk-%'""")
    assert rows == [[str(DEVICES), str(DEVICES)]], "one token each, the one that the file names"

    wait_until_known(lab, ["protocol-gateway"], before + DEVICES, 120)
    lab.kill("protocol-gateway")
    begun = time.monotonic()
    lab.restart("protocol-gateway")
    print(f"ready after {time.monotonic() - begun:.1f} s")
    assert _known(lab) == before + DEVICES, "ready means: all of them are known"

    report = publish_once(lab, tokens_of(file), connections=200)
    assert report["acknowledged"] == report["stored"] == report["devices"] == DEVICES, report
    assert report["lost"] == report["doubled"] == report["wrong_value"] == 0, report
    assert report["receipts"]["wrong"] == report["ranges"]["wrong"] == 0, report
    assert report["turned_away"] == 0, report


def test_the_token_of_a_device_whose_answer_never_came_is_written_by_the_next_call(lab, tmp_path):
    """The client dies between the registry's commit and its line. What it leaves then is its secret and half a line."""
    file = tmp_path / "fleet.csv"
    write_fleet(file, 50, "unheard")
    tokens = tokens_of(file)
    secret = tokens.with_name(tokens.name + ".secret")
    secret.write_text("5e" * 32, encoding="ascii")
    assert summary(Import(lab, file).finish()) == (50, 0, 0)
    first = tokens.read_text(encoding="ascii")
    assert not secret.exists()

    secret.write_text("5e" * 32, encoding="ascii")
    tokens.write_text("device,token\nunheard-0000000,mt_", encoding="ascii")
    assert summary(Import(lab, file).finish()) == (50, 0, 0)
    assert tokens.read_text(encoding="ascii") == first
    check_tokens(tokens, 50)
    device, token = first.splitlines()[50].split(",")
    probe = HttpDevice(lab, device, token)
    # Refused for its content type, which is looked at after the credentials.
    eventually(lambda: probe.post(b"", {"Content-Type": "text/plain"})[0] == 415, 60, "the gateway to take the token")
    probe.close()


def test_faults_are_told_by_line_and_the_other_devices_are_made(lab, tmp_path):
    lab.create_device("faulty-5")
    file = tmp_path / "fleet.csv"
    file.write_text("device,site\nfaulty-2,north\nno blanks,north\nfaulty-4,a,b\nfaulty-5,north\nfaulty-2,north\nfaulty-7,\n",
                    encoding="ascii")
    run = Import(lab, file)
    assert summary(run.finish(code=1)) == (2, 0, 4)
    faults = dict(re.findall(r"^line (\d+): (.*)$", run.errors(), re.M))
    assert sorted(faults) == ["3", "4", "5", "6"], run.errors()
    assert "3 fields, not 2" in faults["4"] and "exists already" in faults["5"] and "second time" in faults["6"]
    check_tokens(tokens_of(file), 2)

    # Corrected, the same call makes what is left; a device of somebody else's gets no line.
    file.write_text("device,site\nfaulty-2,north\nfaulty-3,north\nfaulty-4,a\nfaulty-5,north\nfaulty-7,\n", encoding="ascii")
    run = Import(lab, file, "--skip-existing")
    assert summary(run.finish()) == (2, 3, 0)
    check_tokens(tokens_of(file), 4)
