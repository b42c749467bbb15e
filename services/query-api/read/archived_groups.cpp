#include "read/archived_groups.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <millrace/storage_schema/archive_rows.hpp>
#include <millrace/storage_schema/value.hpp>

#include "read/bucket_fold.hpp"
#include "read/group_fold.hpp"
#include "read/look_back.hpp"
#include "read/moment.hpp"

namespace millrace::query_api {
namespace {

using postgres::Params;

/// Bits that a page may take to tell the devices of its buckets apart.
constexpr std::int64_t kMostBits = 500'000'000;
constexpr std::size_t kMostNamed = 1'000;
constexpr int kLateRowsAtOnce = 5'000;

/// A bigger integer of a row (kind 1) or its number; empty: the row is none.
std::optional<double> number_of(const archive::Row& row) {
  if (row.kind == static_cast<std::uint8_t>(storage_schema::Kind::kNumber)) return row.number;
  if (row.kind != static_cast<std::uint8_t>(storage_schema::Kind::kInteger)) return std::nullopt;
  std::int64_t whole = 0;
  std::from_chars(row.other.data(), row.other.data() + row.other.size(), whole);
  return static_cast<double>(whole);
}

/// The rows of a group in [from, to), numbers or not: a late text replaces an archived number.
std::string rows_of(const Group& group, TimeUs from, TimeUs to) {
  std::string text = " FROM storage.points_in('" + format_rfc3339(from) + "', '" + format_rfc3339(to) +
                     "') WHERE metric = " + std::to_string(group.metric_id);
  // A metric belongs to a tenant, so nobody else's rows come; a few devices of many are found by the index.
  if (group.devices.size() > kMostNamed) return text;
  std::string keys;
  for (const std::int32_t key : group.devices) keys += (keys.empty() ? "" : ",") + std::to_string(key);
  return text + " AND device_id = ANY('{" + keys + "}'::int4[])";
}

/// Starts of `rows` buckets from the one of `from` on, and the end of the last.
Result<std::vector<TimeUs>> bounds_of(postgres::Pool& pool, const Cut& cut, TimeUs from, int rows,
                                      const Patience& patience) {
  std::vector<TimeUs> bounds;
  if (cut.step_us != 0) {
    TimeUs bound = bucket_start(from, cut.step_us);
    for (int i = 0; i <= rows; ++i) {
      bounds.push_back(bound);
      if (__builtin_add_overflow(bound, cut.step_us, &bound)) break;
    }
    if (bounds.size() == 1) bounds.push_back(std::numeric_limits<TimeUs>::max());
    return bounds;
  }
  auto connection = patience.acquire(pool);
  if (!connection.ok()) return connection.error();
  std::string statement = "SELECT (date_trunc('";
  statement.append(cut.unit).append("', $1::timestamptz AT TIME ZONE $2::text) + i * interval '1 ");
  statement.append(cut.unit).append("') AT TIME ZONE $2::text FROM generate_series(0, $3::int4) i ORDER BY i");
  const auto found = (*connection)->exec(statement, Params{}.timestamptz(from).text(cut.zone).integer(rows));
  if (!found.ok()) return found.error();
  for (int row = 0; row < found->size(); ++row) {
    // A zone that left out a day has two equal ones.
    const TimeUs bound = found->timestamptz(row, 0);
    if (bounds.empty() || bound > bounds.back()) bounds.push_back(bound);
  }
  return bounds;
}

}  // namespace

Result<std::vector<ArchivedGroups::Stretch>> ArchivedGroups::stretches(postgres::Connection& connection, TimeUs from,
                                                                       TimeUs to) {
  const auto files = connection.exec(
      "SELECT key, storage.day_start(day), storage.day_start(day + 1) FROM storage.archive_file"
      " WHERE superseded_at IS NULL AND storage.day_start(day + 1) > $1::timestamptz"
      " AND storage.day_start(day) < $2::timestamptz ORDER BY day",
      Params{}.timestamptz(from).timestamptz(to));
  if (!files.ok()) return files.error();
  std::vector<Stretch> all;
  TimeUs at = from;
  for (int i = 0; i < files->size(); ++i) {
    const TimeUs begin = std::max(from, files->timestamptz(i, 1));
    const TimeUs end = std::min(to, files->timestamptz(i, 2));
    if (at < begin) all.push_back({at, begin, {}});
    all.push_back({begin, end, std::string(files->text(i, 0))});
    at = end;
  }
  if (at < to) all.push_back({at, to, {}});
  return all;
}

Result<ArchivedGroups::Moment> ArchivedGroups::begin(const Patience& patience) {
  auto place = cold_.place(patience);
  if (!place.ok()) return place.error();
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  if (auto begun = begin_moment(**connection); !begun.ok()) return begun.error();
  return Moment{std::move(place).value(), std::move(connection).value()};
}

Status ArchivedGroups::numbers(const Group& group, TimeUs from, TimeUs to, const Patience& patience, const Sink& each) {
  const auto moment = begin(patience);
  if (!moment.ok()) return moment.error();
  postgres::Connection& connection = *moment->connection;
  const auto parts = stretches(connection, from, to);
  if (!parts.ok()) return parts.error();
  for (const Stretch& part : parts.value()) {
    if (!part.file.empty()) {
      const Sink within = [&](std::int32_t device, TimeUs time, double value) {
        if (time >= from && time < to) each(device, time, value);
      };
      if (auto read = numbers_of_file(moment.value(), group, part, patience, within); !read.ok()) return read;
      continue;
    }
    const auto copied = connection.copy_out(
        "COPY (SELECT device_id, time, CASE WHEN kind = 1 THEN other::float8 ELSE value END" +
            rows_of(group, part.from, part.to) + " AND (value IS NOT NULL OR kind = 1)) TO STDOUT (FORMAT binary)",
        [&each](const postgres::CopyFields& row) {
          each(static_cast<std::int32_t>(row.integer(0)), row.timestamptz(1), row.float8(2));
        });
    if (!copied.ok()) return copied.error();
  }
  return {};
}

Status ArchivedGroups::numbers_of_file(const Moment& moment, const Group& group, const Stretch& stretch,
                                       const Patience& patience, const Sink& each) {
  if (group.devices.empty()) return {};
  const ColdRange range{.first_device = group.devices.front(),
                        .last_device = group.devices.back(),
                        .first_metric = group.metric_id,
                        .last_metric = group.metric_id,
                        .from = look_back(stretch.from),
                        .to = stretch.to};
  const auto archived = cold_.open(moment.place, {stretch.file}, range, patience);
  if (!archived.ok()) return archived.error();
  const auto late =
      storage_schema::CursorRows::open(*moment.connection,
                                       "SELECT device_id, metric, time, value, kind, other, untimed" +
                                           rows_of(group, range.from, stretch.to) + " ORDER BY device_id, metric, time",
                                       kLateRowsAtOnce);
  if (!late.ok()) return late.error();
  return archive::merge(**archived, **late, [&each](const archive::Row& row) -> Status {
    if (const auto number = number_of(row)) each(row.key.device, row.key.time, *number);
    return {};
  });
}

Result<std::optional<TimeUs>> ArchivedGroups::first_number(const Group& group, TimeUs from, TimeUs to,
                                                           const Patience& patience) {
  const auto moment = begin(patience);
  if (!moment.ok()) return moment.error();
  const auto parts = stretches(*moment->connection, from, to);
  if (!parts.ok()) return parts.error();
  DeviceIndex wanted(group.devices);
  for (const Stretch& part : parts.value()) {
    std::optional<TimeUs> first;
    if (part.file.empty()) {
      auto found = GroupReader::first_number(*moment->connection, group, part.from, part.to);
      if (!found.ok()) return found.error();
      first = found.value();
    } else {
      const Status read =
          numbers_of_file(moment.value(), group, part, patience, [&](std::int32_t device, TimeUs time, double) {
            if (time >= from && time < to && wanted.find(device)) first = std::min(first.value_or(time), time);
          });
      if (!read.ok()) return read.error();
    }
    if (first) return first;
  }
  return std::optional<TimeUs>{};
}

Result<GroupPage> ArchivedGroups::aggregate(const Group& group, const Cut& cut, TimeUs from, TimeUs to, int rows,
                                            const Patience& patience) {
  const std::int64_t devices = std::max<std::int64_t>(1, std::ssize(group.devices));
  const int most = static_cast<int>(std::clamp<std::int64_t>(kMostBits / devices, 1, rows));
  GroupPage page;
  for (;;) {
    auto bounds = bounds_of(pool_, cut, from, most, patience);
    if (!bounds.ok()) return bounds.error();
    const TimeUs end = std::min(to, bounds->back());
    GroupFold fold(std::move(bounds).value(), group.devices);
    const Status read = numbers(group, from, end, patience, [&fold](std::int32_t device, TimeUs time, double value) {
      fold.add(device, time, value);
    });
    if (!read.ok()) return read.error();
    page.buckets = fold.buckets();
    page.next_from = end < to ? std::optional(end) : std::nullopt;
    if (!page.next_from || !page.buckets.empty()) return page;
    // An empty stretch: on to the next number, however far it is.
    const auto next = first_number(group, end, to, patience);
    if (!next.ok()) return next.error();
    if (!next.value()) return GroupPage{};
    from = **next;
  }
}

Result<std::vector<Ranked>> ArchivedGroups::top(const Group& group, TimeUs from, TimeUs to, Measure measure, Rank rank,
                                                int n, const Patience& patience) {
  RankFold fold(group.devices);
  const Status read = numbers(group, from, to, patience,
                              [&fold](std::int32_t device, TimeUs, double value) { fold.add(device, value); });
  if (!read.ok()) return read.error();
  return fold.best(measure, rank, n);
}

}  // namespace millrace::query_api
