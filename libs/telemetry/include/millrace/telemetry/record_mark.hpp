#pragma once

#include <cstdint>
#include <string_view>

#include <millrace/telemetry/batch.hpp>

namespace millrace::telemetry {

/// What identifies a record of the log when it is read again: whoever keeps a position keeps the mark of the record
/// before it, and so notices a log that was cut or replaced.
struct RecordMark {
  IngestId ingest_id;
  std::uint32_t checksum = 0;  ///< CRC-32C of the value
  bool operator==(const RecordMark&) const = default;
};

/// `facts` are the record's decoded facts, or a default Batch where it cannot be decoded.
[[nodiscard]] RecordMark mark_of(std::string_view value, const Batch& facts);

}  // namespace millrace::telemetry
