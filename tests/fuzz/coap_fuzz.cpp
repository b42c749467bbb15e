// The query of a CoAP request, and bodies that come block by block: as a script of pieces, held against a plain map.
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coap/block_transfers.hpp"
#include "coap/coap_query.hpp"
#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::gateway;

/// `bytes` as options, `&` between them.
void check_query(std::string_view bytes) {
  std::vector<std::string_view> items;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('&'), bytes.size());
    items.push_back(bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  const auto query = parse_coap_query(items);
  if (!query) {
    require(!query.error().message.empty(), "a refusal says why");
    return;
  }
  require(query->message_id.size() <= 128, "an id within its limit");
  const std::size_t given = static_cast<std::size_t>(!query->device.empty()) + !query->token.empty() +
                            !query->message_id.empty() + !query->traceparent.empty() + !query->ack.empty();
  require(given == items.size(), "every parameter has its meaning");
}

/// Three bytes each: whose (and time), block number and size, how much data.
class Pieces {
 public:
  void take(unsigned who, unsigned block, unsigned length) {
    constexpr std::size_t kSmallest = 16;
    now_ += std::chrono::seconds(who >> 6U) * 50;
    const std::string device = "t/" + std::to_string(who & 3U);
    BlockTransfers::Piece piece{device,
                                std::to_string(who >> 2U & 3U),
                                {block >> 3U, (block & 1U) != 0, static_cast<std::uint8_t>(block >> 1U & 3U)},
                                {},
                                std::nullopt};
    std::string data(
        piece.block.more && (length & 0x80U) == 0 ? kSmallest << piece.block.size_exponent : length & 0x7FU,
        static_cast<char>(length));
    piece.data = data;
    if (length == 0xFF) piece.size1 = limits_.body_bytes + 1;
    std::string body;
    check(piece, transfers_.take(piece, now_, body), body);
    require(transfers_.bytes() <= limits_.all_bytes, "no more is kept than the limit");
  }

  void finish() {
    now_ += limits_.idle + std::chrono::seconds(1);
    std::string body;
    static_cast<void>(transfers_.take({"t/last", "", {}, {}, std::nullopt}, now_, body));
    require(transfers_.bytes() == 0, "what nobody goes on with is forgotten");
  }

 private:
  void check(const BlockTransfers::Piece& piece, BlockTransfers::Step step, const std::string& body) {
    std::string& sent = sent_[{std::string(piece.device), piece.key}];
    switch (step) {
      case BlockTransfers::Step::kContinue:
      case BlockTransfers::Step::kComplete:
        if (piece.block.number == 0) sent.clear();
        require(sent.size() == piece.block.offset(), "a block is taken in its place only");
        sent += piece.data;
        if (step == BlockTransfers::Step::kContinue) return;
        require(body == sent && body.size() <= limits_.body_bytes, "a body is what was sent, and within its limit");
        sent.clear();
        return;
      case BlockTransfers::Step::kTooLarge:
        sent.clear();
        return;
      case BlockTransfers::Step::kIncomplete:
      case BlockTransfers::Step::kMalformed:
      case BlockTransfers::Step::kNoRoom:
        return;
    }
  }

  BlockTransferLimits limits_{.body_bytes = 300, .all_bytes = 700, .transfers = 6, .per_device = 2};
  BlockTransfers transfers_{limits_};
  BlockTransfers::Clock::time_point now_{std::chrono::hours(1)};
  std::map<std::pair<std::string, std::string>, std::string> sent_;
};

void check_blocks(std::string_view script) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(script[i])); };
  Pieces pieces;
  for (; script.size() >= 3; script.remove_prefix(3)) pieces.take(at(0), at(1), at(2));
  pieces.finish();
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  check_query(bytes);
  check_blocks(bytes);
}

}  // namespace millrace::fuzz
