#include "migration_texts.hpp"

namespace millrace::storage_schema {

// Each function answers from one snapshot, that of the statement that calls it: a day that is compacted meanwhile
// changes nothing.
const std::string_view kTierReads = R"sql(
-- The first UTC day of [from_time, to_time) that has a point of the series; NULL: none.
CREATE FUNCTION storage.next_day(device int4, of_metric int4, from_time timestamptz, to_time timestamptz)
RETURNS date LANGUAGE sql STABLE AS $$
  SELECT least(
    (SELECT (s.time AT TIME ZONE 'UTC')::date FROM storage.sample s
     WHERE s.device_id = $1 AND s.metric = $2 AND s.time >= $3 AND s.time < $4 ORDER BY s.time LIMIT 1),
    (SELECT g.day FROM storage.segment g WHERE g.device_id = $1 AND g.metric = $2 AND g.day >= ($3 AT TIME ZONE 'UTC')::date
     AND g.day <= ($4 AT TIME ZONE 'UTC')::date AND g.start < $4 AND g.stop >= $3 ORDER BY g.day LIMIT 1))
$$;

-- The first points of a series in [from_time, to_time), in time order, at most `most`. Reads day by day where days are compacted.
CREATE FUNCTION storage.page(device int4, of_metric int4, from_time timestamptz, to_time timestamptz, most int8)
RETURNS TABLE ("time" timestamptz, value float8, kind int2, other text, untimed boolean)
LANGUAGE plpgsql STABLE ROWS 1000 AS $$
DECLARE
  one  date;
  upto timestamptz;
  got  int8;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM storage.day d WHERE d.state = 3 AND d.day >= (from_time AT TIME ZONE 'UTC')::date
                 AND d.day <= (to_time AT TIME ZONE 'UTC')::date) THEN
    RETURN QUERY SELECT s.time, s.value, s.kind, s.other, s.untimed FROM storage.sample s
      WHERE s.device_id = device AND s.metric = of_metric AND s.time >= from_time AND s.time < to_time ORDER BY s.time LIMIT most;
    RETURN;
  END IF;
  WHILE most > 0 AND from_time < to_time LOOP
    one := storage.next_day(device, of_metric, from_time, to_time);
    EXIT WHEN one IS NULL;
    upto := least(to_time, storage.day_start(one + 1));
    RETURN QUERY SELECT p.* FROM storage.points(device, of_metric, greatest(from_time, storage.day_start(one)), upto) p
      ORDER BY p.time LIMIT most;
    GET DIAGNOSTICS got = ROW_COUNT;
    most := most - got;
    from_time := upto;
  END LOOP;
END $$;

-- Time of the first number of a series in [from_time, to_time); NULL: none.
CREATE FUNCTION storage.first_number(device int4, of_metric int4, from_time timestamptz, to_time timestamptz)
RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
  one   date;
  upto  timestamptz;
  found timestamptz;
BEGIN
  WHILE from_time < to_time LOOP
    one := storage.next_day(device, of_metric, from_time, to_time);
    EXIT WHEN one IS NULL;
    upto := least(to_time, storage.day_start(one + 1));
    SELECT min(p.time) INTO found FROM storage.points(device, of_metric, greatest(from_time, storage.day_start(one)), upto) p
    WHERE p.value IS NOT NULL OR p.kind = 1;
    IF found IS NOT NULL THEN RETURN found; END IF;
    from_time := upto;
  END LOOP;
  RETURN NULL;
END $$;

-- The coarsest roll-up whose buckets fill buckets of `step_us` exactly, in seconds; 0: none does.
CREATE FUNCTION storage.grain_of(step_us int8) RETURNS int4 LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN $1 % 86400000000 = 0 THEN 86400 WHEN $1 % 3600000000 = 0 THEN 3600 WHEN $1 % 60000000 = 0 THEN 60 ELSE 0 END
$$;

-- The stretches of [from_time, to_time) that a roll-up of this grain answers exactly: whole buckets of days that are rolled up and
-- did not change since.
CREATE FUNCTION storage.rolled(device int4, of_metric int4, from_time timestamptz, to_time timestamptz, grain int4)
RETURNS TABLE (day date, rolled_from timestamptz, rolled_to timestamptz) LANGUAGE sql STABLE ROWS 30 AS $$
  SELECT r.day, greatest(storage.day_start(r.day), w.a), least(storage.day_start(r.day + 1), w.b)
  FROM (SELECT date_bin(b.grain, $3 - interval '1 microsecond', timestamptz '1970-01-01 00:00:00+00') + b.grain AS a,
               date_bin(b.grain, $4, timestamptz '1970-01-01 00:00:00+00') AS b
        FROM (SELECT make_interval(secs => greatest($5, 1)) AS grain) b) w,
       (SELECT d.day FROM storage.rollup_day d WHERE $5 = 86400 AND d.metric = $2 AND d.device_id = $1
          AND d.day >= ($3 AT TIME ZONE 'UTC')::date AND d.day <= ($4 AT TIME ZONE 'UTC')::date
        UNION ALL
        SELECT f.day FROM storage.rollup f WHERE f.grain = $5 AND f.metric = $2 AND f.device_id = $1
          AND f.day >= ($3 AT TIME ZONE 'UTC')::date AND f.day <= ($4 AT TIME ZONE 'UTC')::date) r
  WHERE storage.day_start(r.day) < w.b AND storage.day_start(r.day + 1) > w.a AND w.a < w.b
    AND NOT EXISTS (SELECT 1 FROM storage.changed c WHERE c.day = r.day AND c.device_id = $1 AND c.metric = $2)
$$;

-- What the numbers of a series are in [from_time, to_time), by buckets of `step_us` since 1970; a bucket comes in one or more parts.
-- `huge` is the sum of the values from 1e290 on, times 2^-40: a plain sum would overflow.
CREATE FUNCTION storage.bucket_parts(device int4, of_metric int4, from_time timestamptz, to_time timestamptz, step_us int8)
RETURNS TABLE (bucket timestamptz, n int8, sum float8, huge float8, min float8, max float8, first float8, last float8,
               first_time timestamptz, last_time timestamptz)
LANGUAGE plpgsql STABLE ROWS 1000 AS $$
#variable_conflict use_column
DECLARE
  unit   int4 := storage.grain_of(step_us);
  width  interval := step_us * interval '1 microsecond';
  origin timestamptz := timestamptz '1970-01-01 00:00:00+00';
  gap    record;
BEGIN
  IF unit = 86400 THEN
    RETURN QUERY SELECT date_bin(width, storage.day_start(r.day), origin), d.n::int8, d.sum, 0::float8, d.min, d.max, d.first, d.last,
        d.first_time, d.last_time
      FROM storage.rolled(device, of_metric, from_time, to_time, unit) r
      JOIN storage.rollup_day d ON d.metric = of_metric AND d.device_id = device AND d.day = r.day;
  ELSIF unit > 0 THEN
    RETURN QUERY SELECT date_bin(width, u.start, origin), u.n::int8, u.sum, 0::float8, u.min, u.max, u.first, u.last,
        storage.day_start(u.day) + u.first_at * interval '1 microsecond', storage.day_start(u.day) + u.last_at * interval '1 microsecond'
      FROM (SELECT r.rolled_from, r.rolled_to, f.day, b.*, storage.day_start(f.day) + b.bucket * make_interval(secs => unit) AS start
            FROM storage.rolled(device, of_metric, from_time, to_time, unit) r
            JOIN storage.rollup f ON f.metric = of_metric AND f.device_id = device AND f.day = r.day AND f.grain = unit
            CROSS JOIN LATERAL unnest(f.bucket, f.n, f.sum, f.min, f.max, f.first, f.last, f.first_at, f.last_at)
              AS b(bucket, n, sum, min, max, first, last, first_at, last_at)) u
      WHERE u.start >= u.rolled_from AND u.start < u.rolled_to;
  END IF;
  -- What lies between the stretches comes from the points.
  FOR gap IN
    SELECT g.a, g.b FROM (
      SELECT lag(r.rolled_to, 1, from_time) OVER (ORDER BY r.rolled_from) AS a, r.rolled_from AS b
      FROM (SELECT r.rolled_from, r.rolled_to FROM storage.rolled(device, of_metric, from_time, to_time, unit) r WHERE unit > 0
            UNION ALL SELECT to_time, to_time) r) g
    WHERE g.a < g.b ORDER BY 1
  LOOP
    RETURN QUERY SELECT b.bucket, b.n, coalesce(b.sum, 0), coalesce(b.huge, 0), b.min, b.max, b.firsts[1], b.lasts[1], b.first_time,
        b.last_time
      FROM (SELECT date_bin(width, p.time, origin) AS bucket, count(*) AS n,
              sum(p.number) FILTER (WHERE abs(p.number) < 1e290) AS sum,
              sum(p.number * 9.094947017729282379150390625e-13::float8) FILTER (WHERE NOT abs(p.number) < 1e290) AS huge,
              min(p.number) AS min, max(p.number) AS max,
              array_agg(p.number ORDER BY p.time) AS firsts, array_agg(p.number ORDER BY p.time DESC) AS lasts,
              min(p.time) AS first_time, max(p.time) AS last_time
            FROM (SELECT q.time, CASE WHEN q.kind = 1 THEN q.other::float8 ELSE q.value END AS number
                  FROM storage.points(device, of_metric, gap.a, gap.b) q WHERE q.value IS NOT NULL OR q.kind = 1) p
            GROUP BY 1) b;
  END LOOP;
END $$;

-- The same with one row for a bucket, in time order.
CREATE FUNCTION storage.buckets(device int4, of_metric int4, from_time timestamptz, to_time timestamptz, step_us int8)
RETURNS TABLE (bucket timestamptz, n int8, min float8, max float8, mean float8, first float8, last float8, first_time timestamptz,
               last_time timestamptz)
LANGUAGE sql STABLE ROWS 1000 AS $$
  SELECT b.bucket, b.n, b.min, b.max, greatest(b.min, least(b.max, b.sum / b.n
           + CASE WHEN b.huge = 0 THEN 0 ELSE greatest(-1.634e296, least(1.634e296, b.huge / b.n)) * 1099511627776::float8 END)),
         b.firsts[1], b.lasts[1], b.first_time, b.last_time
  FROM (SELECT p.bucket, sum(p.n)::int8 AS n, min(p.min) AS min, max(p.max) AS max, sum(p.sum) AS sum, sum(p.huge) AS huge,
               array_agg(p.first ORDER BY p.first_time) AS firsts, array_agg(p.last ORDER BY p.last_time DESC) AS lasts,
               min(p.first_time) AS first_time, max(p.last_time) AS last_time
        FROM storage.bucket_parts($1, $2, $3, $4, $5) p GROUP BY p.bucket) b
  ORDER BY b.bucket
$$;

-- What the database offers, found once at the migration: `plain`, `timescale_apache` (hypertables, no compression) or
-- `timescale_tsl`. Segments and roll-ups of this schema are used in all three.
CREATE TABLE storage.setting (
  name  text PRIMARY KEY,
  value text NOT NULL
);
CREATE FUNCTION storage.database_mode() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'timescaledb') THEN 'plain'
              WHEN current_setting('timescaledb.license', true) = 'timescale' THEN 'timescale_tsl' ELSE 'timescale_apache' END
$$;
INSERT INTO storage.setting VALUES ('database_mode', storage.database_mode());
)sql";

}  // namespace millrace::storage_schema
