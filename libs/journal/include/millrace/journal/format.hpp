#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::journal {

/// 128 random bits, drawn each time a journal is opened. Together with an entry's counter they name it for ever: what a
/// run lost of its tail (power) is never named again by the next one.
using RunId = std::array<std::uint8_t, 16>;

/// What stands at the beginning of each file: `MRJ1`, run, counter of the first entry (64 bits), CRC-32C of those. All
/// numbers are little-endian.
struct FileHeader {
  RunId run{};
  std::uint64_t first_counter = 0;
};
inline constexpr std::size_t kFileHeaderBytes = 32;

[[nodiscard]] std::string encode_header(const FileHeader& header);
/// kCorrupt: these bytes begin no journal file. Looks at the first kFileHeaderBytes.
[[nodiscard]] Result<FileHeader> decode_header(std::string_view bytes);

/// An entry: CRC-32C of all that follows (32 bits), length of the body (32 bits), body.
inline constexpr std::size_t kEntryOverhead = 8;
inline constexpr std::size_t kMaxBodyBytes = 4 * 1024 * 1024;

/// Appends one entry to `out`. The body has 1 to kMaxBodyBytes bytes.
void encode_entry(std::string_view body, std::string& out);

struct Scanned {
  enum class Kind {
    kEntry,       ///< `body` is whole and its checksum right
    kIncomplete,  ///< the bytes end within the entry: more is to come, or the tail was torn off
    kBroken,      ///< no entry can begin with these bytes
  };
  Kind kind = Kind::kIncomplete;
  std::string_view body;  ///< within the bytes given
  std::size_t size =
      0;  ///< of the entry; kIncomplete and kBroken: what its length says, 0 if that is unknown or absurd
};
/// The entry at the beginning of `bytes`.
[[nodiscard]] Scanned scan_entry(std::string_view bytes);

/// How far everything is done, in one of two slots that are written in turn, so that a torn one leaves the other.
struct Checkpoint {
  std::uint64_t generation = 0;  ///< the greater one holds
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t counter = 0;  ///< of the entry at `offset`
};
inline constexpr std::size_t kCheckpointBytes = 36;
inline constexpr std::size_t kCheckpointSlotBytes = 512;  ///< a disk writes no less at once

[[nodiscard]] std::string encode_checkpoint(const Checkpoint& checkpoint);
/// The newest valid one of the two slots; generation 0 where there is none. `bytes` is what the file holds.
[[nodiscard]] Checkpoint decode_checkpoints(std::string_view bytes);

}  // namespace millrace::journal
