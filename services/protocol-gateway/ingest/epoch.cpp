#include "ingest/epoch.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace millrace::gateway {
namespace {

constexpr unsigned kCounterBits = 40;  // a million connections a second for twelve days, then the next start's range

Error failed(const std::string& what, const std::string& path) {
  return Error{ErrorKind::kUnavailable, what + " " + path + ": " + std::strerror(errno)};
}

Result<std::uint64_t> read_starts(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::uint64_t{0};
  std::stringstream content;
  content << file.rdbuf();
  std::string text = content.str();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::uint64_t starts = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), starts);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size() ||
      starts >= (1ULL << (64 - kCounterBits)) - 1) {
    return Error{ErrorKind::kCorrupt,
                 path + " does not hold a count of starts; write a number into it that is greater than any before"};
  }
  return starts;
}

Status sync_path(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC);
  if (file < 0) return failed("cannot open", path);
  const int done = ::fsync(file);
  ::close(file);
  if (done != 0) return failed("cannot sync", path);
  return {};
}

Status write_starts(const std::string& folder, const std::string& path, std::uint64_t starts) {
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << starts << '\n';
    file.flush();
    if (!file) return failed("cannot write", temporary);
  }
  if (auto synced = sync_path(temporary, O_RDONLY); !synced.ok()) return synced;
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot replace", path);
  return sync_path(folder, O_RDONLY | O_DIRECTORY);
}

}  // namespace

Epochs::Epochs(int lock, std::uint64_t starts) : lock_(lock), base_(starts << kCounterBits) {}

Epochs::~Epochs() { ::close(lock_); }

Result<std::unique_ptr<Epochs>> Epochs::open(const std::string& folder) {
  const std::string lock_path = folder + "/lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return failed("cannot open", lock_path);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const Error error{ErrorKind::kUnavailable,
                      folder + " is in use by another gateway; give each its own state folder"};
    ::close(lock);
    return error;
  }
  const std::string path = folder + "/starts";
  const auto starts = read_starts(path);
  const Status written = starts.ok() ? write_starts(folder, path, *starts + 1) : Status(starts.error());
  if (!written.ok()) {
    ::close(lock);
    return written.error();
  }
  return std::unique_ptr<Epochs>(new Epochs(lock, *starts + 1));
}

}  // namespace millrace::gateway
