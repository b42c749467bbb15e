#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/journal/format.hpp>

namespace millrace::journal {

struct Options {
  std::string folder;                               ///< made if it is not there; nobody else may use it
  std::size_t file_bytes = 64ULL * 1024 * 1024;     ///< a file this large is followed by the next
  std::size_t limit_bytes = 1024ULL * 1024 * 1024;  ///< of all files; at least four times file_bytes
  bool durable = true;                              ///< false: sync() has nothing to do
};

/// A place between two entries. Files are numbered from 1, over all runs.
struct Position {
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t counter = 0;  ///< of the entry that begins here

  std::strong_ordering operator<=>(const Position& other) const {
    return file != other.file ? file <=> other.file : offset <=> other.offset;
  }
  bool operator==(const Position& other) const { return file == other.file && offset == other.offset; }
};

struct Entry {
  RunId run{};
  std::uint64_t counter = 0;  ///< from 1 within its run, without holes
  Position end;               ///< where the next one begins
  std::string body;
};

/// What open() found of earlier runs.
struct Recovered {
  std::uint64_t entries = 0;              ///< that are not confirmed
  std::uint64_t torn_bytes = 0;           ///< behind the last whole entry of a file
  std::vector<std::string> damaged = {};  ///< files with a broken entry before their end; kept beside as *.damaged
};

/// The journal of one folder. append() puts an entry behind all others, a Reader gives them in order, confirm() says
/// that everything before a place is done: it is forgotten, and its files are removed. Survives the end of the process
/// at any point; what survives the loss of power is what sync() was called for. Thread-safe but for the Reader.
class Journal {
 public:
  /// Blocks while it reads what is not confirmed. kUnavailable: the folder cannot be used.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(const Options& options);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  [[nodiscard]] const Recovered& recovered() const;

  enum class Room { kWithinLimit, kBeyondLimit };
  /// Blocks for a write to the page cache. kThrottled: the journal is full (not with kBeyondLimit). kUnavailable: the
  /// disk did not take it, nothing was kept and the same call may be made again. kInvalid: no body of the allowed size.
  [[nodiscard]] Status append(std::string_view body, Room room = Room::kWithinLimit);

  /// Waits until confirm() has freed something, at most `timeout`.
  void wait_for_room(std::chrono::milliseconds timeout);

  /// Puts what was appended and confirmed on the disk; returns at once if there is nothing. Blocks as long as the disk
  /// takes.
  [[nodiscard]] Status sync();

  /// Everything before `done` is done. Kept as soon as it returns. An older place than the last one changes nothing.
  [[nodiscard]] Status confirm(const Position& done);

  [[nodiscard]] Position confirmed() const;
  [[nodiscard]] std::size_t bytes() const;  ///< of all files

 private:
  friend class Reader;
  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Goes through a journal from what is confirmed to its end, and on as it grows. One thread at a time; the journal must
/// outlive it.
class Reader {
 public:
  explicit Reader(Journal& journal);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// The next entry; none: there is no further one yet. kCorrupt, kUnavailable: what was written cannot be read.
  [[nodiscard]] Result<std::optional<Entry>> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::journal
