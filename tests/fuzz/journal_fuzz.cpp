// What a journal finds on a disk that lost power: headers, entries, checkpoints.
#include <string>

#include <millrace/journal/format.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::journal;

void check_header(std::string_view bytes) {
  const auto header = decode_header(bytes);
  if (header) require(bytes.starts_with(encode_header(*header)), "a header is written as it was read");
}

void check_entries(std::string_view rest) {
  while (!rest.empty()) {
    const Scanned scanned = scan_entry(rest);
    if (scanned.kind != Scanned::Kind::kEntry) return;
    require(!scanned.body.empty() && scanned.body.size() <= kMaxBodyBytes, "a body within its limits");
    require(scanned.size == scanned.body.size() + kEntryOverhead && scanned.size <= rest.size(),
            "an entry lies within the bytes");
    std::string again;
    encode_entry(scanned.body, again);
    require(rest.starts_with(again), "an entry is written as it was read");
    rest.remove_prefix(scanned.size);
  }
}

/// Whatever the bytes are: as the body of an entry they come back, and half an entry is none.
void check_round_trip(std::string_view body) {
  if (body.empty()) return;
  std::string entry;
  encode_entry(body, entry);
  const Scanned scanned = scan_entry(entry);
  require(scanned.kind == Scanned::Kind::kEntry && scanned.body == body, "what was written is read");
  require(scan_entry(std::string_view(entry).substr(0, entry.size() - 1)).kind == Scanned::Kind::kIncomplete,
          "an entry that was cut is incomplete");
}

void check_checkpoints(std::string_view bytes) {
  const Checkpoint found = decode_checkpoints(bytes);
  if (found.generation == 0) return;
  const std::string slot = encode_checkpoint(found);
  const Checkpoint again = decode_checkpoints(slot);
  require(again.generation == found.generation && again.file == found.file && again.offset == found.offset &&
              again.counter == found.counter,
          "a checkpoint is written as it was read");
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  check_header(bytes);
  check_entries(bytes);
  check_round_trip(bytes);
  check_checkpoints(bytes);
}

}  // namespace millrace::fuzz
