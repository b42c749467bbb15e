#include "export/export_reader.hpp"

#include <limits>
#include <set>
#include <span>

#include <millrace/postgres/connection.hpp>
#include <millrace/storage_schema/segment.hpp>

#include "export/gathered_rows.hpp"
#include "read/bucket_fold.hpp"
#include "read/statements.hpp"

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

/// How the texts of rows are bounded.
enum class Texts {
  kShort,    ///< longer ones are NULL: whoever meets one reads on from there with kCounted
  kCounted,  ///< a row is given while the texts before it are smaller than a piece; that costs as much as the row
};

/// What is in order by itself and cut there, as a part of the whole: an order over both tiers would read all of them
/// for each piece, this one follows an index.
std::string first_rows(const std::string& select) {
  return "(" + select + " ORDER BY 1, 2, 3 LIMIT " + std::to_string(ExportReader::kRows) + ")";
}

/// The columns of archive_row().
std::string row_columns(const std::string& key, const std::string& value, Texts texts) {
  const std::string other = value + ".other";
  const std::string text = texts == Texts::kCounted
                               ? other
                               : "CASE WHEN octet_length(" + other + ") <= " + std::to_string(GatheredRows::kShort) +
                                     " THEN " + other + " END";
  return key + ".device_id, " + key + ".metric, " + value + ".time, " + value + ".value, " + value + ".kind, " + text +
         " AS other, " + value + ".untimed";
}

std::string counted(const std::string& ordered) {
  return "SELECT * FROM (SELECT p.*, sum(coalesce(octet_length(other), 0)) OVER (ROWS UNBOUNDED PRECEDING) AS total"
         " FROM (" +
         ordered + ") p) t WHERE total - coalesce(octet_length(other), 0) < " + std::to_string(ExportReader::kBytes) +
         " ORDER BY device_id, metric, time";
}

/// COPY takes no parameters: these are numbers and times only.
std::string copy_of(const std::string& columns, const std::string& ordered, Texts texts) {
  return "COPY (SELECT " + columns + " FROM (" + (texts == Texts::kCounted ? counted(ordered) : ordered) +
         ") AS c ORDER BY device_id, metric, time) TO STDOUT (FORMAT binary)";
}

constexpr const char* kRowColumns = "device_id, metric, time, value, kind, other, untimed";
constexpr const char* kAllColumns =
    "device_id, metric, time, value, kind, other, untimed, n, scale, step, t4, t8, v2, v4, v8, untimed_at";

std::string sample_rows(const ExportScope& scope, const ExportMetrics& metrics, const ExportStretch& stretch) {
  return " FROM storage.sample s WHERE " + restriction("s", scope, metrics, stretch) +
         between("s.time", "s", scope, stretch);
}

/// Rows alone.
std::string copy_of_rows(const ExportScope& scope, const ExportMetrics& metrics, const ExportStretch& stretch,
                         Texts texts) {
  return copy_of(kRowColumns,
                 first_rows("SELECT " + row_columns("s", "s", texts) + sample_rows(scope, metrics, stretch)), texts);
}

/// Rows, values of segments that are no numbers, and segments of numbers as they are: in the order of their first
/// points.
std::string copy_of_tiers(const ExportScope& scope, const ExportMetrics& metrics, const ExportStretch& stretch,
                          Texts texts) {
  const std::string none = std::string(", ") + storage_schema::kNoPackedColumns;
  const std::string segments = segments_of(scope, metrics, stretch);
  const std::string rows = "SELECT " + row_columns("s", "s", texts) + none + sample_rows(scope, metrics, stretch);
  const std::string others = "SELECT " + row_columns("g", "e", texts) + none +
                             with_expansion(segments, " CROSS JOIN LATERAL storage.expand(g) e") +
                             " AND g.kinds IS NOT NULL" + between("e.time", "g", scope, stretch);
  const std::string numbers = std::string("SELECT g.device_id, g.metric, g.start, NULL, NULL, NULL, g.untimed, ") +
                              storage_schema::kPackedColumns + with_expansion(segments, "") + " AND g.kinds IS NULL";
  return copy_of(kAllColumns,
                 "SELECT * FROM (" + first_rows(rows) + " UNION ALL " + first_rows(others) + " UNION ALL " + numbers +
                     ") AS u(" + kAllColumns + ") ORDER BY device_id, metric, time",
                 texts);
}

/// By short texts first; where the very first row is a longer one, by size.
template <typename Statement>
Result<ExportRows> copied(postgres::Connection& connection, const ExportScope& scope, const ExportStretch& stretch,
                          const Statement& statement) {
  for (const Texts texts : {Texts::kShort, Texts::kCounted}) {
    GatheredRows gathered(scope, stretch);
    const auto done =
        connection.copy_out(statement(texts), [&](const postgres::CopyFields& fields) { gathered.add(fields); });
    if (!done.ok()) return done.error();
    auto rows = gathered.take();
    if (!rows.ok() || !rows->rows.empty() || !gathered.stopped_at_text()) return rows;
  }
  return Error{ErrorKind::kCorrupt, "storage: a value that is no number has no text"};
}

/// Whether a day of the scope is compacted. No: the rows that were read before hold all that there is.
Result<bool> has_segments(postgres::Connection& connection, const ExportScope& scope) {
  constexpr TimeUs kDay = 86'400 * kUsPerSecond;
  const auto found =
      exec(connection, statements::kCompacted,
           Params{}.integer(bucket_start(scope.from, kDay) / kDay).integer(bucket_start(scope.to, kDay) / kDay + 1));
  if (!found.ok()) return found.error();
  return found->boolean(0, 0);
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
  auto compacted = has_segments(**connection, scope);
  if (!compacted.ok()) return compacted.error();
  if (!*compacted) {
    auto rows =
        copied(**connection, scope, stretch, [&](Texts texts) { return copy_of_rows(scope, metrics, stretch, texts); });
    // A day that was compacted meanwhile is in neither.
    compacted = has_segments(**connection, scope);
    if (!compacted.ok()) return compacted.error();
    if (!*compacted) return rows;
  }
  ExportStretch part = stretch;
  const auto bound = (*connection)->exec(bound_statement(scope, metrics, stretch));
  if (!bound.ok()) return bound.error();
  if (!bound->empty()) {
    part.until = archive::RowKey{static_cast<std::int32_t>(bound->integer(0, 0)),
                                 static_cast<std::int32_t>(bound->integer(0, 1)), bound->timestamptz(0, 2)};
  }
  return copied(**connection, scope, part, [&](Texts texts) { return copy_of_tiers(scope, metrics, part, texts); });
}

}  // namespace millrace::query_api
