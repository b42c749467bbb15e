#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "batch/batch.hpp"

namespace millrace::storage::v1 {
class Progress;
}

namespace millrace::writer {

/// The youngest dead records of one partition, and the copies of them: what a position message says of the records
/// below it. Bounded. A plain value; one thread at a time.
class DeadTail {
 public:
  static constexpr std::size_t kMost = 200;
  static constexpr std::size_t kMostReasonBytes = 200;

  struct Record {
    std::vector<std::int32_t> points;  ///< empty: the whole record
    std::string reason;                ///< cut to kMostReasonBytes
  };

  /// Knows of no dead record before `from`.
  explicit DeadTail(std::int64_t from = 0) : from_(from) {}

  /// All dead records from here on are known.
  [[nodiscard]] std::int64_t from() const { return from_; }

  void add(std::int64_t offset, std::vector<std::int32_t> points, std::string_view reason);
  /// What a committed slice buried, and its copies of what is known as dead.
  void add(const Slice& slice);
  /// Originals of the slice's copies that are too old to be known here.
  [[nodiscard]] static std::vector<std::int64_t> unknown_originals(const Slice& slice, const DeadTail& tail);

  void write_to(storage::v1::Progress& progress) const;

 private:
  void trim();

  std::int64_t from_;
  std::map<std::int64_t, Record> records_;
};

}  // namespace millrace::writer
