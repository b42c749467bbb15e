#include "batch/batch.hpp"

namespace millrace::writer {

void Batch::drop_rows(std::int32_t partition, std::int64_t offset) {
  std::erase_if(rows, [=](const Row& row) { return row.partition == partition && row.offset == offset; });
}

void Batch::drop(std::int32_t partition) {
  std::erase_if(rows, [partition](const Row& row) { return row.partition == partition; });
  slices.erase(partition);
}

}  // namespace millrace::writer
