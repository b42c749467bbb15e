#include "batch/batch.hpp"

namespace millrace::writer {

void Batch::count_hour(Slice& slice, std::int64_t offset, TimeUs log_time) {
  constexpr TimeUs kHour = 3'600 * kUsPerSecond;
  const bool same = !slice.hours.empty() && log_time < slice.hours.back().hour + kHour;  // log time never goes back
  if (!same) slice.hours.push_back({log_time - log_time % kHour, offset, offset});
  slice.hours.back().end = offset + 1;
}

void Batch::drop_rows(std::int32_t partition, std::int64_t offset) {
  std::erase_if(rows, [=](const Row& row) { return row.partition == partition && row.offset == offset; });
}

void Batch::drop(std::int32_t partition) {
  std::erase_if(rows, [partition](const Row& row) { return row.partition == partition; });
  slices.erase(partition);
}

}  // namespace millrace::writer
