#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "coap/coap_answer.hpp"

namespace millrace::gateway {

/// One message id of one peer: an address and port or, over DTLS, a session of it (RFC 7252 section 4.2: the endpoint
/// is identified by its security association too).
struct CoapExchangeKey {
  std::array<std::uint8_t, 16> address{};  ///< IPv4 as ::ffff:a.b.c.d
  std::uint64_t session = 0;               ///< number of the DTLS session; 0: none
  std::uint16_t port = 0;
  std::uint16_t message_id = 0;

  bool operator==(const CoapExchangeKey&) const = default;
};

struct CoapExchangeHash {
  std::size_t operator()(const CoapExchangeKey& key) const;
};

/// Requests by message id for as long as the id may come again, with their answers: a retransmission gets the same
/// answer (RFC 7252 section 4.5). libcoap does not do this. Bounded: the oldest one makes room, and what is forgotten
/// too early is recognised in the log (copy rule 3). No I/O, no clock; one thread at a time.
class CoapExchangeTable {
 public:
  using Clock = std::chrono::steady_clock;

  /// About 250 bytes each.
  explicit CoapExchangeTable(std::size_t most) : most_(most) {}

  struct Look {
    std::uint64_t id = 0;                ///< of the exchange, never 0
    bool repeated = false;               ///< the message came before
    const CoapAnswer* answer = nullptr;  ///< of a repeated one; null while it has none. Valid until the next call.
  };
  /// `fingerprint` tells a retransmission, which is equal byte for byte, from a device that began to count anew: with
  /// another fingerprint the message is a new one and takes the place.
  [[nodiscard]] Look begin(const CoapExchangeKey& key, std::uint64_t fingerprint, bool confirmable,
                           Clock::time_point now);

  /// The answer of a request (or a better one); nothing if it was forgotten.
  void finish(const CoapExchangeKey& key, std::uint64_t id, CoapAnswer answer);

  [[nodiscard]] std::size_t size() const { return exchanges_.size(); }

 private:
  struct Exchange {
    std::uint64_t id = 0;
    std::uint64_t fingerprint = 0;
    std::optional<CoapAnswer> answer;
  };
  struct Due {
    Clock::time_point time;
    CoapExchangeKey key;
    std::uint64_t id;
  };
  void forget(std::deque<Due>& due);
  void forget_until(Clock::time_point now);
  void make_room();

  std::size_t most_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<CoapExchangeKey, Exchange, CoapExchangeHash> exchanges_;
  // Each in the order of time, since all of a kind live equally long.
  std::deque<Due> confirmable_;
  std::deque<Due> other_;
};

}  // namespace millrace::gateway
