"""A gateway that is nothing but a bridge, beside the lab's own, and a Mosquitto in front of it."""
import json
import secrets
import threading

from millrace_lab import TENANT, eventually
from bridged_broker import Mosquitto
from raw_kafka import BEGINNING, Tail

import protos


class BridgeRun:
    """Ready when made; end with close()."""

    def __init__(self, lab, folder, version="5", listener="", mosquitto=None, scheme="mqtt", host="127.0.0.1",
                 environment=None, **broker):
        self.lab = lab
        self.prefix = f"b{secrets.token_hex(4)}"
        self.service = f"bridge-{self.prefix}"
        self._own_mosquitto = mosquitto is None
        self.mosquitto = mosquitto or Mosquitto(folder, listener=listener)
        file = folder / f"{self.service}.json"
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"brokers": [{
            "name": "mosquitto", "uri": f"{scheme}://{host}:{self.mosquitto.port}", "version": version,
            "client_id": self.service, "tenant": TENANT, **broker}]}), encoding="utf-8")
        prefix = "MILLRACE_PROTOCOL_GATEWAY_"
        extra = {prefix + key: "" for key in ("MQTT_ADDR", "MQTT_OPEN_ADDR", "HTTP_ADDR", "COAP_ADDR", "COAPS_ADDR")}
        extra[prefix + "BRIDGE_FILE"] = str(file)
        extra.update({prefix + key: value for key, value in (environment or {}).items()})
        lab.add_service("protocol-gateway", self.service, extra)
        self.wait_connected()

    def wait_connected(self):
        self.lab.wait_ready(self.service)
        eventually(lambda: self.metric("millrace_gateway_bridge_connected") == 1, 120, "the bridge to be connected")

    def close(self):
        self.lab.drop_service(self.service)
        if self._own_mosquitto:
            self.mosquitto.stop()

    def kill_and_restart(self):
        self.lab.kill(self.service)
        self.lab.begin(self.service)
        self.wait_connected()

    def make_devices(self, count):
        names = [f"{self.prefix}-{number}" for number in range(count)]
        self.lab.create_devices(names)
        eventually(lambda: self.lab.metrics(self.service, "millrace_registry_view_revision") >= self._revision(), 60,
                   "the bridge to know the devices")
        return names

    def metric(self, name):
        return self.lab.metrics(self.service, name)

    def journaled(self):
        return self.metric('millrace_gateway_bridge_messages_total{broker="mosquitto",outcome="journaled"}')

    def wait_for_more(self, count):
        before = self.journaled()
        eventually(lambda: self.journaled() - before >= count, 120, f"{count} more messages of the broker")

    def wait_until_idle(self):
        """Nothing is on its way from the journal, and the writer has all that is in the log."""
        eventually(lambda: self.metric("millrace_gateway_bridge_handed_on_messages") == 0, 120, "the journal to be done")
        eventually(lambda: self.lab.metrics("storage-writer", "millrace_storage_writer_lag_records") == 0, 120, "the writer")

    def counted(self, metric, wanted):
        """(rows, different values) of the run's devices once there are so many different ones."""
        rows = self.lab.sql(f"""
            SELECT count(*), count(DISTINCT s.value) FROM storage.point s
            JOIN storage.metric m ON m.id = s.metric AND m.name = '{metric}'
            JOIN registry.device d ON d.device_key = s.device_id WHERE d.device LIKE '{self.prefix}-%'""")
        rows, different = int(rows[0][0]), int(rows[0][1])
        return (rows, different) if different >= wanted else None

    def command_events(self, device, wanted):
        """The events of a device, by id, once there are so many different commands among them."""
        message = protos.message_class(protos.commands().DESCRIPTOR.message_types_by_name["CommandEvent"])
        events = {}
        tail = Tail(self.lab.stack.kafka.bootstrap, "millrace.command-events", begin=BEGINNING)
        given_up = threading.Timer(120, tail.end)
        given_up.start()
        for _, value in tail:
            event = message.FromString(value)
            if event.device == device:
                events[event.id] = event
            if len({one.payload for one in events.values()}) >= wanted:
                tail.end()
        given_up.cancel()
        return list(events.values())

    def _revision(self):
        return self.lab.metrics("protocol-gateway", "millrace_registry_view_revision")


def rows_of(lab, device, metric):
    """The values of one series, in the order of their times, straight from the database."""
    rows = lab.sql(f"""
        SELECT s.value FROM storage.point s
        JOIN storage.metric m ON m.id = s.metric AND m.name = '{metric}'
        JOIN registry.device d ON d.device_key = s.device_id WHERE d.device = '{device}' ORDER BY s.time""")
    return [float(row[0]) for row in rows]
