"""What the topic `telemetry` says of the devices of one test, as it comes."""
import threading
from collections import defaultdict
from typing import NamedTuple

import protos
import raw_kafka
from millrace_lab import eventually

TOPIC = "millrace.telemetry"


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes
    time_ms: int  # of the log
    value: bytes
    batch: object


class TelemetryLog:
    """Reads from the beginning in the background; end() it. `prefix`: of the devices' ids."""

    def __init__(self, lab, prefix):
        self._lab = lab
        self._prefix = prefix.encode()
        self._batch_of = protos.telemetry().TelemetryBatch.FromString
        self._lock = threading.Lock()
        self._records = defaultdict(list)
        self._ends = defaultdict(int)  # of what was read, by partition
        self._tail = raw_kafka.Tail(lab.stack.kafka.bootstrap, TOPIC, begin=raw_kafka.BEGINNING)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def of(self, device):
        """The device's records in the order of the log."""
        with self._lock:
            return list(self._records[device])

    def wait(self, device, count, timeout=60):
        """Its records, once there are so many."""
        eventually(lambda: len(self.of(device)) >= count, timeout, f"{count} records of {device} in the log")
        return self.of(device)

    def wait_for_the_writer(self, timeout=60):
        """Until everything was read here that storage-writer has accounted for."""
        rows = self._lab.sql(f"SELECT part, next_offset FROM storage.ingest_offset WHERE topic = '{TOPIC}' AND next_offset > 0")
        wanted = {int(partition): int(offset) for partition, offset in rows}

        def there():
            with self._lock:
                return all(self._ends[partition] >= offset for partition, offset in wanted.items())
        eventually(there, timeout, "the log to be read")

    def put(self, pairs):
        """(record, value): the value goes into the log under that record's key, past every gateway."""
        if pairs:
            raw_kafka.put(self._lab.stack.kafka.bootstrap, TOPIC, [value for _, value in pairs],
                          places=[(record.partition, record.key) for record, _ in pairs])

    def end(self):
        self._tail.end()
        self._reader.join(30)

    def _read(self):
        for _, place, value in self._tail.placed():
            batch = self._batch_of(value) if self._prefix in value else None
            with self._lock:
                self._ends[place[0]] = place[1] + 1
                if batch and batch.device.encode().startswith(self._prefix):
                    self._records[batch.device].append(Record(*place, value, batch))
