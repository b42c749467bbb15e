#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "coap/coap_answer.hpp"
#include "ingest/ingest_worker.hpp"

namespace millrace::gateway {

struct BlockTransferLimits {
  std::size_t body_bytes = kMaxBodyBytes;
  std::size_t all_bytes = 16 * 1024 * 1024;  ///< of all transfers together
  std::size_t transfers = 1024;              ///< at once
  std::size_t per_device = 4;                ///< at once; a further one ends the device's oldest
  std::chrono::seconds idle{247};            ///< EXCHANGE_LIFETIME, as RFC 7959 section 2.5 proposes
};

/// Puts bodies together that come block by block (RFC 7959, Block1). Memory is spent for what has arrived, never for
/// what was announced. No I/O, no clock; one thread at a time.
class BlockTransfers {
 public:
  using Clock = std::chrono::steady_clock;

  struct Piece {
    std::string_view device;  ///< authenticated sender, `tenant/device`
    std::string key;          ///< tells transfers of the sender apart: peer, options, Request-Tag (RFC 9175)
    CoapBlock block;
    std::string_view data;
    std::optional<std::uint32_t> size1;  ///< announced size of the body
  };
  enum class Step {
    kContinue,
    kComplete,    ///< `body` is whole
    kIncomplete,  ///< not the next block: 4.08
    kMalformed,   ///< a block of another size than it says: 4.00
    kTooLarge,    ///< beyond body_bytes
    kNoRoom,      ///< beyond all_bytes or transfers: 5.03
  };

  explicit BlockTransfers(BlockTransferLimits limits = {}) : limits_(limits) {}

  [[nodiscard]] Step take(const Piece& piece, Clock::time_point now, std::string& body);

  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Transfer {
    std::string device;
    std::string key;
    std::string body;
    Clock::time_point last;
  };
  using Position = std::list<Transfer>::iterator;

  Position find(const Piece& piece);
  void drop(Position transfer);
  Position start(const Piece& piece, Clock::time_point now);

  BlockTransferLimits limits_;
  std::size_t bytes_ = 0;
  std::list<Transfer> transfers_;  // the one that moved last is last
};

}  // namespace millrace::gateway
