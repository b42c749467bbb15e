#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// Connection epochs: every connection gets a greater number than all before it, over restarts. The count of starts is
/// kept in
/// `<folder>/starts` (synced before the first epoch is given) and is the upper part; a lock on `<folder>/lock` keeps a
/// second gateway out of the folder.
class Epochs {
 public:
  /// kUnavailable: the folder cannot be written, or another gateway holds it. kCorrupt: the file is no number.
  [[nodiscard]] static Result<std::unique_ptr<Epochs>> open(const std::string& folder);
  ~Epochs();
  Epochs(const Epochs&) = delete;
  Epochs& operator=(const Epochs&) = delete;

  /// Thread-safe.
  [[nodiscard]] std::uint64_t next() { return base_ | counter_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Epochs(int lock, std::uint64_t starts);

  int lock_;
  std::uint64_t base_;
  std::atomic<std::uint64_t> counter_{1};
};

}  // namespace millrace::gateway
