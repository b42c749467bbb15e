#include "migration_texts.hpp"

namespace millrace::storage_schema {

// The steps of a day, each a transaction of its own and safe to repeat. docs/storage.md tells them as a story.
const std::string_view kCompaction = R"sql(
CREATE FUNCTION storage.day_start(d date) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
  $$ SELECT d::timestamp AT TIME ZONE 'UTC' $$;
CREATE FUNCTION storage.day_table(prefix text, d date) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT prefix || '_' || extract(year FROM d)::text || lpad(extract(month FROM d)::text, 2, '0')
            || lpad(extract(day FROM d)::text, 2, '0') $$;

-- Hot days before `before` that hold rows, oldest first. Days that are in the archive or on their way to it are the archiver's.
CREATE FUNCTION storage.closable_days(before date) RETURNS TABLE (day date) LANGUAGE sql STABLE AS $$
  SELECT p.day FROM (
    SELECT to_date(substr(c.relname, 8), 'YYYYMMDD') AS day, c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'storage.sample'::regclass AND c.relname ~ '^sample_[0-9]{8}$') p
  WHERE p.day < before AND pg_relation_size(p.oid) > 0 AND NOT EXISTS (SELECT 1 FROM storage.day d WHERE d.day = p.day)
    AND NOT EXISTS (SELECT 1 FROM storage.archive_file f WHERE f.day = p.day)
    AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = p.oid AND t.tgname = 'archive_change')
  ORDER BY 1
$$;

-- From here on each change of the day leaves a mark. The trigger waits for the writers that are in the partition, and new ones
-- wait for it: never longer than the lock_timeout.
CREATE FUNCTION storage.close_day(d date) RETURNS void LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
  rows_table text := storage.day_table('sample', d);
  packed     text := storage.day_table('segment', d);
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS storage.%I', packed);  -- empty, of a day that was made hot again
  EXECUTE format('CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON storage.%I FOR EACH ROW'
                 ' WHEN (current_setting(''millrace.tiers'', true) IS DISTINCT FROM ''on'')'
                 ' EXECUTE FUNCTION storage.note_change(%L)', rows_table, d);
  IF EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = format('storage.%I', rows_table)::regclass AND tgname = 'archive_change') THEN
    RAISE EXCEPTION 'the day is being archived' USING ERRCODE = 'lock_not_available';
  END IF;
  EXECUTE format('CREATE TABLE storage.%I (LIKE storage.segment INCLUDING ALL, CONSTRAINT of_day CHECK (day >= %L AND day < %L))',
                 packed, d, d + 1);
  INSERT INTO storage.day (day, state, bytes_before)
  VALUES (d, 1, pg_total_relation_size(format('storage.%I', rows_table)::regclass));
END $$;

-- Packs what `source` yields (a FROM item with the columns of storage.sample, all of day `d`) into the day's segments and
-- roll-ups. Returns the number of points. What was there of these series must be gone.
CREATE FUNCTION storage.pack(d date, source text) RETURNS int8 LANGUAGE plpgsql
SET jit = off SET enable_hashagg = off SET work_mem = '128MB' SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  points int8;
BEGIN
  EXECUTE format($q$
    -- Numbers together, everything else by the hour, by the minute where it is long: no array outgrows a field.
    WITH rows AS MATERIALIZED (
      SELECT r.device_id, r.metric, r.piece, r.us, r.us - lag(r.us) OVER series AS step, r.value, r.kind, r.other, r.untimed,
             CASE WHEN abs(r.value) < 2147483647 THEN round(r.value * 1000)::int8 END AS milli
      FROM (SELECT s.device_id, s.metric, s.value, s.kind, s.other, coalesce(s.untimed, false) AS untimed, t.us,
                   CASE WHEN s.kind IS NULL THEN 0 WHEN octet_length(s.other) < 4096 THEN 1 + t.us / 3600000000
                        ELSE 100 + t.us / 60000000 END AS piece
            FROM %2$s s, LATERAL (SELECT round(date_part('epoch', s.time - storage.day_start(%1$L)) * 1e6)::int8) t(us)) r
      WINDOW series AS (PARTITION BY r.device_id, r.metric, r.piece ORDER BY r.us)
    ), piece AS (
      SELECT device_id, metric, piece, count(*)::int4 AS n, array_agg(us) AS us, array_agg(untimed) AS untimed,
             coalesce(min(step) = max(step), true) AS even, min(us %% 1000) = max(us %% 1000) AS whole_ms,
             bool_and(untimed) AS all_untimed, bool_or(untimed) AS some_untimed,
             CASE WHEN piece = 0 THEN array_agg(value) END AS value,
             CASE WHEN piece > 0 THEN array_agg(kind) END AS kind, CASE WHEN piece > 0 THEN array_agg(other) END AS other,
             -- A decimal comes back exactly by a division, or it is kept as it is. Minus zero has no integer.
             bool_and(milli IS NOT NULL AND milli / 1000::float8 = value AND (milli <> 0 OR value::text = '0')) AS decimal,
             CASE WHEN bool_and(milli %% 1000 = 0) THEN 1 WHEN bool_and(milli %% 100 = 0) THEN 10
                  WHEN bool_and(milli %% 10 = 0) THEN 100 ELSE 1000 END AS scale,
             max(abs(milli)) AS most
      FROM rows GROUP BY device_id, metric, piece
    ), slice AS (
      SELECT p.device_id, p.metric, p.scale, p.even, p.whole_ms, p.all_untimed, p.some_untimed, p.us[k] AS first,
             p.us[least(k + 9999, p.n)] AS last, least(10000, p.n - k + 1) AS n, p.us[k:k + 9999] AS us,
             p.value[k:k + 9999] AS value, p.kind[k:k + 9999] AS kind, p.other[k:k + 9999] AS other,
             p.untimed[k:k + 9999] AS untimed,
             CASE WHEN p.piece > 0 THEN 0 WHEN NOT p.decimal OR p.most / (1000 / p.scale) > 2147483647 THEN 8
                  WHEN p.most / (1000 / p.scale) > 32767 THEN 4 ELSE 2 END AS width
      FROM piece p, LATERAL generate_series(1, p.n, 10000) AS k
    ), packed AS (
      INSERT INTO storage.%3$I (start, stop, day, device_id, metric, n, scale, untimed, step, t4, t8, v2, v4, v8, kinds, others,
                                untimed_at)
      SELECT storage.day_start(%1$L) + first * interval '1 microsecond', storage.day_start(%1$L) + last * interval '1 microsecond',
             %1$L, device_id, metric, n, CASE WHEN width IN (2, 4) THEN scale END, CASE WHEN all_untimed THEN true END,
             CASE WHEN even THEN (last - first) / greatest(n - 1, 1) END,
             CASE WHEN NOT even AND whole_ms THEN ARRAY(SELECT ((x - first) / 1000)::int4 FROM unnest(us) x) END,
             CASE WHEN NOT even AND NOT whole_ms THEN ARRAY(SELECT x - first FROM unnest(us) x) END,
             CASE WHEN width = 2 THEN ARRAY(SELECT round(x * scale)::int2 FROM unnest(value) x) END,
             CASE WHEN width = 4 THEN ARRAY(SELECT round(x * scale)::int4 FROM unnest(value) x) END,
             CASE WHEN width = 8 THEN value END, kind, other,
             CASE WHEN some_untimed AND NOT all_untimed THEN ARRAY(SELECT nullif(x, false) FROM unnest(untimed) x) END
      FROM slice
      RETURNING n
    ), numbers AS MATERIALIZED (
      SELECT device_id, metric, us, CASE WHEN kind IS NULL THEN value ELSE other::float8 END AS number
      FROM rows WHERE kind IS NULL OR kind = 1 ORDER BY 1, 2, 3
    ), whole AS MATERIALIZED (
      SELECT device_id, metric, count(*)::int4 AS n, sum(CASE WHEN abs(number) < 1e290 THEN number END) AS sum, min(number) AS min,
             max(number) AS max, (array_agg(number))[1] AS first, (array_agg(number))[count(*)] AS last, min(us) AS first_at,
             max(us) AS last_at
      FROM numbers GROUP BY device_id, metric HAVING count(*) >= 10 AND bool_and(abs(number) < 1e290)
    ), days AS (
      INSERT INTO storage.rollup_day (first_time, last_time, sum, min, max, first, last, n, metric, day, device_id)
      SELECT storage.day_start(%1$L) + first_at * interval '1 microsecond', storage.day_start(%1$L) + last_at * interval '1 microsecond',
             sum, min, max, first, last, n, metric, %1$L, device_id FROM whole
    ), fine AS (
      SELECT b.device_id, b.metric, g.grain, (b.us / (g.grain * 1000000::int8))::int4 AS bucket, count(*)::int4 AS n,
             sum(b.number) AS sum, min(b.number) AS min, max(b.number) AS max, (array_agg(b.number))[1] AS first,
             (array_agg(b.number))[count(*)] AS last, min(b.us) AS first_at, max(b.us) AS last_at
      FROM (SELECT n.*, w.n FROM numbers n JOIN whole w USING (device_id, metric) WHERE w.n >= 240
            ORDER BY n.device_id, n.metric, n.us) b
      JOIN (VALUES (3600, 240), (60, 14400)) g(grain, least) ON b.n >= g.least
      GROUP BY b.device_id, b.metric, g.grain, 4
    ), finer AS (
      INSERT INTO storage.rollup (metric, day, device_id, grain, bucket, n, sum, min, max, first, last, first_at, last_at)
      SELECT metric, %1$L, device_id, grain, array_agg(bucket), array_agg(n), array_agg(sum), array_agg(min), array_agg(max),
             array_agg(first), array_agg(last), array_agg(first_at), array_agg(last_at)
      FROM fine GROUP BY metric, device_id, grain
    )
    SELECT coalesce(sum(n), 0) FROM packed $q$, d, source, storage.day_table('segment', d))
  INTO points;
  RETURN points;
END $$;

-- Packs the next series of a closed day, about `most_rows` rows. False: that was the last.
CREATE FUNCTION storage.build_some(d date, most_rows int8) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  rows_table text := storage.day_table('sample', d);
  done       storage.day;
  until      record;
  filter     text := 'true';
  packed     int8;
BEGIN
  SELECT * INTO STRICT done FROM storage.day WHERE day = d AND state = 1 FOR UPDATE;
  IF done.device_id IS NOT NULL THEN
    filter := format('(device_id, metric) > (%s, %s)', done.device_id, done.metric);
  END IF;
  EXECUTE format('SELECT device_id, metric FROM storage.%I WHERE %s ORDER BY device_id, metric OFFSET %s LIMIT 1', rows_table,
                 filter, most_rows) INTO until;
  IF until.device_id IS NOT NULL THEN
    filter := format('%s AND (device_id, metric) <= (%s, %s)', filter, until.device_id, until.metric);
  END IF;
  packed := storage.pack(d, format('(SELECT * FROM storage.%I WHERE %s)', rows_table, filter));
  UPDATE storage.day SET device_id = coalesce(until.device_id, device_id), metric = coalesce(until.metric, metric),
         points = points + packed, built_by = pg_current_xact_id(), state = CASE WHEN until.device_id IS NULL THEN 2 ELSE 1 END
  WHERE day = d;
  RETURN until.device_id IS NOT NULL;
END $$;

-- Packs series that changed again, up to `most_series`, each whole: before the swap from the day's rows, after it from segment and
-- late rows, which go. Returns how many. Locks in the order of storage.reopen: segments, then rows.
CREATE FUNCTION storage.repack_changed(d date, most_series int4) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  rows_table text := storage.day_table('sample', d);
  packed     text := storage.day_table('segment', d);
  reached    int2;
  devices    int4[];
  metrics    int4[];
  series     text;
BEGIN
  SELECT state INTO STRICT reached FROM storage.day WHERE day = d AND state IN (2, 3) FOR UPDATE;
  SELECT array_agg(s.device_id), array_agg(s.metric) INTO devices, metrics
  FROM (SELECT DISTINCT device_id, metric FROM storage.changed WHERE day = d ORDER BY 1, 2 LIMIT most_series) s;
  IF devices IS NULL THEN RETURN 0; END IF;
  -- What is marked from the next statement on stays marked.
  DELETE FROM storage.changed c USING unnest(devices, metrics) k(device_id, metric)
  WHERE c.day = d AND c.device_id = k.device_id AND c.metric = k.metric;
  DELETE FROM storage.rollup_day r USING unnest(devices, metrics) k(device_id, metric)
  WHERE r.day = d AND r.device_id = k.device_id AND r.metric = k.metric;
  DELETE FROM storage.rollup r USING unnest(devices, metrics) k(device_id, metric)
  WHERE r.day = d AND r.device_id = k.device_id AND r.metric = k.metric;
  CREATE TEMP TABLE IF NOT EXISTS tier_rows (LIKE storage.sample) ON COMMIT DELETE ROWS;
  IF reached = 3 THEN
    PERFORM set_config('millrace.tiers', 'on', true);
    EXECUTE format('WITH old AS (DELETE FROM storage.%I g USING unnest($1, $2) k(device_id, metric)'
                   ' WHERE g.device_id = k.device_id AND g.metric = k.metric RETURNING g)'
                   ' INSERT INTO pg_temp.tier_rows SELECT e.time, (old.g).device_id, (old.g).metric, e.value, e.kind, e.other,'
                   ' e.untimed FROM old CROSS JOIN LATERAL storage.expand(old.g) e', packed) USING devices, metrics;
    EXECUTE format('WITH late AS (DELETE FROM storage.%I s USING unnest($1, $2) k(device_id, metric)'
                   ' WHERE s.device_id = k.device_id AND s.metric = k.metric RETURNING s.*)'
                   ' INSERT INTO pg_temp.tier_rows SELECT * FROM late', rows_table) USING devices, metrics;
    PERFORM set_config('millrace.tiers', 'off', true);
  ELSE
    EXECUTE format('DELETE FROM storage.%I g USING unnest($1, $2) k(device_id, metric)'
                   ' WHERE g.device_id = k.device_id AND g.metric = k.metric', packed) USING devices, metrics;
    EXECUTE format('INSERT INTO pg_temp.tier_rows SELECT s.* FROM unnest($1, $2) k(device_id, metric) JOIN storage.%I s'
                   ' USING (device_id, metric)', rows_table) USING devices, metrics;
  END IF;
  PERFORM storage.pack(d, 'pg_temp.tier_rows');
  EXECUTE format('UPDATE storage.day SET built_by = pg_current_xact_id(), points = (SELECT sum(n) FROM storage.%I) WHERE day = $1',
                 packed) USING d;
  RETURN cardinality(devices);
END $$;

-- Whether the segments hold as many points as the rows they shall replace, series that changed meanwhile aside.
CREATE FUNCTION storage.is_whole(d date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  rows   int8;
  packed int8;
BEGIN
  EXECUTE format('SELECT (SELECT count(*) FROM storage.%I s WHERE NOT EXISTS (SELECT 1 FROM storage.changed c'
                 ' WHERE c.day = $1 AND c.device_id = s.device_id AND c.metric = s.metric)),'
                 ' (SELECT coalesce(sum(n), 0) FROM storage.%I s WHERE NOT EXISTS (SELECT 1 FROM storage.changed c'
                 ' WHERE c.day = $1 AND c.device_id = s.device_id AND c.metric = s.metric))',
                 storage.day_table('sample', d), storage.day_table('segment', d)) INTO rows, packed USING d;
  RETURN rows = packed;
END $$;

-- Puts the segments in the place of the rows. Answers the us for which nobody could use the day's partition, or -1: not now, a
-- series changed or a statement is under way that began before the last series was packed (it would find neither: TRUNCATE is
-- outside the snapshots).
CREATE FUNCTION storage.swap_day(d date) RETURNS int8 LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
  rows_table text := storage.day_table('sample', d);
  packed     text := storage.day_table('segment', d);
  built      xid8;
  locked_at  timestamptz;
BEGIN
  SELECT built_by INTO STRICT built FROM storage.day WHERE day = d AND state = 2 FOR UPDATE;
  IF EXISTS (SELECT 1 FROM storage.changed WHERE day = d)
     OR EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
                AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND age(backend_xmin) >= age(built::xid)) THEN
    RETURN -1;
  END IF;
  EXECUTE format('LOCK TABLE storage.%I IN ACCESS EXCLUSIVE MODE', rows_table);
  locked_at := clock_timestamp();
  IF EXISTS (SELECT 1 FROM storage.changed WHERE day = d) THEN RETURN -1; END IF;
  EXECUTE format('TRUNCATE storage.%I', rows_table);
  EXECUTE format('ALTER TABLE storage.segment ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', packed, d, d + 1);
  UPDATE storage.day SET state = 3, compacted_at = now(), failure = NULL, device_id = NULL, metric = NULL,
         bytes_after = pg_total_relation_size(format('storage.%I', packed)::regclass)
  WHERE day = d;
  RETURN (date_part('epoch', clock_timestamp() - locked_at) * 1e6)::int8;
END $$;

-- Forgets what was packed of a day: it is packed again from its rows.
CREATE FUNCTION storage.restart_day(d date) RETURNS void LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
BEGIN
  UPDATE storage.day SET state = 1, device_id = NULL, metric = NULL, points = 0, built_by = NULL WHERE day = d AND state < 3;
  IF NOT FOUND THEN RETURN; END IF;
  EXECUTE format('TRUNCATE storage.%I', storage.day_table('segment', d));
  DELETE FROM storage.rollup_day WHERE day = d;
  DELETE FROM storage.rollup WHERE day = d;
  DELETE FROM storage.changed WHERE day = d;
END $$;

-- Makes the compacted series-days of these points rows again, so that a point can be replaced or moved; the maintenance packs them
-- again. For the writer, in its transaction. Returns how many series-days.
CREATE FUNCTION storage.reopen(devices int4[], metrics int4[], times timestamptz[]) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  one    date;
  made   int4;
  opened int4 := 0;
BEGIN
  FOR one IN SELECT d.day FROM storage.day d WHERE d.state = 3 AND d.day = ANY (SELECT (t AT TIME ZONE 'UTC')::date FROM unnest(times) t)
             ORDER BY 1 LOOP
    PERFORM set_config('millrace.tiers', 'on', true);
    EXECUTE format('WITH old AS (DELETE FROM storage.%I g USING (SELECT DISTINCT k.device_id, k.metric FROM unnest($1, $2, $3)'
                   ' k(device_id, metric, time) WHERE k.time >= storage.day_start($4) AND k.time < storage.day_start($4 + 1)) k'
                   ' WHERE g.device_id = k.device_id AND g.metric = k.metric RETURNING g),'
                   ' marked AS (INSERT INTO storage.changed SELECT DISTINCT $4, (old.g).device_id, (old.g).metric FROM old RETURNING 1),'
                   ' put AS (INSERT INTO storage.%I SELECT e.time, (old.g).device_id, (old.g).metric, e.value, e.kind, e.other,'
                   ' e.untimed FROM old CROSS JOIN LATERAL storage.expand(old.g) e)'
                   ' SELECT count(*) FROM marked', storage.day_table('segment', one), storage.day_table('sample', one))
    INTO made USING devices, metrics, times, one;
    PERFORM set_config('millrace.tiers', 'off', true);
    opened := opened + made;
  END LOOP;
  RETURN opened;
END $$;

-- Makes a compacted day hot again, as if it had never been closed: all its points are rows, its roll-ups are gone. Returns the
-- number of points that were packed. Readers see it in one moment; writers of that day wait meanwhile. The archiver does it in the
-- transaction that takes the day, so that nobody closes it in between; a day that is being compacted is refused (55P03).
CREATE FUNCTION storage.hot_again(d date) RETURNS int8 LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
  rows_table text := storage.day_table('sample', d);
  packed     text := storage.day_table('segment', d);
  reached    int2;
  points     int8;
BEGIN
  EXECUTE format('LOCK TABLE storage.%I IN SHARE ROW EXCLUSIVE MODE', rows_table);
  SELECT state INTO reached FROM storage.day WHERE day = d FOR UPDATE;
  IF NOT FOUND THEN RETURN 0; END IF;
  IF reached < 3 THEN
    RAISE EXCEPTION 'the day is being compacted' USING ERRCODE = 'lock_not_available';
  END IF;
  EXECUTE format('DROP TRIGGER changed ON storage.%I', rows_table);
  EXECUTE format('INSERT INTO storage.%I SELECT e.time, g.device_id, g.metric, e.value, e.kind, e.other, e.untimed'
                 ' FROM storage.%I g CROSS JOIN LATERAL storage.expand(g) e', rows_table, packed);
  GET DIAGNOSTICS points = ROW_COUNT;
  EXECUTE format('DELETE FROM storage.%I', packed);
  DELETE FROM storage.rollup_day WHERE day = d;
  DELETE FROM storage.rollup WHERE day = d;
  DELETE FROM storage.changed WHERE day = d;
  DELETE FROM storage.day WHERE day = d;
  RETURN points;
END $$;

-- Deletes everything of a day: rows, segments, roll-ups, windows. The disk has the space back at the end of the transaction. The
-- empty partition stays, so that a reading for that day finds it. Waits for running statements, at most 3 s, then fails.
CREATE FUNCTION storage.drop_day(d date) RETURNS void LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
BEGIN
  IF to_regclass(format('storage.%I', storage.day_table('sample', d))) IS NOT NULL THEN
    EXECUTE format('DROP TRIGGER IF EXISTS changed ON storage.%I', storage.day_table('sample', d));
    EXECUTE format('TRUNCATE storage.%I', storage.day_table('sample', d));
  END IF;
  EXECUTE format('DROP TABLE IF EXISTS storage.%I', storage.day_table('segment', d));
  IF to_regclass(format('storage.%I', storage.day_table('window_result', d))) IS NOT NULL THEN
    EXECUTE format('TRUNCATE storage.%I', storage.day_table('window_result', d));
  END IF;
  DELETE FROM storage.rollup_day WHERE day = d;
  DELETE FROM storage.rollup WHERE day = d;
  DELETE FROM storage.changed WHERE day = d;
  DELETE FROM storage.day WHERE day = d;
END $$;
)sql";

}  // namespace millrace::storage_schema
