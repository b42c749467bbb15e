#include "store/look_up.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "store/day_partitions.hpp"
#include "store/key_columns.hpp"

namespace millrace::writer {
namespace {

using postgres::Params;

/// Points of segments that are unpacked by one statement; those of one series and day are never divided.
constexpr std::int64_t kPointsAtOnce = 200'000;

// $1 devices, $2 metrics, $3 times, $4 and $5 the least and the greatest of them. LATERAL with a limit is an index
// look-up for each key whatever the planner believes about the arrays.
constexpr const char* kRows =
    "SELECT k.i, s.value, s.kind, s.other, s.untimed"
    " FROM unnest($1::int4[], $2::int4[], $3::timestamptz[]) WITH ORDINALITY AS k(d, m, t, i), LATERAL (SELECT * FROM "
    "storage.sample x WHERE x.device_id = k.d AND x.metric = k.m AND x.time = k.t AND x.time >= $4::timestamptz"
    " AND x.time <= $5::timestamptz LIMIT 1) s";

// $1 devices, $2 metrics, $3 and $4 the first and the last time of interest of each, all of one day; $5 and $6 the
// least and the greatest of these. How many points the segments there have.
constexpr const char* kWeights =
    "SELECT w.i, g.n FROM unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY AS w(d, "
    "m, first, last, i) CROSS JOIN LATERAL (SELECT sum(s.n)::int8 AS n FROM storage.segment s WHERE s.device_id = w.d"
    " AND s.metric = w.m AND s.day = (w.first AT TIME ZONE 'UTC')::date AND s.day >= ($5::timestamptz AT TIME ZONE"
    " 'UTC')::date AND s.day <= ($6::timestamptz AT TIME ZONE 'UTC')::date AND s.start <= w.last AND s.stop >="
    " w.first) g"
    " WHERE g.n IS NOT NULL";

// As kRows. The unpacked points stand by themselves, so that they meet the keys once, and not each key for itself.
constexpr const char* kPacked =
    "WITH k AS MATERIALIZED (SELECT * FROM unnest($1::int4[], $2::int4[], $3::timestamptz[]) WITH ORDINALITY AS u(d, m,"
    " t, i)), x AS MATERIALIZED (SELECT w.d, w.m, e.time AS t, e.value, e.kind, e.other, e.untimed"
    " FROM (SELECT d, m, (t AT TIME ZONE 'UTC')::date AS day, min(t) AS first, max(t) AS last FROM k GROUP BY 1, 2, 3)"
    " w CROSS JOIN LATERAL (SELECT g FROM storage.segment g WHERE g.device_id = w.d AND g.metric = w.m AND g.day ="
    " w.day AND g.day >= ($4::timestamptz AT TIME ZONE 'UTC')::date AND g.day <= ($5::timestamptz AT TIME ZONE"
    " 'UTC')::date AND g.start <= w.last AND g.stop >= w.first OFFSET 0) s CROSS JOIN LATERAL storage.expand(s.g) e"
    " WHERE e.time >= w.first AND e.time <= w.last)"
    " SELECT k.i, x.value, x.kind, x.other, x.untimed FROM x JOIN k ON k.d = x.d AND k.m = x.m AND k.t = x.t";

/// The keys of one series and day.
struct Group {
  SeriesKey series;
  std::vector<std::size_t> keys;  // indexes
  TimeUs first = 0;
  TimeUs last = 0;
};

std::vector<Group> grouped(std::span<const SampleKey> keys) {
  std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, Group> groups;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const SampleKey& key = keys[i];
    Group& group = groups[{day_of(key.time), key.series.device, key.series.metric}];
    if (group.keys.empty()) group = {key.series, {}, key.time, key.time};
    group.keys.push_back(i);
    group.first = std::min(group.first, key.time);
    group.last = std::max(group.last, key.time);
  }
  std::vector<Group> list;
  list.reserve(groups.size());
  for (auto& [day, group] : groups) list.push_back(std::move(group));
  return list;
}

class LookUp {
 public:
  LookUp(postgres::Connection& connection, std::span<const SampleKey> keys) : connection_(connection), keys_(keys) {}

  Result<std::vector<StoredSample>> run() {
    // One snapshot: a day that is compacted meanwhile is in rows or in segments, not in neither.
    auto transaction = postgres::Transaction::begin(connection_);
    if (!transaction) return transaction.error();
    if (auto set = connection_.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); !set)
      return set.error();
    std::vector<std::size_t> all(keys_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    if (auto done = ask(kRows, all); !done) return done.error();
    if (auto done = unpack(grouped(keys_)); !done) return done.error();
    return std::move(found_);
  }

 private:
  /// The points that the segments of each group have; 0: there are none.
  Result<std::vector<std::int64_t>> weights(const std::vector<Group>& groups) {
    KeyColumns columns;
    std::vector<TimeUs> lasts;
    for (const Group& group : groups) {
      columns.add(SampleKey{group.series, group.first});
      lasts.push_back(group.last);
    }
    auto rows =
        connection_.exec(kWeights, Params{}
                                       .int4_array(columns.devices)
                                       .int4_array(columns.metrics)
                                       .timestamptz_array(columns.times)
                                       .timestamptz_array(lasts)
                                       .timestamptz(*std::min_element(columns.times.begin(), columns.times.end()))
                                       .timestamptz(*std::max_element(lasts.begin(), lasts.end())));
    if (!rows) return rows.error();
    std::vector<std::int64_t> points(groups.size());
    for (int row = 0; row < rows->size(); ++row)
      points[static_cast<std::size_t>(rows->integer(row, 0)) - 1] = rows->integer(row, 1);
    return points;
  }

  Status unpack(const std::vector<Group>& groups) {
    const auto points = weights(groups);
    if (!points) return points.error();
    std::vector<std::size_t> stretch;
    std::int64_t weight = 0;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if ((*points)[i] == 0) continue;
      if (!stretch.empty() && weight + (*points)[i] > kPointsAtOnce) {
        if (auto done = ask(kPacked, stretch); !done) return done;
        stretch.clear();
        weight = 0;
      }
      stretch.insert(stretch.end(), groups[i].keys.begin(), groups[i].keys.end());
      weight += (*points)[i];
    }
    return stretch.empty() ? Status{} : ask(kPacked, stretch);
  }

  Status ask(const char* statement, const std::vector<std::size_t>& indexes) {
    KeyColumns columns;
    for (const std::size_t index : indexes) columns.add(keys_[index]);
    const auto [least, most] = std::minmax_element(columns.times.begin(), columns.times.end());
    auto rows = connection_.exec(statement, Params{}
                                                .int4_array(columns.devices)
                                                .int4_array(columns.metrics)
                                                .timestamptz_array(columns.times)
                                                .timestamptz(*least)
                                                .timestamptz(*most));
    if (!rows) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
      found_.push_back({keys_[indexes[static_cast<std::size_t>(rows->integer(row, 0)) - 1]],
                        storage_schema::cell_at(*rows, row, 1), !rows->is_null(row, 4) && rows->boolean(row, 4)});
    }
    return {};
  }

  postgres::Connection& connection_;
  std::span<const SampleKey> keys_;
  std::vector<StoredSample> found_;
};

}  // namespace

Result<std::vector<StoredSample>> find_samples(postgres::Connection& connection, std::span<const SampleKey> keys) {
  if (keys.empty()) return std::vector<StoredSample>{};
  return LookUp(connection, keys).run();
}

}  // namespace millrace::writer
