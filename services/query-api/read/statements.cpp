#include "read/statements.hpp"

#include <millrace/storage_schema/statements.hpp>

namespace millrace::query_api {

namespace sql = storage_schema::sql;

namespace statements {

const Prepared kLatest{"latest", sql::kLatestOfDevice};

const Prepared kLatestOfMetrics{
    "latest_of_metrics",
    "SELECT l.metric, m.name, m.type, l.time, l.value, l.kind, l.other FROM storage.latest l JOIN storage.metric m ON "
    "m.id = l.metric"
    " WHERE l.device_id = $1::int4 AND l.time IS NOT NULL AND m.name = ANY($2::text[]) ORDER BY m.name"};

const Prepared kMetrics{"metrics", sql::kMetricsByName};

const Prepared kSamples{
    "samples",
    "SELECT time, value, kind, other, untimed, total FROM ("
    " SELECT s.*, sum(32 + coalesce(octet_length(other), 0)) OVER (ORDER BY time ROWS UNBOUNDED PRECEDING) AS total "
    "FROM ("
    "  SELECT time, value, kind, other, untimed FROM storage.page($1::int4, $2::int4, $3::timestamptz, $4::timestamptz,"
    "  $5::int8)) s) t"
    " WHERE total - 32 - coalesce(octet_length(other), 0) < $6::int8 ORDER BY time"};

const Prepared kShortSamples{
    "short_samples",
    "SELECT time, value, kind, CASE WHEN octet_length(other) <= $6::int8 THEN other END AS other, untimed"
    " FROM storage.page($1::int4, $2::int4, $3::timestamptz, $4::timestamptz, $5::int8)"};

const Prepared kFirstNumber{
    "first_number",
    "SELECT t FROM storage.first_number($1::int4, $2::int4, $3::timestamptz, $4::timestamptz) t WHERE t IS NOT NULL"};

const Prepared kFiles{"files",
                      "SELECT key FROM storage.archive_file WHERE superseded_at IS NULL AND max_time >= $1::timestamptz"
                      " AND min_time < $2::timestamptz ORDER BY day"};

const Prepared kCompacted{"compacted",
                          "SELECT EXISTS (SELECT 1 FROM storage.day WHERE state = 3 AND day >= date '1970-01-01' + "
                          "$1::int4 AND day < date '1970-01-01' + $2::int4)"};

}  // namespace statements

Status prepare_statements(postgres::Connection& connection) {
  using namespace statements;
  for (const Prepared& one :
       {kLatest, kLatestOfMetrics, kMetrics, kSamples, kShortSamples, kFirstNumber, kFiles, kCompacted}) {
    if (auto prepared = connection.prepare(one.name, one.sql); !prepared.ok()) return prepared;
  }
  return {};
}

Result<postgres::Rows> exec(postgres::Connection& connection, const Prepared& statement,
                            const postgres::Params& params) {
  auto rows = connection.exec_prepared(statement.name, params);
  constexpr const char* kNoSuchStatement = "26000";
  if (rows.ok() || !connection.usable() || connection.in_transaction()) return rows;
  if (connection.last_error().sqlstate != kNoSuchStatement) return rows;
  return connection.exec(statement.sql, params);
}

}  // namespace millrace::query_api
