#include <array>

#include <millrace/storage_schema/schema.hpp>

#include "archive_migration.hpp"
#include "migration_texts.hpp"

namespace millrace::storage_schema {
namespace {

constexpr std::string_view kFirst = R"sql(
-- One row per (device, metric, time). The nullable columns cost nothing where they are NULL: the null bitmap of seven columns fits
-- into the padding of the row header.
CREATE TABLE storage.sample (
  time      timestamptz NOT NULL,
  device_id int4        NOT NULL,  -- the registry's integer key
  metric    int4        NOT NULL,  -- storage.metric.id
  value     float8,                -- doubles and integers up to 2^53
  kind      int2,                  -- NULL: value; 1 larger integer, 2 boolean, 3 text, 4 JSON, all in `other`
  other     text,
  untimed   boolean                -- true: the platform stamped the time; NULL: the device gave it
) PARTITION BY RANGE (time);
-- Ascending: 10 % smaller than with time DESC, and read backwards just as well.
CREATE INDEX sample_series ON storage.sample (device_id, metric, time);
-- Strays only: a day gets its partition before its first row. Each attach scans this one, so it must stay near empty.
CREATE TABLE storage.sample_default PARTITION OF storage.sample DEFAULT;

-- Partitions for the days, if they are missing; returns how many it made. Attaching locks the parent less than CREATE … PARTITION OF,
-- which would stop the writers.
CREATE FUNCTION storage.ensure_days(days date[]) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  day  date;
  part text;
  made int4 := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7813571436801);
  FOREACH day IN ARRAY days LOOP
    part := 'sample_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('storage.' || part) IS NOT NULL;
    EXECUTE format('CREATE TABLE storage.%I (LIKE storage.sample INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('CREATE INDEX %I ON storage.%I (device_id, metric, time)', part || '_series', part);
    EXECUTE format('ALTER TABLE storage.sample ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', part,
                   day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

-- Names of the metrics of a tenant. Committed in a transaction of its own before a row uses the id.
CREATE TABLE storage.metric (
  id     int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text NOT NULL,
  name   text NOT NULL,
  type   int2 NOT NULL,  -- of the first value: 1 double, 2 integer, 3 boolean, 4 text, 5 JSON
  UNIQUE (tenant, name)
);

-- How far the log is stored: moved by compare-and-set in the transaction that stores the rows.
CREATE TABLE storage.ingest_offset (
  topic         text NOT NULL,
  part          int4 NOT NULL,
  generation    int4 NOT NULL DEFAULT 0,  -- grows with every break of the log
  next_offset   int8 NOT NULL,
  latest_offset int8 NOT NULL,            -- `latest` holds everything below
  cluster_id    text NOT NULL,
  last_start    bytea,                    -- ingest id and checksum of the record before next_offset; NULL: none yet
  last_counter  int8,
  last_crc      int8,
  log_time_us   int8 NOT NULL DEFAULT 0,  -- running maximum of append times below next_offset
  updated_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (topic, part)
) WITH (fillfactor = 50);

-- Newest value of each series, about a second behind `sample`.
CREATE TABLE storage.latest (
  device_id int4 NOT NULL,
  metric    int4 NOT NULL,
  time      timestamptz,           -- greatest event time not more than 5 minutes ahead of the log; NULL: none
  value     float8,
  kind      int2,
  other     text,
  max_time  timestamptz NOT NULL,  -- greatest stored time, future-dated and untimed rows included
  PRIMARY KEY (device_id, metric)
) WITH (fillfactor = 50);

-- Points that are not stored, decided in the transaction that skips them. The bytes are in telemetry.dead.
CREATE TABLE storage.dead_letter (
  part        int4   NOT NULL,
  generation  int4   NOT NULL,
  log_offset  int8   NOT NULL,
  points      int4[] NOT NULL,  -- indexes within the record; empty: the whole record
  reason      text   NOT NULL,
  tenant      text   NOT NULL,
  device      text   NOT NULL,
  dead_part   int4   NOT NULL,  -- where telemetry.dead has the record
  dead_offset int8   NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (part, generation, log_offset)
);
CREATE INDEX dead_letter_tenant ON storage.dead_letter (tenant, created_at);

-- Records that repeat a message already in the log; they answer as their original.
CREATE TABLE storage.dropped_copy (
  part            int4 NOT NULL,
  generation      int4 NOT NULL,
  log_offset      int8 NOT NULL,
  original_offset int8 NOT NULL,
  rule            int2 NOT NULL,  -- 0 ingest id, 1 explicit id, 2 MQTT DUP, 3 CoAP
  PRIMARY KEY (part, generation, log_offset)
);

-- Stretches of the log that are lost, written by an operator's decision only.
CREATE TABLE storage.log_break (
  part        int4 NOT NULL,
  generation  int4 NOT NULL,  -- that ended with this break
  from_offset int8 NOT NULL,
  to_offset   int8 NOT NULL,
  reason      text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (part, generation, from_offset)
);
)sql";

constexpr std::string_view kBreaks = R"sql(
-- Where the generation after the break begins. lost: [from_offset, to_offset); a to_offset of 2^63-1 says that the log was
-- cut or replaced: from resume_offset on it holds other records than before.
ALTER TABLE storage.log_break ADD COLUMN resume_offset int8 NOT NULL;
)sql";

constexpr std::string_view kDerived = R"sql(
-- The type of a metric of which only windows came so far is 0: the first reading gives it.

-- What stream-processing made of the readings. By day, as storage.sample: a day of a national grid is 100 million rows of half-hour
-- windows, and goes as one table. About 110 bytes a row and 45 of index.
CREATE TABLE storage.window_result (
  device_id   int4        NOT NULL,  -- the registry's integer key
  metric      int4        NOT NULL,  -- storage.metric.id
  start       timestamptz NOT NULL,
  size_us     int8        NOT NULL,
  count       int8        NOT NULL,
  min         float8      NOT NULL,
  max         float8      NOT NULL,
  mean        float8      NOT NULL,
  last        float8      NOT NULL,
  last_time   timestamptz NOT NULL,
  revision    int4        NOT NULL,  -- the greatest holds
  final       boolean     NOT NULL,
  approximate boolean     NOT NULL,
  PRIMARY KEY (device_id, metric, start, size_us, revision)
) PARTITION BY RANGE (start);
CREATE TABLE storage.window_result_default PARTITION OF storage.window_result DEFAULT;

-- As storage.ensure_days.
CREATE FUNCTION storage.ensure_window_days(days date[]) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  day  date;
  part text;
  made int4 := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7813571436802);
  FOREACH day IN ARRAY days LOOP
    part := 'window_result_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('storage.' || part) IS NOT NULL;
    EXECUTE format('CREATE TABLE storage.%I (LIKE storage.window_result INCLUDING DEFAULTS INCLUDING CONSTRAINTS,'
                   ' PRIMARY KEY (device_id, metric, start, size_us, revision))', part);
    EXECUTE format('ALTER TABLE storage.window_result ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', part,
                   day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

-- Every event of every alert. Not partitioned: an alert is rare beside the readings, and its raise may be of any day.
CREATE TABLE storage.alert (
  alert_key    text COLLATE "C" NOT NULL,  -- <tenant>/<rule>/<device>/<metric>
  event_number int8             NOT NULL,
  alert_id     text COLLATE "C" NOT NULL,  -- of the episode: the same for its raise and its clear
  tenant       text COLLATE "C" NOT NULL,
  rule         text COLLATE "C" NOT NULL,
  device       text COLLATE "C" NOT NULL,
  metric       text             NOT NULL,
  state        int2             NOT NULL,  -- 1 raised, 2 cleared
  severity     int2             NOT NULL,  -- 1 info, 2 warning, 3 critical
  raised_at    timestamptz      NOT NULL,
  cleared_at   timestamptz,
  description  text             NOT NULL,
  event        bytea            NOT NULL,  -- alerts.v1.Alert as it came: ListAlerts gives it back unchanged
  superseded   boolean          NOT NULL DEFAULT false,  -- a later event of the episode is here
  PRIMARY KEY (alert_key, event_number)
);
CREATE INDEX alert_episode ON storage.alert (alert_id, event_number);
-- One entry for each episode, the last raised first, read backwards; the open ones are few among many.
CREATE INDEX alert_raised ON storage.alert (tenant, raised_at, alert_id) WHERE NOT superseded;
CREATE INDEX alert_device ON storage.alert (tenant, device, raised_at, alert_id) WHERE NOT superseded;
CREATE INDEX alert_open ON storage.alert (tenant, raised_at, alert_id) WHERE NOT superseded AND state = 1;
)sql";

constexpr std::string_view kReplays = R"sql(
-- The record of the same partition that carried the dead points again; set in the transaction that stores them, once.
ALTER TABLE storage.dead_letter
  ADD COLUMN replayed_generation int4,
  ADD COLUMN replayed_offset     int8,
  ADD COLUMN replayed_at         timestamptz;
)sql";

constexpr std::string_view kStrays = R"sql(
-- A day that has rows in the default partition stays there: a partition for it could not be attached, and the writer would
-- wait for ever.
CREATE OR REPLACE FUNCTION storage.ensure_days(days date[]) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  day  date;
  part text;
  made int4 := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7813571436801);
  FOREACH day IN ARRAY days LOOP
    part := 'sample_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('storage.' || part) IS NOT NULL;
    CONTINUE WHEN EXISTS (SELECT 1 FROM storage.sample_default
                          WHERE time >= day::timestamp AT TIME ZONE 'UTC'
                            AND time < (day + 1)::timestamp AT TIME ZONE 'UTC');
    EXECUTE format('CREATE TABLE storage.%I (LIKE storage.sample INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('CREATE INDEX %I ON storage.%I (device_id, metric, time)', part || '_series', part);
    EXECUTE format('ALTER TABLE storage.sample ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', part,
                   day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

CREATE OR REPLACE FUNCTION storage.ensure_window_days(days date[]) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  day  date;
  part text;
  made int4 := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7813571436802);
  FOREACH day IN ARRAY days LOOP
    part := 'window_result_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('storage.' || part) IS NOT NULL;
    CONTINUE WHEN EXISTS (SELECT 1 FROM storage.window_result_default
                          WHERE start >= day::timestamp AT TIME ZONE 'UTC'
                            AND start < (day + 1)::timestamp AT TIME ZONE 'UTC');
    EXECUTE format('CREATE TABLE storage.%I (LIKE storage.window_result INCLUDING DEFAULTS INCLUDING CONSTRAINTS,'
                   ' PRIMARY KEY (device_id, metric, start, size_us, revision))', part);
    EXECUTE format('ALTER TABLE storage.window_result ATTACH PARTITION storage.%I FOR VALUES FROM (%L) TO (%L)', part,
                   day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;
)sql";

constexpr std::string_view kLedger = R"sql(
-- What became of the log, by partition and hour of log time; raised in the transaction that moves the offset.
CREATE TABLE storage.ledger_hour (
  part          int4        NOT NULL,
  generation    int4        NOT NULL,
  hour          timestamptz NOT NULL,
  first_offset  int8        NOT NULL,
  next_offset   int8        NOT NULL,  -- behind the last record of the hour so far
  records       int8        NOT NULL,
  copies        int8        NOT NULL,  -- records dropped as copies
  dead_records  int8        NOT NULL,  -- records of which nothing could be stored
  points        int8        NOT NULL,  -- of the other records
  inserted      int8        NOT NULL,  -- points that became rows
  replaced      int8        NOT NULL,  -- points that gave a row another value
  dead_points   int8        NOT NULL,  -- the rest of `points` repeats what is stored, or was overtaken within its batch
  PRIMARY KEY (hour, part, generation)
) WITH (fillfactor = 50);

-- What gateways acknowledged, from the topic `ledger`.
CREATE TABLE storage.ledger_acknowledged (
  hour           timestamptz NOT NULL,
  part           int4        NOT NULL,
  generation     int4        NOT NULL,
  start          bytea       NOT NULL,  -- of the gateway process
  records        int8        NOT NULL,
  highest_offset int8        NOT NULL,
  PRIMARY KEY (hour, part, generation, start)
) WITH (fillfactor = 50);
)sql";

constexpr std::string_view kCorrections = R"sql(
-- Payloads that were refused before they were records, and whose correction an operator put into the log.
CREATE TABLE storage.corrected_letter (
  dead_part    int4 NOT NULL,  -- where telemetry.dead has the payload
  dead_offset  int8 NOT NULL,
  part         int4 NOT NULL,  -- of the correction, in telemetry
  generation   int4 NOT NULL,
  log_offset   int8 NOT NULL,
  corrected_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (dead_part, dead_offset)
);
)sql";

constexpr std::string_view kRefused = R"sql(
-- Refused payloads that gateways kept in telemetry.dead, from the topic `ledger`. Their log has no generations: 0.
CREATE TABLE storage.ledger_refused (LIKE storage.ledger_acknowledged INCLUDING ALL);
ALTER TABLE storage.ledger_refused SET (fillfactor = 50);
)sql";

constexpr std::string_view kCopyStates = R"sql(
-- What the writer remembers to tell copies apart, of each partition as of an offset: the state after all records below it.
CREATE TABLE storage.copy_state (
  topic      text        NOT NULL,
  part       int4        NOT NULL,
  generation int4        NOT NULL,
  log_offset int8        NOT NULL,
  saved_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (topic, part)
);
-- The bytes of the state, in order.
CREATE TABLE storage.copy_state_piece (
  topic text  NOT NULL,
  part  int4  NOT NULL,
  piece int4  NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (topic, part, piece),
  FOREIGN KEY (topic, part) REFERENCES storage.copy_state ON DELETE CASCADE
);
-- Hashes do not compress.
ALTER TABLE storage.copy_state_piece ALTER COLUMN bytes SET STORAGE EXTERNAL;
)sql";

constexpr std::string_view kReader = "millrace_reader";
constexpr std::string_view kReplay = "millrace_replay";

Status grant_replay_reads(postgres::Connection& connection, std::string_view role) {
  const std::string name = postgres::quote_identifier(role);
  return connection.script(
      "GRANT USAGE ON SCHEMA storage TO " + name +
      "; GRANT SELECT ON storage.dead_letter, storage.corrected_letter, storage.ingest_offset TO " + name);
}

}  // namespace

std::span<const postgres::Migration> migrations() {
  static const std::array kMigrations{
      postgres::Migration{1, "samples, metrics, offsets, latest, dead letters", kFirst},
      postgres::Migration{2, "where a generation of the log begins", kBreaks},
      postgres::Migration{3, "windows and alerts", kDerived},
      postgres::Migration{4, "which dead letters were replayed", kReplays},
      postgres::Migration{5, "days that stay in the default partition", kStrays},
      postgres::Migration{6, "archive of closed days", kArchiveMigration},
      postgres::Migration{7, "the tiers of a day: segments and roll-ups", kTierTables},
      postgres::Migration{8, "compaction of closed days", kCompaction},
      postgres::Migration{9, "reading over the tiers; the database's mode", kTierReads},
      postgres::Migration{10, "the ledger", kLedger},
      postgres::Migration{11, "corrections of refused payloads", kCorrections},
      postgres::Migration{12, "refused payloads in the ledger", kRefused},
      postgres::Migration{13, "the state of the copy rules", kCopyStates},
      postgres::Migration{14, "retention: what goes of old days", kRetention},
      postgres::Migration{15, "retention of archived days", kArchiveRetention},
  };
  return kMigrations;
}

Status grant_reads(postgres::Connection& connection, std::string_view role) {
  const std::string name = postgres::quote_identifier(role);
  return connection.script("GRANT USAGE ON SCHEMA storage TO " + name +
                           "; GRANT SELECT ON ALL TABLES IN SCHEMA storage TO " + name +
                           "; ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT SELECT ON TABLES TO " + name);
}

Status grant_reads_to_default_roles(postgres::Connection& connection) {
  for (const std::string_view role : {kReader, kReplay}) {
    auto found = connection.exec("SELECT 1 FROM pg_roles WHERE rolname = $1", postgres::Params{}.text(role));
    if (!found) return found.error();
    if (found->empty()) continue;
    if (auto granted = role == kReader ? grant_reads(connection, role) : grant_replay_reads(connection, role); !granted)
      return granted;
  }
  return {};
}

}  // namespace millrace::storage_schema
