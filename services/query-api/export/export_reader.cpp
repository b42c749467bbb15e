#include "export/export_reader.hpp"

#include <limits>
#include <set>
#include <span>

#include <millrace/postgres/connection.hpp>
#include <millrace/storage_schema/archive_rows.hpp>

namespace millrace::query_api {
namespace {

using postgres::Params;

/// Segments that are looked at for one piece.
constexpr int kMostSegments = 256;

std::string metric_restriction(const std::string& t, const ExportScope& scope, const ExportMetrics& metrics) {
  if (scope.metrics.empty()) return {};
  std::string ids;
  for (const auto& [id, metric] : metrics) ids += (ids.empty() ? "" : ", ") + std::to_string(id);
  return " AND " + t + ".metric IN (" + ids + ")";
}

std::string quoted(TimeUs time) { return "'" + format_rfc3339(time) + "'::timestamptz"; }

std::string tuple(const archive::RowKey& key) {
  const bool is_end = key.time == std::numeric_limits<std::int64_t>::max();  // of its series
  return "(" + std::to_string(key.device) + ", " + std::to_string(key.metric) + ", " +
         (is_end ? "'infinity'::timestamptz" : quoted(key.time)) + ")";
}

std::string series_of(const archive::RowKey& key) {
  return "(" + std::to_string(key.device) + ", " + std::to_string(key.metric) + ")";
}

/// What restricts the rows of `t`, without the row-wise comparisons.
std::string restriction(const std::string& t, const ExportScope& scope, const ExportMetrics& metrics,
                        const ExportStretch& stretch) {
  std::string where = t + ".device_id <= " + std::to_string(stretch.run.last);
  where += " AND " + t + ".device_id >= " + std::to_string(stretch.after ? stretch.after->device : stretch.run.first);
  return where + metric_restriction(t, scope, metrics);
}

/// Segments that hold rows of the stretch, as `g`; the index knows their series, so that is asked by itself.
std::string segments_of(const ExportScope& scope, const ExportMetrics& metrics, const ExportStretch& stretch) {
  std::string where = " FROM storage.segment g%e WHERE g.day >= (" + quoted(scope.from) +
                      " AT TIME ZONE 'UTC')::date AND g.day <= (" + quoted(scope.to) +
                      " AT TIME ZONE 'UTC')::date AND g.start < " + quoted(scope.to) +
                      " AND g.stop >= " + quoted(scope.from) + " AND " + restriction("g", scope, metrics, stretch);
  if (stretch.after) {
    where += " AND (g.device_id, g.metric) >= " + series_of(*stretch.after) +
             " AND (g.device_id, g.metric, g.stop) > " + tuple(*stretch.after);
  }
  if (stretch.until) {
    where += " AND (g.device_id, g.metric) <= " + series_of(*stretch.until) +
             " AND (g.device_id, g.metric, g.start) <= " + tuple(*stretch.until);
  }
  return where;
}

std::string with_expansion(std::string segments, const std::string& expansion) {
  return segments.replace(segments.find("%e"), 2, expansion);
}

/// The end of the first segments of a stretch that hold a piece together, or that are many: whoever orders by time must
/// unpack all of them first.
std::string bound_statement(const ExportScope& scope, const ExportMetrics& metrics, const ExportStretch& stretch) {
  return "SELECT device_id, metric, stop FROM (SELECT s.*, sum(n) OVER w AS total, row_number() OVER w AS i FROM ("
         "SELECT g.device_id, g.metric, g.stop, g.n" +
         with_expansion(segments_of(scope, metrics, stretch), "") + " ORDER BY g.device_id, g.metric, g.stop LIMIT " +
         std::to_string(kMostSegments) +
         ") s WINDOW w AS (ORDER BY device_id, metric, stop ROWS UNBOUNDED PRECEDING)) t WHERE total >= " +
         std::to_string(ExportReader::kRows) + " OR i = " + std::to_string(kMostSegments) +
         " ORDER BY device_id, metric, stop LIMIT 1";
}

/// Row-wise: the times too.
std::string between(const std::string& time, const std::string& t, const ExportScope& scope,
                    const ExportStretch& stretch) {
  std::string where = " AND " + time + " >= " + quoted(scope.from) + " AND " + time + " < " + quoted(scope.to);
  const std::string row = "(" + t + ".device_id, " + t + ".metric, " + time + ")";
  if (stretch.after) where += " AND " + row + " > " + tuple(*stretch.after);
  if (stretch.until) where += " AND " + row + " <= " + tuple(*stretch.until);
  return where;
}

/// COPY takes no parameters: these are numbers and times only. The hot rows are ordered by themselves: an order over
/// both tiers would read all of them for each piece, this one follows the index. The running size counts what is not a
/// number; a row is given while those before it are smaller.
std::string copy_statement(const ExportScope& scope, const ExportMetrics& metrics, const ExportStretch& stretch) {
  const std::string first = " ORDER BY device_id, metric, time LIMIT " + std::to_string(ExportReader::kRows);
  return "COPY (SELECT device_id, metric, time, value, kind, other, untimed FROM ("
         "SELECT s.*, sum(coalesce(octet_length(other), 0)) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM ("
         "SELECT * FROM ((SELECT s.device_id, s.metric, s.time, s.value, s.kind, s.other, s.untimed"
         " FROM storage.sample s WHERE " +
         restriction("s", scope, metrics, stretch) + between("s.time", "s", scope, stretch) + first +
         ") UNION ALL SELECT g.device_id, g.metric, e.time, e.value, e.kind, e.other, e.untimed" +
         with_expansion(segments_of(scope, metrics, stretch), " CROSS JOIN LATERAL storage.expand(g) e") +
         between("e.time", "g", scope, stretch) + ") p" + first +
         ") s) t WHERE total - coalesce(octet_length(other), 0) < " + std::to_string(ExportReader::kBytes) +
         " ORDER BY device_id, metric, time) TO STDOUT (FORMAT binary)";
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

Result<ExportRows> ExportReader::rows(const ExportScope& scope, const ExportMetrics& metrics,
                                      const ExportStretch& stretch, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  ExportStretch part = stretch;
  const auto bound = (*connection)->exec(bound_statement(scope, metrics, stretch));
  if (!bound.ok()) return bound.error();
  if (!bound->empty()) {
    part.until = archive::RowKey{static_cast<std::int32_t>(bound->integer(0, 0)),
                                 static_cast<std::int32_t>(bound->integer(0, 1)), bound->timestamptz(0, 2)};
  }
  ExportRows answer;
  std::int64_t bytes = 0;
  const auto copied =
      (*connection)->copy_out(copy_statement(scope, metrics, part), [&](const postgres::CopyFields& fields) {
        answer.rows.emplace_back(storage_schema::archive_row(fields));
        bytes += static_cast<std::int64_t>(answer.rows.back().text.size());
      });
  if (!copied.ok()) return copied.error();
  answer.whole_to = copied.value() >= kRows || bytes >= kBytes ? answer.rows.back().row.key : part.until;
  return answer;
}

}  // namespace millrace::query_api
