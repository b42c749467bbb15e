#include "batch/batch.hpp"

namespace millrace::writer {

void Batch::drop(std::int32_t partition) {
  std::erase_if(rows, [partition](const Row& row) { return row.partition == partition; });
  slices.erase(partition);
}

}  // namespace millrace::writer
