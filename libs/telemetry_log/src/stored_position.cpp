#include <algorithm>

#include <millrace/storage/v1/progress.pb.h>
#include <millrace/telemetry_log/stored_position.hpp>

namespace millrace::telemetry_log {

const StoredPosition::Dead* StoredPosition::find_dead(std::int64_t offset) const {
  const auto found = std::lower_bound(dead.begin(), dead.end(), offset,
                                      [](const Dead& one, std::int64_t wanted) { return one.offset < wanted; });
  return found != dead.end() && found->offset == offset ? &*found : nullptr;
}

StoredPosition::Fate StoredPosition::fate(std::int64_t offset) const {
  if (offset >= next_offset) return Fate::kNotYet;
  if (find_dead(offset) != nullptr) return Fate::kDead;
  return dead_from && offset >= *dead_from ? Fate::kStored : Fate::kUntold;
}

StoredPosition position_of(const storage::v1::Progress& progress) {
  StoredPosition position;
  position.partition = progress.partition();
  position.generation = progress.generation();
  position.next_offset = progress.next_offset();
  if (progress.has_dead_from()) position.dead_from = progress.dead_from();
  for (const storage::v1::DeadRecord& one : progress.dead()) {
    position.dead.push_back({one.offset(), {one.points().begin(), one.points().end()}, one.reason()});
  }
  std::sort(position.dead.begin(), position.dead.end(),
            [](const StoredPosition::Dead& a, const StoredPosition::Dead& b) { return a.offset < b.offset; });
  return position;
}

}  // namespace millrace::telemetry_log
