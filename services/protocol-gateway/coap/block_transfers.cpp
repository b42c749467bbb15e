#include "coap/block_transfers.hpp"

#include <algorithm>

namespace millrace::gateway {

BlockTransfers::Position BlockTransfers::find(const Piece& piece) {
  return std::find_if(transfers_.begin(), transfers_.end(), [&](const Transfer& transfer) {
    return transfer.device == piece.device && transfer.key == piece.key;
  });
}

void BlockTransfers::drop(Position transfer) {
  bytes_ -= transfer->body.size();
  transfers_.erase(transfer);
}

BlockTransfers::Position BlockTransfers::start(const Piece& piece, Clock::time_point now) {
  const auto of_device = [&](const Transfer& transfer) { return transfer.device == piece.device; };
  if (static_cast<std::size_t>(std::count_if(transfers_.begin(), transfers_.end(), of_device)) >= limits_.per_device)
    drop(std::find_if(transfers_.begin(), transfers_.end(), of_device));
  return transfers_.insert(transfers_.end(), {std::string(piece.device), piece.key, {}, now});
}

BlockTransfers::Step BlockTransfers::take(const Piece& piece, Clock::time_point now, std::string& body) {
  while (!transfers_.empty() && now - transfers_.front().last > limits_.idle) drop(transfers_.begin());
  const CoapBlock& block = piece.block;
  if (block.more ? piece.data.size() != block.size() : piece.data.size() > block.size()) return Step::kMalformed;
  auto transfer = find(piece);
  if (piece.size1.value_or(0) > limits_.body_bytes || block.offset() + piece.data.size() > limits_.body_bytes) {
    if (transfer != transfers_.end()) drop(transfer);
    return Step::kTooLarge;
  }
  if (block.number == 0 && transfer != transfers_.end()) {
    drop(transfer);
    transfer = transfers_.end();
  }
  if (block.number != 0 && (transfer == transfers_.end() || block.offset() != transfer->body.size()))
    return Step::kIncomplete;
  if (bytes_ + piece.data.size() > limits_.all_bytes) return Step::kNoRoom;
  if (transfer == transfers_.end()) {
    if (transfers_.size() >= limits_.transfers) return Step::kNoRoom;
    transfer = start(piece, now);
  }
  transfer->body.append(piece.data);
  transfer->last = now;
  bytes_ += piece.data.size();
  if (block.more) {
    transfers_.splice(transfers_.end(), transfers_, transfer);
    return Step::kContinue;
  }
  bytes_ -= transfer->body.size();
  body = std::move(transfer->body);
  transfers_.erase(transfer);
  return Step::kComplete;
}

}  // namespace millrace::gateway
