#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <millrace/journal/journal.hpp>

#include "file.hpp"

namespace millrace::journal {

/// One file of the journal as far as it can be used.
struct FileState {
  FileHeader header;
  std::size_t size = 0;  ///< up to the last whole entry
  bool damaged = false;  ///< renamed, not removed, when it is done
};
using Files = std::map<std::uint64_t, FileState>;  // by number

[[nodiscard]] std::string file_path(const std::string& folder, std::uint64_t number);

/// Removes the file, or puts it aside if it is damaged.
void drop_file(const std::string& folder, std::uint64_t number, const FileState& state);

/// What earlier runs left. Files that are done are dropped; `done` is moved to where reading begins.
struct Recovery {
  Files files;
  Recovered found;
  std::uint64_t highest = 0;  ///< number of any file ever seen
};
[[nodiscard]] Result<Recovery> recover(const std::string& folder, const Checkpoint& done);

}  // namespace millrace::journal
