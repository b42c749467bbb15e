#include "receipts/receipt_state.hpp"

namespace millrace::query_api {
namespace {

ReceiptAnswer unknown() { return {}; }

/// The record is in the log and the tenant's own.
ReceiptAnswer decide_own(const telemetry::Receipt& receipt, const StoredFacts& stored, const LogFacts& log) {
  ReceiptAnswer answer;
  if (!stored.known_partition || receipt.offset >= stored.next_offset) {
    answer.state = ReceiptState::kPending;
    return answer;
  }
  if (stored.original_offset) {
    telemetry::Receipt original = receipt;
    original.offset = *stored.original_offset;
    answer.original = original.to_string();
  }
  if (!stored.dead) {
    answer.state = ReceiptState::kStored;
    return answer;
  }
  const bool all = stored.dead->points.empty() || stored.dead->points.size() >= log.points;
  answer.state = all ? ReceiptState::kDeadLettered : ReceiptState::kPartly;
  answer.reason = stored.dead->reason;
  return answer;
}

}  // namespace

ReceiptAnswer decide(const telemetry::Receipt& receipt, const std::string& tenant, const StoredFacts& stored,
                     const LogFacts& log) {
  if (stored.lost) return {.state = ReceiptState::kLost, .reason = *stored.lost, .original = {}};
  // A record of another generation is not the one that now has this offset.
  if (receipt.generation != stored.generation) return unknown();
  if (receipt.offset >= log.high) return unknown();
  if (receipt.offset < log.low) {
    return {.state = ReceiptState::kExpired, .reason = "older than what the log keeps", .original = {}};
  }
  if (!log.tenant || *log.tenant != tenant) return unknown();
  return decide_own(receipt, stored, log);
}

}  // namespace millrace::query_api
