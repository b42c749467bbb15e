#pragma once

#include <array>
#include <chrono>
#include <mutex>
#include <optional>

#include <openssl/ssl.h>

namespace millrace::tls {

/// The keys that session tickets are sealed with (RFC 5077 section 4): the newest seals, the one before still opens. A
/// stolen key so opens the tickets of two periods and no more. Thread-safe.
class TicketKeys {
 public:
  static constexpr std::chrono::hours kPeriod{2};

  using Clock = std::chrono::steady_clock;

  struct Key {
    std::array<unsigned char, 16> name{};
    std::array<unsigned char, 32> cipher{};
    std::array<unsigned char, 32> mac{};
    Clock::time_point made;
  };

  /// The key to seal with; none if there is no randomness.
  [[nodiscard]] std::optional<Key> sealing(Clock::time_point now);

  struct Opening {
    Key key;
    bool newest = false;
  };
  [[nodiscard]] std::optional<Opening> opening(const unsigned char* name, Clock::time_point now);

  /// Makes the context's tickets use these keys, which must outlive it.
  void install(SSL_CTX& context);

 private:
  [[nodiscard]] bool rotate(Clock::time_point now);

  std::mutex mutex_;
  std::optional<Key> newest_;
  std::optional<Key> before_;
};

}  // namespace millrace::tls
