"""What the topic `presence` says, as it comes."""
import threading

import protos
import raw_kafka
from millrace_lab import eventually

PARTITIONS = 4


class PresenceLog:
    """Reads from the beginning in the background; end() it."""

    def __init__(self, lab):
        self._pb = protos.presence()
        self._lock = threading.Lock()
        self._records = []
        self._tail = raw_kafka.Tail(lab.stack.kafka.bootstrap, "millrace.presence", PARTITIONS, begin=raw_kafka.BEGINNING)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def of(self, device):
        """The device's records in the order of the log."""
        with self._lock:
            return [record for record in self._records if record.device == device]

    def coming(self, device):
        """First records of its connections."""
        return [record for record in self.of(device) if record.state == 1 and not record.HasField("epoch")]

    def going(self, device):
        return [record for record in self.of(device) if record.state == 2]

    def wait_going(self, device, count=1, timeout=60):
        """So many ends of connections, the last of them."""
        eventually(lambda: len(self.going(device)) >= count, timeout, f"{count} disconnected records of {device}")
        return self.going(device)[-1]

    def wait_present(self, device, timeout=60):
        """Until the last record says that it is connected."""
        eventually(lambda: self.of(device) and self.of(device)[-1].state == 1, timeout,
                   f"the last presence record of {device} to say connected")
        return self.of(device)[-1]

    def cause(self, record):
        return self._pb.DisconnectCause.Name(record.cause).removeprefix("DISCONNECT_CAUSE_").lower()

    def end(self):
        self._tail.end()
        self._reader.join(30)

    def _read(self):
        for _, value in self._tail:
            record = self._pb.Presence.FromString(value)
            with self._lock:
                self._records.append(record)
