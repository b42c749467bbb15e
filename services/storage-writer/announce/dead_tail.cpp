#include "announce/dead_tail.hpp"

#include <algorithm>

#include <millrace/storage/v1/progress.pb.h>

namespace millrace::writer {
namespace {

// Not in the middle of a character: a protocol buffer's text is UTF-8.
std::string cut(std::string_view text) {
  if (text.size() <= DeadTail::kMostReasonBytes) return std::string(text);
  std::size_t end = DeadTail::kMostReasonBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return std::string(text.substr(0, end));
}

}  // namespace

void DeadTail::add(std::int64_t offset, std::vector<std::int32_t> points, std::string_view reason) {
  records_.insert_or_assign(offset, Record{std::move(points), cut(reason)});
  trim();
}

void DeadTail::add(const Slice& slice) {
  for (const DeadLetter& dead : slice.dead) add(dead.offset, dead.points, dead.reason);
  if (records_.empty()) return;
  for (const DroppedCopy& copy : slice.copies) {
    const auto original = records_.find(copy.original);
    if (original == records_.end()) continue;
    const Record same = original->second;
    add(copy.offset, same.points, same.reason);
  }
}

std::vector<std::int64_t> DeadTail::unknown_originals(const Slice& slice, const DeadTail& tail) {
  std::vector<std::int64_t> originals;
  for (const DroppedCopy& copy : slice.copies) {
    if (copy.original < tail.from_) originals.push_back(copy.original);
  }
  return originals;
}

void DeadTail::trim() {
  while (records_.size() > kMost) {
    from_ = std::max(from_, records_.begin()->first + 1);
    records_.erase(records_.begin());
  }
}

void DeadTail::write_to(storage::v1::Progress& progress) const {
  progress.set_dead_from(from_);
  for (const auto& [offset, record] : records_) {
    storage::v1::DeadRecord& dead = *progress.add_dead();
    dead.set_offset(offset);
    dead.set_reason(record.reason);
    for (const std::int32_t point : record.points) dead.add_points(point);
  }
}

}  // namespace millrace::writer
