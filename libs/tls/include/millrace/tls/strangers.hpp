#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace millrace::tls {

/// Bounds the connections of one address that have not shown yet who they are, so that nobody without credentials takes
/// all places. Thread-safe; never blocks.
class Strangers : public std::enable_shared_from_this<Strangers> {
 public:
  /// The place of one connection; given back when the last copy goes.
  using Place = std::shared_ptr<const void>;

  explicit Strangers(std::size_t most_of_address) : most_(most_of_address) {}

  /// `address`: as of owner_of_address(). Null: it has as many as it may.
  [[nodiscard]] Place enter(const std::string& address);

 private:
  void leave(const std::string& address);

  const std::size_t most_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::size_t> counts_;  // of addresses that have one
};

}  // namespace millrace::tls
