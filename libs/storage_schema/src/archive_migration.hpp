#pragma once

#include <string_view>

namespace millrace::storage_schema {

inline constexpr std::string_view kArchiveMigration = R"sql(
-- Closed days go to Parquet files (docs/archive.md). A day's partition is exchanged for an empty one of the same name in the
-- transaction that writes the day's row here, so a reader who holds a lock on storage.sample sees each row once: in the
-- partition or through this table. Rows that come later go into the empty one and into the next generation of the file.

-- Part of every key, so that installations that share a bucket do not take each other's files for orphans.
CREATE TABLE storage.archive (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  id  text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 12)
);
INSERT INTO storage.archive DEFAULT VALUES;

CREATE TABLE storage.archive_file (
  day           date        NOT NULL,
  generation    int4        NOT NULL,  -- each holds all that the one before it held, and what came since
  key           text        NOT NULL,  -- in the store
  rows          int8        NOT NULL,
  min_time      timestamptz NOT NULL,
  max_time      timestamptz NOT NULL,
  bytes         int8        NOT NULL,
  sha256        text        NOT NULL,
  rows_hash     text        NOT NULL,
  detached      text,                  -- table that the file replaced; NULL: dropped, after the file was verified again
  archived_at   timestamptz NOT NULL DEFAULT now(),
  superseded_at timestamptz,           -- by the next generation; NULL: this one counts
  deleted_at    timestamptz,           -- from the store
  PRIMARY KEY (day, generation)
);
CREATE UNIQUE INDEX archive_file_current ON storage.archive_file (day) WHERE superseded_at IS NULL;

-- Rows of a day that changed while the day was being written to its file. Emptied by the exchange.
CREATE TABLE storage.archive_change (
  day       date        NOT NULL,
  device_id int4        NOT NULL,
  metric    int4        NOT NULL,
  time      timestamptz NOT NULL,
  gone      boolean     NOT NULL  -- the key is no more: the file has to be written again
);

CREATE FUNCTION storage.note_archive_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE'
                          AND (OLD.device_id, OLD.metric, OLD.time) <> (NEW.device_id, NEW.metric, NEW.time)) THEN
    INSERT INTO storage.archive_change VALUES (TG_ARGV[0]::date, OLD.device_id, OLD.metric, OLD.time, true);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO storage.archive_change VALUES (TG_ARGV[0]::date, NEW.device_id, NEW.metric, NEW.time, false);
  END IF;
  RETURN NULL;
END $$;

-- From here to the exchange every change of the day is noted. Waits for transactions that write to the day, and what
-- they wrote is visible to the statement after this transaction. Lock time-outs are the caller's.
CREATE FUNCTION storage.archive_begin(a_day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  part text := 'sample_' || to_char(a_day, 'YYYYMMDD');
BEGIN
  EXECUTE format('CREATE OR REPLACE TRIGGER archive_change AFTER INSERT OR UPDATE OR DELETE ON storage.%I'
                 ' FOR EACH ROW EXECUTE FUNCTION storage.note_archive_change(%L)', part, a_day);
  DELETE FROM storage.archive_change WHERE day = a_day;
END $$;

-- The exchange: the partition becomes a table of its own, an empty one with the rows that changed meanwhile takes its
-- place, and the file counts from now on. False, and nothing happens: a row is gone that the file holds; begin again.
CREATE FUNCTION storage.archive_exchange(a_day date, a_generation int4, a_key text, a_rows int8, a_min timestamptz,
                                         a_max timestamptz, a_bytes int8, a_sha256 text, a_rows_hash text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  part text := 'sample_' || to_char(a_day, 'YYYYMMDD');
  old  text := part || '_g' || a_generation;
BEGIN
  LOCK TABLE storage.sample IN ACCESS EXCLUSIVE MODE;
  IF EXISTS (SELECT 1 FROM storage.archive_change WHERE day = a_day AND gone) THEN
    RETURN false;
  END IF;
  EXECUTE format('ALTER TABLE storage.sample DETACH PARTITION storage.%I', part);
  EXECUTE format('DROP TRIGGER archive_change ON storage.%I', part);
  EXECUTE format('ALTER TABLE storage.%I RENAME TO %I', part, old);
  EXECUTE format('ALTER INDEX storage.%I RENAME TO %I', part || '_series', old || '_series');
  EXECUTE format('CREATE TABLE storage.%I (LIKE storage.sample INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
  EXECUTE format('INSERT INTO storage.%I SELECT s.* FROM storage.%I s JOIN (SELECT DISTINCT device_id, metric, time'
                 ' FROM storage.archive_change WHERE day = %L) c USING (device_id, metric, time)', part, old, a_day);
  EXECUTE format('CREATE INDEX %I ON storage.%I (device_id, metric, time)', part || '_series', part);
  EXECUTE format('ALTER TABLE storage.sample ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', part,
                 a_day::timestamp AT TIME ZONE 'UTC', (a_day + 1)::timestamp AT TIME ZONE 'UTC');
  DELETE FROM storage.archive_change WHERE day = a_day;
  UPDATE storage.archive_file SET superseded_at = now() WHERE day = a_day AND superseded_at IS NULL;
  INSERT INTO storage.archive_file (day, generation, key, rows, min_time, max_time, bytes, sha256, rows_hash, detached)
  VALUES (a_day, a_generation, a_key, a_rows, a_min, a_max, a_bytes, a_sha256, a_rows_hash, old);
  RETURN true;
END $$;

-- Drops the table that a file replaced. False: it was dropped already.
CREATE FUNCTION storage.archive_drop(a_day date, a_generation int4) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  old text;
BEGIN
  SELECT detached INTO old FROM storage.archive_file WHERE day = a_day AND generation = a_generation FOR UPDATE;
  IF old IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('DROP TABLE storage.%I', old);
  UPDATE storage.archive_file SET detached = NULL WHERE day = a_day AND generation = a_generation;
  RETURN true;
END $$;
)sql";

}  // namespace millrace::storage_schema
