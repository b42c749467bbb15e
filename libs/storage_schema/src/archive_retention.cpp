#include "migration_texts.hpp"

namespace millrace::storage_schema {

// Retention of archived days: storage-writer, which knows the rules, says which series of a file are over; the archiver
// writes the file without them, or deletes it.
const std::string_view kArchiveRetention = R"sql(
-- How many points of which series a file holds, in the order of its rows. Written with the file.
CREATE TABLE storage.archive_content (
  day        date   NOT NULL,
  generation int4   NOT NULL,
  devices    int4[] NOT NULL,
  metrics    int4[] NOT NULL,
  points     int4[] NOT NULL,
  PRIMARY KEY (day, generation),
  FOREIGN KEY (day, generation) REFERENCES storage.archive_file ON DELETE CASCADE
);

-- Series that the file that counts holds, and the next one shall not.
CREATE TABLE storage.archive_expired (
  day     date    PRIMARY KEY,
  devices int4[]  NOT NULL,
  metrics int4[]  NOT NULL,
  whole   boolean NOT NULL  -- nothing else is in the file: there is no next one
);

CREATE OR REPLACE FUNCTION storage.retention_seen(d date) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT concat_ws('/', date_part('epoch', pg_postmaster_start_time())::int8, s.t::int8,
                   pg_stat_get_tuples_inserted(s.t) + pg_stat_get_tuples_updated(s.t), w.t::int8,
                   pg_stat_get_tuples_inserted(w.t) + pg_stat_get_tuples_updated(w.t),
                   coalesce((SELECT state || '-' || coalesce(built_by::text, '') FROM storage.day WHERE day = d), '-'),
                   coalesce((SELECT max(generation) FROM storage.archive_content WHERE day = d), 0))
  FROM (SELECT ('storage.' || storage.retention_table('sample', d))::regclass::oid AS t) s,
       (SELECT ('storage.' || storage.retention_table('window_result', d))::regclass::oid AS t) w
$$;

CREATE OR REPLACE FUNCTION storage.retention_days(before date) RETURNS TABLE (day date, rules text, seen text, sees text)
LANGUAGE sql STABLE AS $$
  SELECT p.day, r.rules, r.seen, storage.retention_seen(p.day)
  FROM (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('storage.sample'::regclass, 'storage.segment'::regclass, 'storage.window_result'::regclass)
          AND c.relname ~ '_[0-9]{8}$' AND pg_relation_size(c.oid) > 0
        UNION SELECT f.day FROM storage.archive_file f WHERE f.superseded_at IS NULL
        UNION SELECT (time AT TIME ZONE 'UTC')::date FROM storage.sample_default WHERE time < storage.day_start(before)
        UNION SELECT (start AT TIME ZONE 'UTC')::date FROM storage.window_result_default WHERE start < storage.day_start(before)) p
  LEFT JOIN storage.retention_day r USING (day)
  WHERE p.day < before ORDER BY 1
$$;

-- Series of the day's file by the rule under which they go; 0: they stay. Arrays as in storage.retention_figures.
CREATE FUNCTION storage.archived_series(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[])
RETURNS TABLE (rule int4, device_id int4, metric int4, points int4) LANGUAGE sql STABLE AS $$
  SELECT coalesce(v.rule, t.rule, 0), s.device_id, s.metric, s.points
  FROM storage.archive_file f JOIN storage.archive_content c ON c.day = f.day AND c.generation = f.generation
  CROSS JOIN LATERAL unnest(c.devices, c.metrics, c.points) s(device_id, metric, points)
  LEFT JOIN storage.metric m ON m.id = s.metric
  LEFT JOIN unnest($2, $3) t(tenant, rule) ON t.tenant = m.tenant
  LEFT JOIN unnest($4, $5) v(device_id, rule) ON v.device_id = s.device_id
  WHERE f.day = $1 AND f.superseded_at IS NULL
$$;

-- What goes of the day's file, by rule. Also what waits for the archiver.
CREATE FUNCTION storage.archived_figures(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[])
RETURNS TABLE (rule int4, series int8, points int8, bytes int8) LANGUAGE sql STABLE AS $$
  SELECT s.rule, count(*), sum(s.points)::int8,
         round(sum(s.points) * (SELECT f.bytes / greatest(f.rows, 1)::numeric FROM storage.archive_file f
                                WHERE f.day = $1 AND f.superseded_at IS NULL))::int8
  FROM storage.archived_series($1, $2, $3, $4, $5) s WHERE s.rule > 0 GROUP BY s.rule ORDER BY s.rule
$$;

-- Tells the archiver what goes of the day's file. Answers as storage.archived_figures, and nothing where that was told before.
CREATE FUNCTION storage.expire_archived(d date, tenants text[], tenant_rules int4[], devices int4[], device_rules int4[])
RETURNS TABLE (rule int4, series int8, points int8, bytes int8) LANGUAGE plpgsql AS $$
DECLARE
  going  storage.archive_expired;
  before storage.archive_expired;
BEGIN
  SELECT d, coalesce(array_agg(s.device_id ORDER BY s.device_id, s.metric) FILTER (WHERE s.rule > 0), '{}'),
         coalesce(array_agg(s.metric ORDER BY s.device_id, s.metric) FILTER (WHERE s.rule > 0), '{}'),
         coalesce(bool_and(s.rule > 0), false)
  INTO going FROM storage.archived_series(d, tenants, tenant_rules, devices, device_rules) s;
  SELECT * INTO before FROM storage.archive_expired e WHERE e.day = d FOR UPDATE;
  IF going.devices = '{}' THEN
    DELETE FROM storage.archive_expired e WHERE e.day = d;
    RETURN;
  END IF;
  IF before.devices = going.devices AND before.metrics = going.metrics THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM storage.archived_figures(d, tenants, tenant_rules, devices, device_rules);
  INSERT INTO storage.archive_expired VALUES (going.*)
  ON CONFLICT (day) DO UPDATE SET devices = excluded.devices, metrics = excluded.metrics, whole = excluded.whole;
END $$;

-- Takes the file of a day out of the reads: all of it is over. The store's object follows as that of a replaced file. False: not all
-- of it, or the table that it replaced is still there.
CREATE FUNCTION storage.archive_retire(a_day date) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM storage.archive_expired WHERE day = a_day AND whole;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE storage.archive_file SET superseded_at = now() WHERE day = a_day AND superseded_at IS NULL AND detached IS NULL;
  IF NOT FOUND THEN RAISE EXCEPTION 'the file of % is not verified yet', a_day USING ERRCODE = 'lock_not_available'; END IF;
  RETURN true;
END $$;
)sql";

}  // namespace millrace::storage_schema
