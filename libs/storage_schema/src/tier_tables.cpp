#include "migration_texts.hpp"

namespace millrace::storage_schema {

const std::string_view kTierTables = R"sql(
-- A day's points after compaction: one row for a series (more where it has over 10,000 points or values that are no numbers),
-- columns of points as arrays. About 6 bytes a point for decimals at a steady pace, 13 for full doubles.
CREATE TABLE storage.segment (
  start      timestamptz NOT NULL,  -- of its first point
  stop       timestamptz NOT NULL,  -- of its last
  day        date        NOT NULL,  -- of all its points, UTC
  device_id  int4        NOT NULL,
  metric     int4        NOT NULL,
  n          int4        NOT NULL,
  scale      int2,                  -- v2, v4: the value is the element divided by this
  untimed    boolean,               -- of all points, as sample.untimed
  step       int8,                  -- us from point to point; NULL: see t4 or t8
  t4         int4[],                -- ms since start
  t8         int8[],                -- us since start
  v2         int2[],
  v4         int4[],
  v8         float8[],
  kinds      int2[],                -- as sample.kind; then no v2, v4, v8
  others     text[],                -- as sample.other
  untimed_at boolean[]              -- where the points differ
) PARTITION BY RANGE (day);
CREATE INDEX segment_series ON storage.segment (device_id, metric, day);

-- The points of a segment. Inlined.
CREATE FUNCTION storage.expand(g storage.segment)
RETURNS TABLE ("time" timestamptz, value float8, kind int2, other text, untimed boolean)
LANGUAGE sql STABLE ROWS 100 AS $$
  SELECT (g).start + interval '1 microsecond' * coalesce(u.t4 * 1000::float8, u.t8::float8, (u.i - 1)::float8 * (g).step),
         coalesce(u.v8, u.v4::float8 / (g).scale, u.v2::float8 / (g).scale), u.kind, u.other, coalesce(u.untimed, (g).untimed)
  FROM unnest((g).t4, (g).t8, (g).v2, (g).v4, (g).v8, (g).kinds, (g).others, (g).untimed_at)
       WITH ORDINALITY AS u(t4, t8, v2, v4, v8, kind, other, untimed, i)
$$;

-- All points of all tiers. For single series and stretches of time, points() and points_in() find their days by themselves.
CREATE VIEW storage.point AS
  SELECT s.time, s.device_id, s.metric, s.value, s.kind, s.other, s.untimed FROM storage.sample s
  UNION ALL
  SELECT e.time, g.device_id, g.metric, e.value, e.kind, e.other, e.untimed
  FROM storage.segment g CROSS JOIN LATERAL storage.expand(g) e;

-- The points of a series in [from_time, to_time), in no order. Inlined.
CREATE FUNCTION storage.points(device int4, of_metric int4, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, value float8, kind int2, other text, untimed boolean)
LANGUAGE sql STABLE ROWS 1000 AS $$
  SELECT s.time, s.value, s.kind, s.other, s.untimed FROM storage.sample s
  WHERE s.device_id = $1 AND s.metric = $2 AND s.time >= $3 AND s.time < $4
  UNION ALL
  SELECT e.time, e.value, e.kind, e.other, e.untimed FROM storage.segment g CROSS JOIN LATERAL storage.expand(g) e
  WHERE g.device_id = $1 AND g.metric = $2 AND g.day >= ($3 AT TIME ZONE 'UTC')::date
    AND g.day <= ($4 AT TIME ZONE 'UTC')::date AND g.start < $4 AND g.stop >= $3 AND e.time >= $3 AND e.time < $4
$$;

-- The points of all series in [from_time, to_time), in no order. Inlined.
CREATE FUNCTION storage.points_in(from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, device_id int4, metric int4, value float8, kind int2, other text, untimed boolean)
LANGUAGE sql STABLE ROWS 100000 AS $$
  SELECT s.time, s.device_id, s.metric, s.value, s.kind, s.other, s.untimed FROM storage.sample s
  WHERE s.time >= $1 AND s.time < $2
  UNION ALL
  SELECT e.time, g.device_id, g.metric, e.value, e.kind, e.other, e.untimed
  FROM storage.segment g CROSS JOIN LATERAL storage.expand(g) e
  WHERE g.day >= ($1 AT TIME ZONE 'UTC')::date AND g.day <= ($2 AT TIME ZONE 'UTC')::date
    AND g.start < $2 AND g.stop >= $1 AND e.time >= $1 AND e.time < $2
$$;

-- Days that left the hot tier. A day without a row here is hot. Its partition of storage.sample stays: after the compaction it
-- takes the late rows.
CREATE TABLE storage.day (
  day          date PRIMARY KEY,
  state        int2        NOT NULL,  -- 1 closed: changes leave marks; 2 packed beside its rows; 3 compacted
  device_id    int4,                  -- state 1: the last series packed
  metric       int4,
  built_by     xid8,                  -- the last transaction that packed a series before the swap
  points       int8        NOT NULL DEFAULT 0,
  bytes_before int8,                  -- of the partition with its index
  bytes_after  int8,
  closed_at    timestamptz NOT NULL DEFAULT now(),
  compacted_at timestamptz,
  failure      text                   -- of the last attempt
);

-- Series of a day that changed since it was closed: rows came late, were corrected or moved. Written by a trigger on the day's
-- partition in the transaction of the change; no unique key, so that nobody waits for anybody. Taken by the maintenance.
CREATE TABLE storage.changed (
  day       date NOT NULL,
  device_id int4 NOT NULL,
  metric    int4 NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX changed_series ON storage.changed (day, device_id, metric);

CREATE FUNCTION storage.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO storage.changed VALUES (TG_ARGV[0]::date, NEW.device_id, NEW.metric);
  ELSE
    INSERT INTO storage.changed VALUES (TG_ARGV[0]::date, OLD.device_id, OLD.metric);
  END IF;
  RETURN NULL;
END $$;

-- Numbers of a series by day, from 10 a day on. A series with a value of 1e290 or more (or NaN) has no roll-up of that day.
CREATE TABLE storage.rollup_day (
  first_time timestamptz NOT NULL,
  last_time  timestamptz NOT NULL,
  sum        float8      NOT NULL,
  min        float8      NOT NULL,
  max        float8      NOT NULL,
  first      float8      NOT NULL,
  last       float8      NOT NULL,
  n          int4        NOT NULL,
  metric     int4        NOT NULL,
  day        date        NOT NULL,
  device_id  int4        NOT NULL,
  PRIMARY KEY (metric, day, device_id)
);

-- The same by hour (from 240 points a day on) and by minute (from 14,400), a day's buckets as arrays.
CREATE TABLE storage.rollup (
  metric    int4     NOT NULL,
  day       date     NOT NULL,
  device_id int4     NOT NULL,
  grain     int4     NOT NULL,  -- seconds: 3600 or 60
  bucket    int4[]   NOT NULL,  -- number within the day
  n         int4[]   NOT NULL,
  sum       float8[] NOT NULL,
  min       float8[] NOT NULL,
  max       float8[] NOT NULL,
  first     float8[] NOT NULL,
  last      float8[] NOT NULL,
  first_at  int8[]   NOT NULL,  -- us since midnight
  last_at   int8[]   NOT NULL,
  PRIMARY KEY (metric, day, device_id, grain)
);
)sql";

}  // namespace millrace::storage_schema
