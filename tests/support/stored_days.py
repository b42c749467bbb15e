"""Days in the database that nobody has to send: a day compacted by the statements of the maintenance, and copies of it before."""
import datetime
import time

from millrace_dev.say import DevError

ROWS_AT_ONCE = 2_000_000  # as MAINTENANCE_ROWS
# Of storage.segment behind start, stop and day.
SEGMENT_REST = "device_id, metric, n, scale, untimed, step, t4, t8, v2, v4, v8, kinds, others, untimed_at"
ROLLUP_REST = "sum, min, max, first, last, n, metric"


def compact(lab, day):
    """Bytes a point of the day's segments with their index and of its roll-ups, points packed a second, and for how long nobody
    could use the day."""
    before = _roll_ups(lab)
    points = lab.number(f"SELECT count(*) FROM storage.{_table('sample', day)}")
    begun = time.monotonic()
    _sql(lab, f"SELECT storage.close_day('{day}')")
    while _sql(lab, f"SELECT storage.build_some('{day}', {ROWS_AT_ONCE})") == "t":
        pass
    seconds = time.monotonic() - begun
    if _sql(lab, f"SELECT storage.is_whole('{day}')") != "t":
        raise DevError(f"the segments of {day} are not the points of its rows")
    locked = _swap(lab, day)
    return {"bytes": lab.number(f"SELECT bytes_after FROM storage.day WHERE day = '{day}'") / points,
            "roll_up_bytes": (_roll_ups(lab) - before) / points, "points_per_s": points / seconds, "locked_ms": locked / 1_000}


def copy_days(lab, source, first, count):
    """`count` compacted days from `first` on that hold what the compacted day `source` holds, roll-ups included."""
    for day in (first + datetime.timedelta(days=number) for number in range(count)):
        later = (day - source).days
        shifted = f"interval '{later} days'"
        _sql(lab, f"""
            SELECT storage.ensure_days(ARRAY['{day}'::date]);
            SELECT storage.close_day('{day}');
            INSERT INTO storage.{_table('segment', day)} (start, stop, day, {SEGMENT_REST})
              SELECT start + {shifted}, stop + {shifted}, day + {later}, {SEGMENT_REST} FROM storage.{_table('segment', source)};
            INSERT INTO storage.rollup_day (first_time, last_time, day, device_id, {ROLLUP_REST})
              SELECT first_time + {shifted}, last_time + {shifted}, day + {later}, device_id, {ROLLUP_REST}
              FROM storage.rollup_day WHERE day = '{source}';
            UPDATE storage.day SET state = 2, built_by = pg_current_xact_id(),
              points = (SELECT sum(n) FROM storage.{_table('segment', day)}) WHERE day = '{day}'""")
        _swap(lab, day)


def _swap(lab, day):
    """Microseconds. Whoever began a statement before the last series was packed, an autovacuum for example, has to end first."""
    deadline = time.monotonic() + 300
    while (locked := float(_sql(lab, f"SELECT storage.swap_day('{day}')"))) < 0:
        if time.monotonic() > deadline:
            raise DevError(f"the segments of {day} could not take the place of its rows within five minutes")
        time.sleep(0.2)
    return locked


def _sql(lab, text):
    """As the writer, so that it owns what comes to be."""
    return lab.sql(f"SET ROLE storage_writer; {text}")


def _roll_ups(lab):
    return lab.number("SELECT pg_total_relation_size('storage.rollup_day') + pg_total_relation_size('storage.rollup')")


def _table(prefix, day):
    return f"{prefix}_{day:%Y%m%d}"
