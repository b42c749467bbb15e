"""The ledger's sums, and whether they are those of the log and of the tables."""
from collections import namedtuple

from millrace_lab import eventually, now_us

FIELDS = ("acknowledged", "in_log", "records", "copies", "dead_records", "points", "inserted", "replaced", "dead_points", "pending",
          "missing")
Sums = namedtuple("Sums", FIELDS)
State = namedtuple("State", "sums tables")


def sums(lab, begin_us=0):
    """Over all partitions and hours since then. An hour whose log is gone has nothing in the log."""
    total, token, key = dict.fromkeys(FIELDS, 0), "", lab.stack.settings.kept("platform_key")
    while True:
        page = lab.query("GetLedger", key, from_us=begin_us, to_us=now_us() + 3_600_000_000, page_token=token)
        for hour in page.hours:
            for field in FIELDS:
                total[field] += getattr(hour, field)
        token = page.next_page_token
        if not token:
            return Sums(**total)


def state(lab):
    """The sums when the writer has read the log, and the same numbers of the tables: read, copies, dead records, dead points,
    rows."""
    found = eventually(lambda: (now := sums(lab)).pending == 0 and now, 60, "the writer to have read the log")
    row = lab.sql("""SELECT (SELECT coalesce(sum(next_offset), 0) FROM storage.ingest_offset WHERE topic LIKE '%.telemetry'),
        (SELECT count(*) FROM storage.dropped_copy),
        (SELECT count(*) FROM storage.dead_letter WHERE cardinality(points) = 0),
        (SELECT coalesce(sum(cardinality(points)), 0) FROM storage.dead_letter),
        (SELECT count(*) FROM storage.point)""")[0]
    return State(found, tuple(map(int, row)))


def check(lab, before):
    """Since that state nothing is missing, and every sum has grown as the log and the tables have. A gateway that was killed took
    its last second with it, and records without a report are acknowledged by nobody: less may be acknowledged than was read, and
    than an earlier test cut off the log, never more. Of all time: what came just before that state is published after it."""
    after = state(lab)
    grown = Sums(*(now - then for now, then in zip(after.sums, before.sums)))
    tables = tuple(now - then for now, then in zip(after.tables, before.tables))
    assert grown.missing == 0 and grown.in_log == grown.records, (grown, after.sums)
    assert after.sums.acknowledged <= after.sums.records + after.sums.missing, after.sums
    assert (grown.records, grown.copies, grown.dead_records, grown.dead_points, grown.inserted) == tables, (grown, tables)
    return grown
