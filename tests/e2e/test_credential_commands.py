"""The command line's credentials, authorities, children, topics and policies, against the services as they run."""
import hashlib
import json
import secrets
import ssl
import subprocess

import pytest

from millrace_dev.authority import Authority
from millrace_lab import TENANT


@pytest.fixture
def device(lab):
    name = f"cred-{secrets.token_hex(5)}"
    lab.registry("CreateDevice", device=name)
    return name


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.fixture
def millrace(lab):
    """Runs it; answers (exit code, standard output, standard error)."""
    def run(*arguments, stdin=""):
        done = subprocess.run([str(lab.binaries / "millrace"), *map(str, arguments)], env=lab.environment, text=True,
                              capture_output=True, input=stdin, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr
    return run


def read(millrace, *arguments):
    code, out, err = millrace(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def digest(certificate):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))).hexdigest()


def test_credentials_of_each_kind_are_added_listed_and_removed(lab, device, millrace, authority, tmp_path):
    certificate, _ = authority.client(device)
    password = tmp_path / "password"
    password.write_text("correct horse\n", encoding="ascii")

    token = read(millrace, "credential", "add", device, "--token", "--not-after", "90d")
    assert token["id"] == "c1" and token["token"].startswith("mt_") and "not_before" not in token
    code, out, err = millrace("credential", "add", device, "--password-file", password)
    assert (code, out, err) == (0, f"added password c2 to device {device}\n", "")
    code, out, err = millrace("credential", "add", device, "--password-file", "-", stdin="battery staple\n")
    assert (code, out) == (0, f"added password c3 to device {device}\n"), err
    pinned = read(millrace, "credential", "add", device, "--certificate", certificate)
    assert pinned["certificate_sha256"] == digest(certificate)

    listed = read(millrace, "credential", "list", device)
    assert [one["id"] for one in listed[1:]] == ["c1", "c2", "c3", "c4"]
    assert [one["kind"] for one in listed] == ["token", "token", "password", "password", "certificate"]
    _, table, _ = millrace("credential", "list", device)
    assert token["token"] not in table and "argon2" not in table and digest(certificate) in table

    stored = lab.sql(f"""SELECT password_phc FROM registry.credential c JOIN registry.device d USING (device_key)
                         WHERE d.device = '{device}' AND password_phc IS NOT NULL""")
    assert len(stored) == 2 and all(row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$") for row in stored)

    for one in listed:
        code, out, err = millrace("credential", "remove", device, one["id"])
        assert (code, out) == (0, f"removed {one['id']} from device {device}\n"), err
    assert read(millrace, "credential", "list", device) == []
    code, _, err = millrace("credential", "remove", device, "c1")
    assert code == 1 and "has no credential 'c1'" in err and "next: " in err


def test_a_credential_that_cannot_be_one_is_refused_with_what_is_wrong(device, millrace, authority, tmp_path):
    authority.ensure()
    two = tmp_path / "two.pem"
    two.write_text(authority.ca.read_text(encoding="ascii") * 2, encoding="ascii")
    code, _, err = millrace("credential", "add", device, "--certificate", two)
    assert code == 1 and "there is a second one" in err
    code, _, err = millrace("credential", "add", device, "--password-file", "-", stdin="short\n")
    assert code == 1 and "8 to 1024 bytes" in err
    code, _, err = millrace("credential", "add", device, "--token", "--password-file", "-", stdin="correct horse\n")
    assert code == 2 and "`millrace credential add --help`" in err
    code, _, err = millrace("credential", "add", "nobody-of-this-name", "--token")
    assert code == 1 and "millrace device list" in err


def test_children_and_topics_are_replaced(device, millrace):
    assert millrace("device", "children", "set", device, "meter-1", "hall-7-*")[0] == 0
    assert read(millrace, "device", "children", "show", device) == ["meter-1", "hall-7-*"]
    code, out, err = millrace("device", "topics", "set", device, "--subscribe", "news/#", "--both", "chat/{device}")
    assert code == 0 and "chat/{device}" in out, err
    assert read(millrace, "device", "topics", "show", device) == [
        {"filter": "news/#", "publish": False, "subscribe": True},
        {"filter": "chat/{device}", "publish": True, "subscribe": True}]
    code, _, err = millrace("device", "topics", "set", device, "--publish", "a/#/b")
    assert code == 1 and "topics[0].filter" in err
    code, _, err = millrace("device", "children", "set", device, "no/id")
    assert code == 1 and "children[0]" in err
    assert millrace("device", "children", "set", device)[0] == 2, "nothing is taken away by a forgotten argument"
    assert millrace("device", "children", "set", device, "--none")[0] == 0
    assert read(millrace, "device", "children", "show", device) == []
    assert len(read(millrace, "device", "topics", "show", device)) == 2


def test_an_authority_is_set_listed_and_deleted(millrace, authority):
    authority.ensure()
    name = f"ca-{secrets.token_hex(4)}"
    one = read(millrace, "authority", "set", name, "--certificate", authority.ca, "--source", "uri",
               "--pattern", "urn:meter:{device}", "--provisions", "--most-provisioned", 50)
    assert one["tenant"] == TENANT and one["subject"] == "CN=Millrace development CA"
    assert one["certificate_sha256"] == digest(authority.ca) and one["enabled"]
    assert [each for each in read(millrace, "authority", "list") if each["authority"] == name] == [one]
    assert name in millrace("authority", "list")[1]

    certificate, _ = authority.client("meter-1")
    code, _, err = millrace("authority", "set", name, "--certificate", certificate)
    assert code == 1 and "certificate_pem: this certificate may not sign others" in err
    code, _, err = millrace("authority", "set", name, "--certificate", authority.ca, "--pattern", "meters")
    assert code == 1 and "authority.pattern" in err
    assert millrace("authority", "delete", name)[:2] == (0, f"deleted authority {name}\n")
    code, _, err = millrace("authority", "delete", name)
    assert code == 1 and "`millrace authority list`" in err


def test_a_policy_is_set_and_taken_away(millrace):
    try:
        code, out, err = millrace("policy", "set", "--subscribe", "news/#", "--receipts")
        assert code == 0 and "news/#" in out, err
        assert read(millrace, "policy", "show") == {
            "tenant": TENANT, "device_topics": [{"filter": "news/#", "publish": False, "subscribe": True}],
            "receipts": True, "ack": "bus"}
        assert millrace("policy", "set")[0] == 2
    finally:
        assert millrace("policy", "set", "--none")[0] == 0
    assert read(millrace, "policy", "show")["device_topics"] == []
