#include "migration_texts.hpp"

namespace millrace::storage_schema {

// What goes of old days, and how. docs/storage.md tells it as a story. Whose points go is said by four arrays: tenants
// and the number of their rule, devices and the number of theirs (of their type), 0 for a rule that keeps the day. A
// device's comes before its tenant's; the tenant of a series is that of its metric, so those of devices that are no
// more have one, too.
const std::string_view kRetention = R"sql(
-- Days that were looked at. One whose rules and tables are as they were then needs no other look.
CREATE TABLE storage.retention_day (
  day   date PRIMARY KEY,
  rules text NOT NULL,
  seen  text NOT NULL
);

-- The devices that have a rule of their own, as the last pass saw them: while those up to last_key are the same, `epoch` stays.
CREATE TABLE storage.retention_devices (
  one      boolean PRIMARY KEY DEFAULT true CHECK (one),
  last_key int4 NOT NULL,
  digest   text NOT NULL,
  epoch    int8 NOT NULL
);

ALTER TABLE storage.day
  ADD COLUMN expired_bytes int8 NOT NULL DEFAULT 0,  -- of segments that are gone and still take space
  ADD COLUMN rebuilt_by    xid8;                     -- what copied the segments into a new table; NULL: nothing did

-- The table that holds `prefix` (sample, window_result, segment) of the day; NULL: none.
CREATE FUNCTION storage.retention_table(prefix text, d date) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN to_regclass('storage.' || storage.day_table(prefix, d)) IS NOT NULL THEN storage.day_table(prefix, d)
              WHEN prefix = 'segment' THEN NULL ELSE prefix || '_default' END
$$;
-- The rows of the day, as a FROM item; of segments only where they are the points. Through the parent, of which readers may read:
-- the planner finds the one table.
CREATE FUNCTION storage.retention_source(prefix text, d date) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE prefix
    WHEN 'segment' THEN (SELECT format('(SELECT ctid, * FROM storage.segment WHERE day = %L)', d) FROM storage.day
                         WHERE day = d AND state = 3)
    ELSE format('(SELECT ctid, * FROM storage.%1$I WHERE %2$I >= %3$L AND %2$I < %4$L)', prefix,
                CASE prefix WHEN 'sample' THEN 'time' ELSE 'start' END, storage.day_start(d), storage.day_start(d + 1)) END
$$;

-- Changes whenever points or windows of the day may have come: by the counters of its tables, and what packed it last.
CREATE FUNCTION storage.retention_seen(d date) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT concat_ws('/', date_part('epoch', pg_postmaster_start_time())::int8, s.t::int8,
                   pg_stat_get_tuples_inserted(s.t) + pg_stat_get_tuples_updated(s.t), w.t::int8,
                   pg_stat_get_tuples_inserted(w.t) + pg_stat_get_tuples_updated(w.t),
                   coalesce((SELECT state || '-' || coalesce(built_by::text, '') FROM storage.day WHERE day = d), '-'))
  FROM (SELECT ('storage.' || storage.retention_table('sample', d))::regclass::oid AS t) s,
       (SELECT ('storage.' || storage.retention_table('window_result', d))::regclass::oid AS t) w
$$;

-- Days before `before` that hold anything, oldest first: the rules under which each was looked at last, what was seen then, and
-- what is seen now.
CREATE FUNCTION storage.retention_days(before date) RETURNS TABLE (day date, rules text, seen text, sees text)
LANGUAGE sql STABLE AS $$
  SELECT p.day, r.rules, r.seen, storage.retention_seen(p.day)
  FROM (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('storage.sample'::regclass, 'storage.segment'::regclass, 'storage.window_result'::regclass)
          AND c.relname ~ '_[0-9]{8}$' AND pg_relation_size(c.oid) > 0
        UNION SELECT (time AT TIME ZONE 'UTC')::date FROM storage.sample_default WHERE time < storage.day_start(before)
        UNION SELECT (start AT TIME ZONE 'UTC')::date FROM storage.window_result_default WHERE start < storage.day_start(before)) p
  LEFT JOIN storage.retention_day r USING (day)
  WHERE p.day < before ORDER BY 1
$$;

-- Whether something in `source` goes, and whether something stays. Looks at one series of each device; after `most` devices it
-- answers that something stays.
CREATE FUNCTION storage.retention_holds(source text, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[],
                                        most int8, OUT goes boolean, OUT stays boolean)
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  EXECUTE format($q$
    WITH RECURSIVE d AS (
      (SELECT s.device_id, s.metric FROM %1$s s ORDER BY s.device_id, s.metric LIMIT 1)
      UNION ALL
      SELECT n.device_id, n.metric FROM d CROSS JOIN LATERAL
        (SELECT s.device_id, s.metric FROM %1$s s WHERE s.device_id > d.device_id ORDER BY s.device_id, s.metric LIMIT 1) n)
    SELECT coalesce(bool_or(coalesce(v.rule, t.rule, 0) > 0), false),
           coalesce(bool_or(coalesce(v.rule, t.rule, 0) = 0), false) OR count(*) > $5
    FROM (SELECT * FROM d LIMIT $5 + 1) s LEFT JOIN storage.metric m ON m.id = s.metric
    LEFT JOIN unnest($1, $2) t(tenant, rule) ON t.tenant = m.tenant
    LEFT JOIN unnest($3, $4) v(device_id, rule) ON v.device_id = s.device_id $q$, source)
  INTO goes, stays USING tenants, tenant_rules, devices, device_rules, most;
END $$;

-- The same for a day with all its tables.
CREATE FUNCTION storage.retention_look(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[],
                                       OUT goes boolean, OUT stays boolean)
LANGUAGE sql STABLE AS $$
  SELECT bool_or(h.goes), bool_or(h.stays)
  FROM unnest(ARRAY['sample', 'segment', 'window_result']) prefix, storage.retention_source(prefix, d) source,
       storage.retention_holds(source, tenants, tenant_rules, devices, device_rules, 1000000000) h
  WHERE source IS NOT NULL
$$;

-- The bytes of a segment without those of its table's administration.
CREATE FUNCTION storage.segment_bytes(g storage.segment) RETURNS int8 LANGUAGE sql STABLE AS $$
  SELECT (100 + coalesce(pg_column_size((g).t4), 0) + coalesce(pg_column_size((g).t8), 0) + coalesce(pg_column_size((g).v2), 0)
          + coalesce(pg_column_size((g).v4), 0) + coalesce(pg_column_size((g).v8), 0) + coalesce(pg_column_size((g).kinds), 0)
          + coalesce(pg_column_size((g).others), 0) + coalesce(pg_column_size((g).untimed_at), 0))::int8
$$;

-- What goes of a day by rule and tier (1 rows, 2 segments). For a dry run and for the record of what went: both ask here.
CREATE FUNCTION storage.retention_figures(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[])
RETURNS TABLE (rule int4, tier int2, series int8, points int8, bytes int8) LANGUAGE plpgsql STABLE AS $$
DECLARE
  rows_table text := storage.retention_table('sample', d);
  packed     text := storage.retention_source('segment', d);
  each_rule  text := $q$ LEFT JOIN storage.metric m ON m.id = s.metric LEFT JOIN unnest($1, $2) t(tenant, rule) ON t.tenant = m.tenant
                         LEFT JOIN unnest($3, $4) v(device_id, rule) ON v.device_id = s.device_id $q$;
BEGIN
  RETURN QUERY EXECUTE format($q$
    SELECT f.rule, 1::int2, f.series, f.points::int8, round(f.points * CASE WHEN $5 THEN 90 ELSE f.size / f.total END)::int8 FROM (
      SELECT coalesce(v.rule, t.rule, 0) AS rule, count(*) AS series, sum(s.n) AS points, sum(sum(s.n)) OVER () AS total,
             (pg_relation_size('storage.%2$I') + pg_indexes_size('storage.%2$I'))::numeric AS size
      FROM (SELECT r.device_id, r.metric, count(*) AS n FROM %1$s r GROUP BY 1, 2) s %3$s GROUP BY 1) f
    WHERE f.rule > 0 ORDER BY 1 $q$, storage.retention_source('sample', d), rows_table, each_rule)
  USING tenants, tenant_rules, devices, device_rules, rows_table = 'sample_default';
  IF packed IS NULL THEN RETURN; END IF;
  RETURN QUERY EXECUTE format($q$
    SELECT coalesce(v.rule, t.rule, 0), 2::int2, count(*), sum(s.n)::int8, sum(s.bytes)::int8
    FROM (SELECT g.device_id, g.metric, sum(g.n) AS n, sum(storage.segment_bytes(g)) AS bytes FROM storage.segment g WHERE g.day = %1$L GROUP BY 1, 2) s %2$s
    WHERE coalesce(v.rule, t.rule, 0) > 0 GROUP BY 1 ORDER BY 1 $q$, d, each_rule)
  USING tenants, tenant_rules, devices, device_rules;
END $$;

-- Whether the archiver has the day in hand.
CREATE FUNCTION storage.in_archiving(d date) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'archive_change'
                 AND tgrelid = to_regclass('storage.' || storage.day_table('sample', d)))
$$;

-- Deletes up to `most` segments (with their roll-ups), rows or windows that go of a day; says how many of what. None of anything:
-- that was all. `what` is NULL: not now, the day is being compacted or archived.
CREATE FUNCTION storage.retention_delete(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[], most int8,
                                         OUT what text, OUT gone int8)
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
  reached   int2;
  packed    text := storage.day_table('segment', d);
  going     text := $q$ SELECT s.ctid FROM %s s LEFT JOIN storage.metric m ON m.id = s.metric
                        LEFT JOIN unnest($1, $2) t(tenant, rule) ON t.tenant = m.tenant
                        LEFT JOIN unnest($3, $4) v(device_id, rule) ON v.device_id = s.device_id
                        WHERE coalesce(v.rule, t.rule, 0) > 0 LIMIT $5 $q$;
  of_points int8;
  of_bytes  int8;
BEGIN
  SELECT state INTO reached FROM storage.day WHERE day = d FOR UPDATE;
  -- From here on the archiver cannot begin.
  EXECUTE format('LOCK TABLE storage.%I IN ROW EXCLUSIVE MODE', storage.retention_table('sample', d));
  IF reached IN (1, 2) OR storage.in_archiving(d) THEN RETURN; END IF;
  IF reached = 3 THEN
    EXECUTE format('WITH old AS (DELETE FROM storage.%I g WHERE ctid = ANY (ARRAY(%s)) RETURNING g),'
                   ' series AS (SELECT DISTINCT (g).device_id, (g).metric FROM old),'
                   ' days AS (DELETE FROM storage.rollup_day r USING series k WHERE r.day = $6 AND r.device_id = k.device_id'
                   '   AND r.metric = k.metric),'
                   ' fine AS (DELETE FROM storage.rollup r USING series k WHERE r.day = $6 AND r.device_id = k.device_id'
                   '   AND r.metric = k.metric)'
                   ' SELECT count(*), sum((g).n), sum(storage.segment_bytes(g)) FROM old',
                   packed, format(going, storage.retention_source('segment', d)))
    INTO gone, of_points, of_bytes USING tenants, tenant_rules, devices, device_rules, most, d;
    IF gone > 0 THEN
      UPDATE storage.day SET points = points - of_points, expired_bytes = expired_bytes + of_bytes WHERE day = d;
      what := packed;
      RETURN;
    END IF;
  END IF;
  FOREACH what IN ARRAY ARRAY['sample', 'window_result'] LOOP
    PERFORM set_config('millrace.tiers', 'on', true);
    EXECUTE format('DELETE FROM storage.%I WHERE ctid = ANY (ARRAY(%s))', storage.retention_table(what, d),
                   format(going, storage.retention_source(what, d))) USING tenants, tenant_rules, devices, device_rules, most;
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM set_config('millrace.tiers', 'off', true);
    what := storage.retention_table(what, d);
    EXIT WHEN gone > 0;
  END LOOP;
END $$;

-- Empties a day of which nothing stays; the disk has the space at the end of the transaction. 1: done. 0: something stays, or there
-- are too many devices to make sure within a moment. -1: not now, the day is being archived. Who writes to the day waits meanwhile,
-- who reads it only for the last step.
CREATE FUNCTION storage.retention_drop(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[])
RETURNS int4 LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
  rows_table text := storage.day_table('sample', d);
  packed     text := storage.day_table('segment', d);
  windows    text := storage.day_table('window_result', d);
  part       text;
  prefix     text;
  parts      text[] := '{}';
BEGIN
  IF to_regclass('storage.' || rows_table) IS NULL THEN RETURN 0; END IF;
  -- The order of storage.reopen: segments, then rows.
  FOREACH part IN ARRAY ARRAY[packed, rows_table, windows] LOOP
    CONTINUE WHEN to_regclass('storage.' || part) IS NULL;
    EXECUTE format('LOCK TABLE storage.%I IN SHARE ROW EXCLUSIVE MODE', part);
    parts := parts || part;
  END LOOP;
  IF storage.in_archiving(d) THEN RETURN -1; END IF;
  FOREACH prefix IN ARRAY ARRAY['segment', 'sample', 'window_result'] LOOP
    CONTINUE WHEN storage.day_table(prefix, d) <> ALL (parts) OR storage.retention_source(prefix, d) IS NULL;
    IF (SELECT stays FROM storage.retention_holds(storage.retention_source(prefix, d), tenants, tenant_rules, devices, device_rules,
                                                  CASE prefix WHEN 'segment' THEN 1000000000 ELSE 100000 END)) THEN
      RETURN 0;
    END IF;
  END LOOP;
  -- And that of who reads: rows, then segments.
  EXECUTE format('DROP TRIGGER IF EXISTS changed ON storage.%I', rows_table);
  EXECUTE format('TRUNCATE storage.%I', rows_table);
  IF packed = ANY (parts) THEN EXECUTE format('DROP TABLE storage.%I', packed); END IF;
  IF windows = ANY (parts) THEN EXECUTE format('TRUNCATE storage.%I', windows); END IF;
  DELETE FROM storage.rollup_day WHERE day = d;
  DELETE FROM storage.rollup WHERE day = d;
  DELETE FROM storage.changed WHERE day = d;
  DELETE FROM storage.day WHERE day = d;
  RETURN 1;
END $$;

-- Copies the segments of a compacted day into a table that nobody reads yet: without the space of those that are gone. False: not
-- now, series of the day have changed.
CREATE FUNCTION storage.rebuild_day(d date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
  packed text := storage.day_table('segment', d);
BEGIN
  PERFORM 1 FROM storage.day WHERE day = d AND state = 3 FOR UPDATE;
  IF NOT FOUND OR EXISTS (SELECT 1 FROM storage.changed WHERE day = d) THEN RETURN false; END IF;
  EXECUTE format('DROP TABLE IF EXISTS storage.%I', packed || '_new');
  EXECUTE format('CREATE TABLE storage.%I (LIKE storage.segment INCLUDING ALL, CONSTRAINT of_day CHECK (day >= %L AND day < %L))',
                 packed || '_new', d, d + 1);
  EXECUTE format('INSERT INTO storage.%I SELECT * FROM storage.%I ORDER BY device_id, metric, start', packed || '_new', packed);
  UPDATE storage.day SET rebuilt_by = pg_current_xact_id() WHERE day = d;
  RETURN true;
END $$;

-- Puts the copy in the place of the segments. Answers the us for which nobody could read segments; -1: not now, a statement is under
-- way that began before the copy was made; -2: the day has changed since, the copy is thrown away.
CREATE FUNCTION storage.swap_rebuilt(d date) RETURNS int8 LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
  packed    text := storage.day_table('segment', d);
  of_day    storage.day;
  locked_at timestamptz;
BEGIN
  SELECT * INTO of_day FROM storage.day WHERE day = d AND state = 3 AND rebuilt_by IS NOT NULL FOR UPDATE;
  IF NOT FOUND THEN RETURN -2; END IF;
  IF of_day.built_by >= of_day.rebuilt_by OR EXISTS (SELECT 1 FROM storage.changed WHERE day = d) THEN
    EXECUTE format('DROP TABLE IF EXISTS storage.%I', packed || '_new');
    UPDATE storage.day SET rebuilt_by = NULL WHERE day = d;
    RETURN -2;
  END IF;
  IF EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
             AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND age(backend_xmin) >= age(of_day.rebuilt_by::xid)) THEN
    RETURN -1;
  END IF;
  LOCK TABLE ONLY storage.segment IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('LOCK TABLE storage.%I IN ACCESS EXCLUSIVE MODE', packed);
  locked_at := clock_timestamp();
  IF EXISTS (SELECT 1 FROM storage.changed WHERE day = d) THEN RETURN -1; END IF;
  EXECUTE format('DROP TABLE storage.%I', packed);
  EXECUTE format('ALTER TABLE storage.%I RENAME TO %I', packed || '_new', packed);
  EXECUTE format('ALTER TABLE storage.segment ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', packed, d, d + 1);
  UPDATE storage.day SET rebuilt_by = NULL, expired_bytes = 0,
         bytes_after = pg_total_relation_size(format('storage.%I', packed)::regclass)
  WHERE day = d;
  RETURN (date_part('epoch', clock_timestamp() - locked_at) * 1e6)::int8;
END $$;

-- Copies of days that were made hot or dropped meanwhile.
CREATE FUNCTION storage.drop_stale_copies() RETURNS int4 LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
  stale   text;
  dropped int4 := 0;
BEGIN
  FOR stale IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'storage'::regnamespace AND c.relname ~ '^segment_[0-9]{8}_new$'
               AND NOT EXISTS (SELECT 1 FROM storage.day d WHERE d.rebuilt_by IS NOT NULL
                               AND storage.day_table('segment', d.day) || '_new' = c.relname) LOOP
    EXECUTE format('DROP TABLE storage.%I', stale);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
)sql";

}  // namespace millrace::storage_schema
