"""The bridge as a gateway of its own in front of Mosquitto: what the broker delivered is stored, once, over kills."""
import json
import secrets
import subprocess
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge_run import BridgeRun, rows_of
from millrace_lab import TENANT, eventually
from bridged_broker import Mosquitto, Publisher


@pytest.fixture
def bridge(lab, tmp_path):
    """Made by the test: bridge(version=…, listener=…, **members of the broker's object)."""
    runs = []

    def make(**more):
        runs.append(BridgeRun(lab, tmp_path / f"m{len(runs)}", **more))
        return runs[-1]
    yield make
    for run in runs:
        run.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_messages_are_stored_once_over_kills(lab, bridge, version):
    run = bridge(version=version)
    devices = run.make_devices(5)
    publisher = Publisher(run.mosquitto.port)
    for number in range(3000):
        publisher.publish(f"devices/{devices[number % 5]}/telemetry",
                          json.dumps({"sequence": number, "ts": 1_700_000_000_000 + number}))
        if number in (800, 1600, 2400):
            run.wait_for_more(50)
            run.kill_and_restart()
    assert publisher.finish() == 3000
    rows, different = eventually(lambda: run.counted("sequence", 3000), 120, "all messages in the database")
    assert rows == different == 3000
    assert run.metric("millrace_gateway_bridge_journal_full") == 0


def test_what_a_message_says_of_itself_arrives(lab, bridge):
    """Content type, explicit id and trace of MQTT 5, and the status topic's prefix; retained messages are left alone."""
    run = bridge(version="5")
    device = run.make_devices(1)[0]
    publisher = Publisher(run.mosquitto.port, mqtt.MQTTv5)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("message-id", "once")]
    for _ in range(3):
        publisher.publish(f"devices/{device}/telemetry", json.dumps({"explicit": 1}), properties=properties)
    cbor = Properties(PacketTypes.PUBLISH)
    cbor.ContentType = "application/cbor"
    publisher.publish(f"devices/{device}/telemetry", b"\xa1\x64cbor\x18\x2a", properties=cbor)
    publisher.publish(f"devices/{device}/status", json.dumps({"battery": 80}), qos=0)
    publisher.client.publish(f"devices/{device}/status", json.dumps({"kept": 1}), 1, retain=True).wait_for_publish(60)
    eventually(lambda: rows_of(lab, device, "status.kept") == [1], 120, "the last message in the database")
    assert rows_of(lab, device, "explicit") == [1]
    assert rows_of(lab, device, "cbor") == [42]
    assert rows_of(lab, device, "status.battery") == [80]
    run.kill_and_restart()  # subscribes again, and would be sent what is retained
    publisher.publish(f"devices/{device}/telemetry", json.dumps({"after": 1}))
    eventually(lambda: rows_of(lab, device, "after") == [1], 120, "a message after the restart")
    assert rows_of(lab, device, "status.kept") == [1]
    publisher.client.loop_stop()


def test_commands_are_recorded_and_are_no_telemetry(lab, bridge):
    run = bridge(version="3.1.1")
    device = run.make_devices(1)[0]
    publisher = Publisher(run.mosquitto.port)
    for number in range(20):
        publisher.publish(f"devices/{device}/commands", json.dumps({"set": number}), qos=2)
        if number == 10:
            run.kill_and_restart()
    publisher.publish(f"devices/{device}/telemetry", json.dumps({"sequence": 1, "ts": 1_700_000_000_000}))
    publisher.finish()
    eventually(lambda: rows_of(lab, device, "sequence") == [1], 120, "the telemetry")
    events = run.command_events(device, 20)
    assert sorted({json.loads(event.payload)["set"] for event in events}) == list(range(20))
    assert {event.qos for event in events} == {2}
    assert rows_of(lab, device, "set") == []


def test_a_client_certificate_opens_the_broker(lab, bridge, tmp_path):
    make_certificates(tmp_path)
    listener = (f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
                "require_certificate true\nuse_identity_as_username true\n")
    run = bridge(version="5", listener=listener, scheme="mqtts", host="localhost", ca_file=f"{tmp_path}/ca.pem",
                 certificate_file=f"{tmp_path}/client.pem", key_file=f"{tmp_path}/client.key")
    device = run.make_devices(1)[0]
    done = subprocess.run(
        ["mosquitto_pub", "-p", str(run.mosquitto.port), "-h", "localhost", "--cafile", f"{tmp_path}/ca.pem", "--cert",
         f"{tmp_path}/client.pem", "--key", f"{tmp_path}/client.key", "-q", "1", "-t", f"devices/{device}/telemetry", "-m",
         json.dumps({"sequence": 7, "ts": 1_700_000_000_000})], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    eventually(lambda: rows_of(lab, device, "sequence") == [7], 120, "the message in the database")


def test_a_shared_subscription_spreads_the_work(lab, bridge):
    first = bridge(version="5", share="millrace")
    second = bridge(version="3.1.1", share="millrace", mosquitto=first.mosquitto)
    devices = first.make_devices(4)
    publisher = Publisher(first.mosquitto.port)
    for number in range(400):
        publisher.publish(f"devices/{devices[number % 4]}/telemetry",
                          json.dumps({"sequence": number, "ts": 1_700_000_000_000 + number}))
    publisher.finish()
    rows, different = eventually(lambda: first.counted("sequence", 400), 120, "all messages in the database")
    assert rows == different == 400
    assert first.journaled() > 0 and second.journaled() > 0
    assert first.journaled() + second.journaled() == 400


def test_the_circuit_breaker_opens_and_closes_again(lab, bridge):
    run = bridge(version="5", open_s=2)
    lab.allowed_errors |= {"broker"}
    device = run.make_devices(1)[0]
    run.mosquitto.stop()
    eventually(lambda: run.metric("millrace_gateway_bridge_breaker") == 2, 120, "the breaker to open")
    ready, said = lab.readyz(run.service)
    assert ready, "a broker that is away is no reason to restart the gateway"
    assert "circuit breaker open" in json.loads(said)["detail"]["bridge"]
    run.mosquitto.start()
    eventually(lambda: run.metric("millrace_gateway_bridge_connected") == 1, 120, "the bridge to be back")
    assert run.metric("millrace_gateway_bridge_breaker") == 0
    publisher = Publisher(run.mosquitto.port)
    publisher.publish(f"devices/{device}/telemetry", json.dumps({"sequence": 1, "ts": 1_700_000_000_000}))
    publisher.finish()
    eventually(lambda: rows_of(lab, device, "sequence") == [1], 120, "a message after the outage")


def test_a_full_journal_stops_the_acknowledgements(lab, bridge):
    """With Kafka away the journal fills to its limit; what the broker then holds comes when there is room."""
    run = bridge(version="5", environment={"BRIDGE_JOURNAL_LIMIT_BYTES": str(16 << 20)})
    lab.allowed_errors |= {"kafka", "Kafka", "broker"}
    devices = run.make_devices(4)
    lab.member("kafka").signal(19)
    try:
        publisher = Publisher(run.mosquitto.port)
        filler = "x" * 20_000
        for number in range(1200):  # 24 MB
            publisher.publish(f"devices/{devices[number % 4]}/telemetry",
                              json.dumps({"sequence": number, "filler": filler, "ts": 1_700_000_000_000 + number}))
        publisher.finish()
        eventually(lambda: run.metric("millrace_gateway_bridge_journal_full") == 1, 120, "the journal to be full")
        assert run.metric("millrace_gateway_bridge_journal_bytes") <= 16 << 20
        time.sleep(1)  # nothing to await: that nothing is taken
        taken = run.journaled()
        assert taken < 1200
    finally:
        lab.member("kafka").signal(18)
    rows, different = eventually(lambda: run.counted("sequence", 1200), 240, "all messages in the database")
    assert rows == different == 1200
    assert run.metric("millrace_gateway_bridge_journal_full") == 0


def test_a_message_of_an_unknown_device_is_evidence(lab, bridge):
    run = bridge(version="5")
    device = run.make_devices(1)[0]
    unknown = f"nobody-{secrets.token_hex(4)}"
    publisher = Publisher(run.mosquitto.port)
    publisher.publish(f"devices/{unknown}/telemetry", json.dumps({"sequence": 1}))
    publisher.publish("other/topic", "not subscribed")
    publisher.publish(f"devices/{device}/telemetry", json.dumps({"sequence": 1, "ts": 1_700_000_000_000}))
    publisher.finish()
    eventually(lambda: rows_of(lab, device, "sequence") == [1], 120, "the message behind it")
    eventually(lambda: run.metric('millrace_gateway_payload_faults_total{reason="unknown_device"}') == 1, 60, "the count")


def test_check_config_names_the_place(lab, run_program, tmp_path):
    file = tmp_path / "bridge.json"
    file.write_text(json.dumps({"brokers": [{"name": "a", "uri": "mqtt://b:1883", "client_id": "c", "tenant": TENANT,
                                             "topics": [{"pattern": "x/y"}]}]}), encoding="utf-8")
    done = subprocess.run([str(lab.binaries / "protocol-gateway"), "--check-config"], capture_output=True, text=True,
                          timeout=60, check=False, env={"MILLRACE_PROTOCOL_GATEWAY_BRIDGE_FILE": str(file),
                                                        "MILLRACE_PROTOCOL_GATEWAY_KAFKA_BOOTSTRAP": "k:1",
                                                        "MILLRACE_PROTOCOL_GATEWAY_STATE_DIR": "/tmp"})
    assert done.returncode == 2
    assert f"{file}: brokers[0].topics[0].pattern 'x/y' has no level {{device}}" in done.stderr


def make_certificates(folder):
    """A CA, a server's certificate for localhost and a client's."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
            "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    for name, subject in (("server", "localhost"), ("client", "bridge")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={subject}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{subject}\n", encoding="ascii")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")
