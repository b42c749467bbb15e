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

/// How often passwords may be tried that turn out to be wrong: for one device from one address, so that whoever guesses
/// elsewhere does not shut the device out, from one address for all devices, and, far looser, for one device from all
/// addresses. What is right costs nothing, so that a fleet behind one address is not held up. Bounded: the pair,
/// address or device that was not used longest is forgotten. Thread-safe.
class PasswordGuard {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    TokenRate pair{0.1, 10};    ///< wrong passwords for one device from one address
    TokenRate address{1, 256};  ///< from one address, those that are being checked too
    TokenRate device{1, 100};   ///< for one device from all addresses
    std::size_t most = 50'000;  ///< pairs, addresses and devices remembered, each
  };

  explicit PasswordGuard(const Options& options)
      : options_(options), pairs_(options.most), addresses_(options.most), devices_(options.most) {}

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
  struct Share {
    Table* table;
    std::string_view name;
    TokenRate rate;
  };

  Options options_;
  std::mutex mutex_;
  Table pairs_;
  Table addresses_;
  Table devices_;
};

}  // namespace millrace::gateway
