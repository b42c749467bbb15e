#include "export/export_reader.hpp"

#include <set>
#include <span>

#include <millrace/postgres/connection.hpp>

namespace millrace::query_api {
namespace {

using postgres::Params;

std::string metric_restriction(const ExportScope& scope, const ExportMetrics& metrics) {
  if (scope.metrics.empty()) return {};
  std::string ids;
  for (const auto& [id, metric] : metrics) ids += (ids.empty() ? "" : ", ") + std::to_string(id);
  return " AND metric IN (" + ids + ")";
}

/// What is said of a row; `time` is its column.
std::string restriction(const ExportScope& scope, const ExportMetrics& metrics, const KeyRun& run,
                        const std::optional<ExportPosition>& after, const std::string& time) {
  std::string where = "device_id >= " + std::to_string(after ? after->device_key : run.first) +
                      " AND device_id <= " + std::to_string(run.last);
  if (after) {
    where += " AND (device_id, metric, " + time + ") > (" + std::to_string(after->device_key) + ", " +
             std::to_string(after->metric_id) + ", '" + format_rfc3339(after->time) + "'::timestamptz)";
  }
  return where + metric_restriction(scope, metrics) + " AND " + time + " >= '" + format_rfc3339(scope.from) + "' AND " +
         time + " < '" + format_rfc3339(scope.to) + "'";
}

/// Segments that may hold rows of a run.
std::string segment_restriction(const ExportScope& scope, const std::optional<ExportPosition>& after) {
  const std::string from = "timestamptz '" + format_rfc3339(scope.from) + "'";
  const std::string to = "timestamptz '" + format_rfc3339(scope.to) + "'";
  std::string where = "day >= (" + from + " AT TIME ZONE 'UTC')::date AND day <= (" + to +
                      " AT TIME ZONE 'UTC')::date AND start < " + to + " AND stop >= " + from;
  if (after) {
    where += " AND (device_id, metric) >= (" + std::to_string(after->device_key) + ", " +
             std::to_string(after->metric_id) + ")";
  }
  return where;
}

/// COPY takes no parameters: these are numbers and times only. The hot rows are ordered by themselves: an order over
/// both tiers would read all of them for each piece, this one follows the index. The running size counts what is not a
/// number; a row is given while those before it are smaller.
std::string copy_statement(const ExportScope& scope, const ExportMetrics& metrics, const KeyRun& run,
                           const std::optional<ExportPosition>& after) {
  const std::string first = " ORDER BY device_id, metric, time LIMIT " + std::to_string(ExportReader::kRows);
  return "COPY (SELECT device_id, metric, time, value, kind, other, untimed FROM ("
         "SELECT s.*, sum(coalesce(octet_length(other), 0)) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM ("
         "SELECT * FROM ((SELECT device_id, metric, time, value, kind, other, untimed FROM storage.sample WHERE " +
         restriction(scope, metrics, run, after, "time") + first +
         ") UNION ALL SELECT g.device_id, g.metric, e.time, e.value, e.kind, e.other, e.untimed"
         " FROM storage.segment g CROSS JOIN LATERAL storage.expand(g) e WHERE " +
         segment_restriction(scope, after) + " AND " + restriction(scope, metrics, run, after, "e.time") + ") p" +
         first + ") s) t WHERE total - coalesce(octet_length(other), 0) < " + std::to_string(ExportReader::kBytes) +
         " ORDER BY device_id, metric, time) TO STDOUT (FORMAT binary)";
}

ExportRow row_of(const postgres::CopyFields& fields) {
  ExportRow row;
  row.at = {static_cast<std::int32_t>(fields.integer(0)), static_cast<std::int32_t>(fields.integer(1)),
            fields.timestamptz(2)};
  if (!fields.is_null(3)) row.cell.number = fields.float8(3);
  if (!fields.is_null(4)) row.cell.kind = static_cast<storage_schema::Kind>(fields.integer(4));
  if (!fields.is_null(5)) row.cell.other = fields.text(5);
  row.untimed = !fields.is_null(6) && fields.boolean(6);
  return row;
}

}  // namespace

std::vector<KeyRun> runs_of(const std::vector<std::int32_t>& keys) {
  std::vector<KeyRun> runs;
  for (const std::int32_t key : keys) {
    if (!runs.empty() && runs.back().last + 1 == key) {
      runs.back().last = key;
    } else {
      runs.push_back({key, key});
    }
  }
  return runs;
}

Result<ExportMetrics> ExportReader::metrics(const ExportScope& scope, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  Params params;
  params.text(scope.tenant);
  std::string statement = "SELECT id, name, type FROM storage.metric WHERE tenant = $1";
  if (!scope.metrics.empty()) {
    params.text_array(std::span<const std::string>(scope.metrics));
    statement += " AND name = ANY($2::text[])";
  }
  const auto rows = (*connection)->exec(statement, params);
  if (!rows.ok()) return rows.error();
  ExportMetrics found;
  std::set<std::string, std::less<>> names;
  for (int row = 0; row < rows->size(); ++row) {
    names.insert(std::string(rows->text(row, 1)));
    found[static_cast<std::int32_t>(rows->integer(row, 0))] = {
        std::string(rows->text(row, 1)), static_cast<storage_schema::MetricType>(rows->integer(row, 2))};
  }
  for (const std::string& name : scope.metrics) {
    if (!names.contains(name))
      return Error{ErrorKind::kNotFound, "there is no metric '" + name + "' in tenant " + scope.tenant};
  }
  return found;
}

Result<std::int64_t> ExportReader::rows(const ExportScope& scope, const ExportMetrics& metrics, const KeyRun& run,
                                        const std::optional<ExportPosition>& after, const Patience& patience,
                                        const std::function<void(const ExportRow&)>& row) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  return (*connection)->copy_out(copy_statement(scope, metrics, run, after), [&](const postgres::CopyFields& fields) {
    row(row_of(fields));
  });
}

}  // namespace millrace::query_api
