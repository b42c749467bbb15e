#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include <millrace/base/token_bucket.hpp>

namespace millrace::gateway {

/// How often passwords may be tried that turn out to be wrong, by device and by address. What is right costs nothing,
/// so that a fleet behind one address is not held up. Bounded; thread-safe.
class PasswordGuard {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    TokenRate device{0.1, 10};  ///< wrong passwords for one device
    TokenRate address{1, 256};  ///< wrong passwords from one address, those that are being checked too
    std::size_t most = 50'000;  ///< devices and addresses remembered, each
  };

  explicit PasswordGuard(const Options& options)
      : options_(options), devices_(options.most), addresses_(options.most) {}

  /// Zero: the password may be tried, which takes one try until give_back(). Else how long to wait.
  [[nodiscard]] std::chrono::milliseconds begin(std::string_view device_key, std::string_view address,
                                                Clock::time_point now);
  /// It was right, or was not tried after all.
  void give_back(std::string_view device_key, std::string_view address);

 private:
  // Tokens of one rate by name; the one that was not used longest makes room.
  class Table {
   public:
    explicit Table(std::size_t most) : most_(most) {}
    [[nodiscard]] TokenBucket& bucket(std::string_view name);

   private:
    struct Entry {
      std::string name;
      TokenBucket bucket;
    };
    std::size_t most_;
    std::list<Entry> order_;  // the last one used first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> places_;
  };

  Options options_;
  std::mutex mutex_;
  Table devices_;
  Table addresses_;
};

/// What of an address tells its owner: all of IPv4, the first 64 bits of IPv6 (RFC 6177: a site has at least those).
[[nodiscard]] std::string owner_of_address(const std::string& host);

}  // namespace millrace::gateway
