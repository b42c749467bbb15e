#include "export/archived_rows.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <span>

namespace millrace::query_api {
namespace {

using archive::RowKey;

constexpr auto kLeastId = std::numeric_limits<std::int32_t>::min();
constexpr auto kMostId = std::numeric_limits<std::int32_t>::max();
constexpr auto kLeastTime = std::numeric_limits<std::int64_t>::min();
constexpr auto kMostTime = std::numeric_limits<std::int64_t>::max();

/// The first key behind this one.
RowKey successor(const RowKey& key) {
  if (key.time != kMostTime) return {key.device, key.metric, key.time + 1};
  if (key.metric != kMostId) return {key.device, key.metric + 1, kLeastTime};
  return {key.device + 1, kLeastId, kLeastTime};
}

bool by_key(const archive::OwnedRow& a, const archive::OwnedRow& b) { return a.row.key < b.row.key; }
bool same_key(const archive::OwnedRow& a, const archive::OwnedRow& b) { return a.row.key == b.row.key; }

}  // namespace

bool ArchivedRows::holds(const std::vector<std::string>& files, const KeyRun& run,
                         const std::optional<RowKey>& after) const {
  return loaded_ && files_ == files && run_.first == run.first && run_.last == run.last &&
         (!until_ || !after || *after < *until_);
}

bool ArchivedRows::by_devices(const RowKey& next) const {
  return next.metric == kLeastId && next.time == kLeastTime && big_device_ != next.device;
}

ArchivedRows::Part ArchivedRows::part_from(const RowKey& next, const ExportScope& scope, const ExportMetrics& metrics,
                                           const KeyRun& run) const {
  Part part;
  part.range.first_device = part.range.last_device = next.device;
  part.range.from = scope.from;
  part.range.to = scope.to;
  part.range.limit = kMostRows + 1;
  if (by_devices(next)) {
    const auto last = std::min<std::int64_t>(run.last, std::int64_t{next.device} + devices_at_once_ - 1);
    part.range.last_device = static_cast<std::int32_t>(last);
  } else {
    auto metric = metrics.lower_bound(next.metric);
    if (metric != metrics.end()) {
      part.range.first_metric = part.range.last_metric = metric->first;
      for (int i = 1; i < metrics_at_once_ && std::next(metric) != metrics.end(); ++i) ++metric;
      part.range.last_metric = metric->first;
      part.one_series = part.range.first_metric == part.range.last_metric;
      if (part.one_series && next.metric == metric->first) part.range.from = std::max(scope.from, next.time);
      if (std::next(metric) != metrics.end()) part.until = RowKey{next.device, metric->first, kMostTime};
    } else {
      part.range.limit = 0;  // the device has no more
    }
  }
  if (!part.until && part.range.last_device != run.last)
    part.until = RowKey{part.range.last_device, kMostId, kMostTime};
  return part;
}

Result<bool> ArchivedRows::read(const Part& part, const RowKey& next, const ExportScope& scope,
                                const ExportMetrics& metrics, const Patience& patience) {
  rows_.clear();
  if (part.range.limit == 0) return true;
  const auto stream = cold_.open(files_, part.range, patience, seat_);
  if (!stream.ok()) return stream.error();
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
  bool whole = true;
  for (;;) {
    const auto row = (*stream)->next();
    if (!row.ok()) return row.error();
    if (*row == nullptr) break;
    whole = rows++ < kMostRows && bytes <= kMostBytes;
    if (!whole) break;
    if ((*row)->key < next || (!scope.metrics.empty() && !metrics.contains((*row)->key.metric))) continue;
    rows_.emplace_back(**row);
    bytes += static_cast<std::int64_t>((*row)->other.size());
  }
  // The files come one after the other, each by device.
  std::sort(rows_.begin(), rows_.end(), by_key);
  rows_.erase(std::unique(rows_.begin(), rows_.end(), same_key), rows_.end());
  return whole;
}

void ArchivedRows::narrow(const RowKey& next) {
  if (!by_devices(next)) {
    metrics_at_once_ = std::max(1, metrics_at_once_ / 4);
  } else if (devices_at_once_ > 1) {
    devices_at_once_ /= 4;
    devices_at_once_ = std::max(1, devices_at_once_);
  } else {
    big_device_ = next.device;
  }
}

void ArchivedRows::widen(const RowKey& next) {
  if (std::ssize(rows_) > kMostRows / 3) return;
  std::int32_t& at_once = by_devices(next) ? devices_at_once_ : metrics_at_once_;
  at_once = std::min(at_once * 2, 1 << 20);
}

Status ArchivedRows::load(const std::vector<std::string>& files, const ExportScope& scope, const ExportMetrics& metrics,
                          const KeyRun& run, const std::optional<RowKey>& after, const Patience& patience) {
  if (holds(files, run, after)) return {};
  loaded_ = false;
  files_ = files;
  run_ = run;
  const RowKey next = after ? successor(*after) : RowKey{run.first, kLeastId, kLeastTime};
  for (;;) {
    const Part part = part_from(next, scope, metrics, run);
    const auto whole = read(part, next, scope, metrics, patience);
    if (!whole.ok()) return whole.error();
    until_ = part.until;
    if (whole.value()) {
      widen(next);
      break;
    }
    if (part.one_series) {
      until_ = rows_.back().row.key;
      break;
    }
    narrow(next);
  }
  loaded_ = true;
  return {};
}

void ArchivedRows::drop() {
  loaded_ = false;
  rows_.clear();
}

Result<ExportRows> ArchivedRows::with(const ExportRows& hot, const std::optional<RowKey>& after) {
  const auto begin = after ? std::upper_bound(rows_.begin(), rows_.end(), *after,
                                              [](const RowKey& key, const auto& row) { return key < row.row.key; })
                           : rows_.begin();
  archive::VectorSource archived(std::span(begin, rows_.end()));
  archive::VectorSource later(hot.rows);
  ExportRows piece;
  piece.whole_to = hot.whole_to;
  std::int64_t bytes = 0;
  bool full = false;
  const auto end = hot.whole_to ? std::optional(successor(*hot.whole_to)) : std::nullopt;
  const Status merged = merge_.run(archived, later, end, [&](const archive::Row& row) -> Status {
    full = std::ssize(piece.rows) >= kMostGiven || bytes >= kMostGivenBytes;
    if (full) return Error{ErrorKind::kConflict, "the piece is full"};  // what ends a merge
    piece.rows.emplace_back(row);
    bytes += static_cast<std::int64_t>(row.other.size());
    return {};
  });
  if (full) {
    piece.whole_to = piece.rows.back().row.key;
  } else if (!merged.ok()) {
    return merged.error();
  }
  return piece;
}

}  // namespace millrace::query_api
