#pragma once

/// Statements that more than one program uses. Each comment lists parameters and columns.
namespace millrace::storage_schema::sql {

/// For CopyEncoder and encode_sample().
inline constexpr const char* kCopySamples =
    "COPY storage.sample (time, device_id, metric, value, kind, other, untimed) FROM STDIN (FORMAT binary)";

/// $1 tenant, $2 names text[] → name, id int4, type int2.
inline constexpr const char* kMetricsByName =
    "SELECT name, id, type FROM storage.metric WHERE tenant = $1 AND name = ANY($2::text[])";

/// $1 device int4 → metric id, name, type, time, value, kind, other; only series with a value that is not future-dated.
inline constexpr const char* kLatestOfDevice =
    "SELECT l.metric, m.name, m.type, l.time, l.value, l.kind, l.other FROM storage.latest l JOIN storage.metric m ON "
    "m.id = l.metric"
    " WHERE l.device_id = $1::int4 AND l.time IS NOT NULL ORDER BY m.name";

/// Raw points of a series, keyset: $1 device, $2 metric, $3 from (inclusive), $4 to (exclusive), $5 limit
/// → time, value, kind, other, untimed (NULL: false). A time occurs once, so the next page starts 1 us behind the last
/// row.
inline constexpr const char* kRange =
    "SELECT time, value, kind, other, untimed FROM storage.page($1::int4, $2::int4, $3::timestamptz, $4::timestamptz,"
    " $5::int8)";

/// $1 topic → part, generation, next_offset, latest_offset, cluster_id, log_time_us (0: nothing yet).
inline constexpr const char* kOffsets =
    "SELECT part, generation, next_offset, latest_offset, cluster_id, log_time_us FROM storage.ingest_offset"
    " WHERE topic = $1 ORDER BY part";

/// $1 topic, $2 part → generation, next_offset, latest_offset.
inline constexpr const char* kOffset =
    "SELECT generation, next_offset, latest_offset FROM storage.ingest_offset WHERE topic = $1 AND part = $2::int4";

/// $1 part, $2 generation, $3 offset → original_offset, rule: of the record that has the offset since that generation.
inline constexpr const char* kDroppedCopy =
    "SELECT original_offset, rule FROM storage.dropped_copy WHERE part = $1::int4 AND generation >= $2::int4 AND "
    "log_offset = $3::int8 ORDER BY generation LIMIT 1";

/// $1 part, $2 generation, $3 offset → tenant, device, points int4[] (empty: all), reason, dead_part, dead_offset,
/// replayed_generation and replayed_offset (NULL: not replayed).
inline constexpr const char* kDeadLetterOf =
    "SELECT tenant, device, points, reason, dead_part, dead_offset, replayed_generation, replayed_offset"
    " FROM storage.dead_letter"
    " WHERE part = $1::int4 AND generation >= $2::int4 AND log_offset = $3::int8 ORDER BY generation LIMIT 1";

/// $1 part, $2 generation → generation, from_offset, to_offset, resume_offset, reason: the breaks since that
/// generation, oldest first. See LogBreak.
inline constexpr const char* kLogBreaks =
    "SELECT generation, from_offset, to_offset, resume_offset, reason FROM storage.log_break WHERE part = $1::int4"
    " AND generation >= $2::int4 ORDER BY generation";

/// Days that hold anything, oldest first: $1 day before which they lie, days since the epoch → day (since the epoch),
/// rules and seen (NULL: never looked at), sees.
inline constexpr const char* kRetentionDays =
    "SELECT day - date '1970-01-01', rules, seen, sees FROM storage.retention_days(date '1970-01-01' + $1::int4)";

/// Parameters as kRetentionFigures → whether something goes, whether something stays.
inline constexpr const char* kRetentionLook =
    "SELECT goes, stays FROM storage.retention_look(date '1970-01-01' + $1::int4, $2::text[], $3::int4[], $4::int4[],"
    " $5::int4[])";

/// What goes of a day: $1 day since the epoch, $2 tenants text[], $3 their rules int4[], $4 devices int4[], $5 their
/// rules int4[] → rule, tier (1 rows, 2 segments), series, points, bytes.
inline constexpr const char* kRetentionFigures =
    "SELECT rule, tier, series, points, bytes FROM storage.retention_figures(date '1970-01-01' + $1::int4, $2::text[],"
    " $3::int4[], $4::int4[], $5::int4[])";

/// What goes of the day's file in the archive; parameters as kRetentionFigures → rule, series, points, bytes.
inline constexpr const char* kArchivedFigures =
    "SELECT rule, series, points, bytes FROM storage.archived_figures(date '1970-01-01' + $1::int4, $2::text[],"
    " $3::int4[], $4::int4[], $5::int4[])";

/// `latest` from the points themselves. Reads all tiers: only after a break of the log that took what
/// `latest` still lacked.
inline constexpr const char* kRebuildLatest =
    "INSERT INTO storage.latest AS l (device_id, metric, time, value, kind, other, max_time)"
    " SELECT DISTINCT ON (s.device_id, s.metric) s.device_id, s.metric,"
    " CASE WHEN near THEN s.time END, CASE WHEN near THEN s.value END, CASE WHEN near THEN s.kind END,"
    " CASE WHEN near THEN s.other END, max(s.time) OVER (PARTITION BY s.device_id, s.metric)"
    " FROM (SELECT *, time <= now() + interval '5 minutes' AS near FROM storage.point) s"
    " ORDER BY s.device_id, s.metric, near DESC, s.time DESC"
    " ON CONFLICT (device_id, metric) DO UPDATE SET time = excluded.time, value = excluded.value, kind = excluded.kind,"
    " other = excluded.other, max_time = excluded.max_time";

}  // namespace millrace::storage_schema::sql
