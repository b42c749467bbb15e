"""A full life: ten days in rows, in segments with roll-ups, in Parquet files on an S3 server; equal to what was sent at each stage,
with late readings at each stage. MILLRACE_LIFE_DEVICES (2) is how many devices send all the time."""
import datetime
import os
import random

import pytest

from archive_run import S3Server, archived_keys, environment, parquet_rows
from http_device import HttpDevice
from millrace_lab import eventually, now_us

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
DAYS = 10
FIRST = (now_us() // DAY - 20) * DAY  # midnight, UTC
END = FIRST + DAYS * DAY
STEADY = tuple(f"steady-{number}" for number in range(int(os.environ.get("MILLRACE_LIFE_DEVICES", "2"))))
FAST = "fast"
KINDS = {"double_value": float, "int_value": int, "bool_value": bool, "string_value": str}


class Life:
    """What was sent, and the comparison of everything that can be read with it."""

    def __init__(self, lab, seed):
        self._lab = lab
        self._dice = random.Random(seed)
        self._senders = {name: HttpDevice(lab, name, lab.create_device(name)) for name in (*STEADY, FAST)}
        self._truth = {}    # (device, metric): {time: value}; what was sent last counts
        self._untimed = 0
        self._receipts = []

    def send(self, device, points):
        """[(time, metric, value)] in messages of 500 points."""
        for begin in range(0, len(points), 500):
            some = points[begin:begin + 500]
            self._receipts.append(self._senders[device].send(
                [{"ts": _text(time), "values": {metric: value}} for time, metric, value in some]))
            for time, metric, value in some:
                self._truth.setdefault((device, metric), {})[time] = value
        self._senders[device].close()  # the gateway ends a connection that says nothing while a stage is made

    def begin(self):
        """Ten days: numbers by the minute, other kinds by the quarter of an hour; of one device two days at six seconds."""
        for device in STEADY:
            loads = [(FIRST + i * MINUTE, "load", round(self._dice.uniform(-50, 50), 2)) for i in range(DAYS * 1440)]
            others = []
            for i in range(DAYS * 96):
                time = FIRST + i * HOUR // 4 + 123_456
                others += [(time, "count", 2 ** 60 + i), (time, "on", i % 3 == 0), (time, "state", f"état {i}")]
            self._dice.shuffle(others)
            self.send(device, loads + others)
        self.send(FAST, [(FIRST + 3 * DAY + i * 6 * SECOND, "load", self._dice.gauss(0, 1e6)) for i in range(2 * 14_400)])
        self.stored()

    def late(self):
        """New times, other values for known times, and one without a time, in every day."""
        for device in STEADY:
            points = []
            for day in range(DAYS):
                start = FIRST + day * DAY
                points += [(start + self._dice.randrange(DAY), "load", self._dice.uniform(-1, 1)) for _ in range(3)]
                known = self._dice.sample(sorted(time for time in self._truth[device, "load"] if start <= time < start + DAY), 3)
                points += [(time, "load", self._dice.uniform(100, 101)) for time in known]
                points.append((start + 123_456, "state", f"corrected {self._dice.random()}"))
            self.send(device, points)
        self._untimed += 1
        self._receipts.append(self._senders[STEADY[0]].send({"untimed": self._untimed}))
        self._senders[STEADY[0]].close()

    def stored(self):
        for receipt in self._receipts:
            eventually(lambda: self._lab.query("GetReceipt", receipt=receipt).state == 3, 300, f"{receipt} to be stored")
        self._receipts.clear()

    def check(self):
        for (device, metric), points in self._truth.items():
            assert self._raw(device, metric, FIRST, END) == sorted(points.items()), f"{device} {metric}"
        for device in self._senders:
            for step in (DAY, HOUR, MINUTE, 7 * MINUTE):
                self._check_buckets(device, step)
            self._check_budget(device)
        self._check_group()
        found = self._raw(STEADY[0], "untimed", END, now_us() + DAY) if self._untimed else []
        assert [value for _, value in found] == list(range(1, self._untimed + 1))

    def archived(self, files):
        """The same from the Parquet files alone."""
        devices = {int(key): name for key, name in self._lab.sql("SELECT device_key, device FROM registry.device")}
        metrics = {int(key): name for key, name in self._lab.sql("SELECT id, name FROM storage.metric")}
        read = {}
        for device, metric, time, value, kind, other, untimed in parquet_rows(files):
            assert untimed is None
            times = read.setdefault((devices[device], metrics[metric]), {})
            assert time not in times, "twice in the archive"
            times[time] = value if kind is None else {1: int, 2: lambda text: text == "true", 3: str}[kind](other)
        assert read == self._truth

    def _raw(self, device, metric, begin, end):
        found = []
        for one in self._lab.range_samples(device, metric, begin, end):
            kind = one.value.WhichOneof("kind")
            found.append((one.time_us, KINDS[kind](getattr(one.value, kind))))
        return found

    def _expected(self, devices, step):
        """{start: [(time, value)]} of the metric `load`."""
        buckets = {}
        for device in devices:
            for time, value in self._truth[device, "load"].items():
                buckets.setdefault(time // step * step, []).append((time, value))
        return {start: sorted(points) for start, points in sorted(buckets.items())}

    def _check_buckets(self, device, step):
        found, token = [], ""
        while True:
            page = self._lab.query("Range", device=device, metric="load", from_us=FIRST, to_us=END, step_us=step, page_size=10_000,
                                   page_token=token)
            found += page.buckets
            token = page.next_page_token
            if not token:
                break
        self._same(found, self._expected([device], step), lambda one: one.time_us)

    def _check_budget(self, device):
        """The whole of it in at most 240 points: by the hour, where the roll-ups are."""
        answer = self._lab.query("Range", device=device, metric="load", from_us=FIRST, to_us=END, points=240)
        assert answer.step_us >= HOUR and len(answer.buckets) <= 240
        self._same(answer.buckets, self._expected([device], answer.step_us), lambda one: one.time_us)

    def _check_group(self):
        answer = self._lab.query("Aggregate", devices=list(self._senders), metric="load", from_us=FIRST, to_us=END, step_us=DAY)
        expected = self._expected(self._senders, DAY)
        self._same(answer.buckets, expected, lambda one: one.start_us, ends=False)
        assert [one.devices for one in answer.buckets] == [len(STEADY) + (3 <= day < 5) for day in range(DAYS)]

    @staticmethod
    def _same(found, expected, start, ends=True):
        assert [(start(one), one.count) for one in found] == [(at, len(points)) for at, points in expected.items()]
        for one, points in zip(found, expected.values()):
            values = [value for _, value in points]
            assert (one.min, one.max) == (min(values), max(values))
            assert one.mean == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-9)
            assert (one.first_time_us, one.last_time_us) == (points[0][0], points[-1][0])
            assert not ends or (one.first, one.last) == (values[0], values[-1])


def _text(time):
    return datetime.datetime.fromtimestamp(time // SECOND, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{time % SECOND:06d}Z"


@pytest.fixture(name="s3")
def _s3(tmp_path, parquet_worker):
    del parquet_worker
    server = S3Server(tmp_path)
    yield server
    server.stop()


def _set(lab, name, **fields):
    """Starts a service again with other settings."""
    lab.member(name).extra.update(environment(name.upper().replace("-", "_"), fields))
    lab.member(name).stop()
    lab.restart(name)


def _number(lab, query):
    return int(lab.sql(query)[0][0])


def _day(at):
    return datetime.datetime.fromtimestamp(at // SECOND, datetime.timezone.utc).strftime("%Y-%m-%d")


def _whole_in_segments(lab):
    """All ten days are compacted, and what came late is packed too."""
    ten = f"day >= '{_day(FIRST)}' AND day < '{_day(END)}'"
    return (_number(lab, f"SELECT count(*) FROM storage.day WHERE state = 3 AND {ten}") == DAYS
            and _number(lab, f"SELECT count(*) FROM storage.changed WHERE {ten}") == 0 and _rows(lab, "storage.sample") == 0)


def _rows(lab, table):
    return _number(lab, f"SELECT count(*) FROM {table} WHERE time >= '{_day(FIRST)}' AND time < '{_day(END)}'")


def _whole_in_files(lab):
    """Nothing of the ten days is left in the database, and the manifest has a file for each that was checked to the end."""
    return (_rows(lab, "storage.point") == 0 and len(archived_keys(lab)) == DAYS
            and _number(lab, "SELECT count(*) FROM storage.archive_file WHERE detached IS NOT NULL OR"
                             " (superseded_at IS NOT NULL AND deleted_at IS NULL)") == 0)


def test_ten_days_from_rows_to_files_on_s3(lab_of_its_own, s3):
    store = s3.store("site")
    with lab_of_its_own({
            "storage-writer": environment("STORAGE_WRITER", {"HOT_HOURS": "0", "HOT_QUIET_S": "0", "MAINTENANCE_INTERVAL_MS": "0"}),
            "query-api": environment("QUERY_API", store)}) as lab:
        life = Life(lab, seed=7)
        life.begin()
        life.late()
        life.stored()
        assert _number(lab, "SELECT count(*) FROM storage.day") == 0
        life.check()

        # Segments and roll-ups; late readings while they are made, and when they are there.
        _set(lab, "storage-writer", MAINTENANCE_INTERVAL_MS="200")
        life.late()
        eventually(lambda: _whole_in_segments(lab), 300, "the days to be compacted")
        life.stored()
        life.check()
        assert _number(lab, "SELECT count(*) FROM storage.rollup") > 0
        life.late()
        life.stored()
        life.check()
        eventually(lambda: _whole_in_segments(lab), 300, "late readings to be packed")
        life.check()

        # Files on S3; late readings while they are written, and when the days are gone from the database.
        _set(lab, "storage-archiver", AFTER_DAYS="5", INTERVAL_S="1", MERGE_INTERVAL_S="0", GRACE_S="0", **store)
        life.late()
        life.stored()
        life.check()
        eventually(lambda: _whole_in_files(lab), 300, "the days to be archived")
        life.check()
        life.late()
        life.stored()
        life.check()
        eventually(lambda: _whole_in_files(lab), 300, "late readings to be taken into the files")
        life.check()
        assert _number(lab, "SELECT count(*) FROM storage.segment") + _number(lab, "SELECT count(*) FROM storage.rollup") == 0
        objects = sorted(str(file.relative_to(s3.objects / "site")) for file in (s3.objects / "site").rglob("*.parquet"))
        assert objects == archived_keys(lab), "no object but those of the manifest"
        life.archived(s3.objects / "site" / key for key in objects)
