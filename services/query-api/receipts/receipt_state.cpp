#include "receipts/receipt_state.hpp"

namespace millrace::query_api {
namespace {

/// What a break of the log made of a record of the generation that ended with it; nothing: the record is still there.
std::optional<ReceiptAnswer> ended_with(const storage_schema::LogBreak& one, std::int64_t offset) {
  if (offset >= one.lost_from && offset < one.lost_to) {
    return ReceiptAnswer{.state = ReceiptState::kLost, .reason = one.reason, .original = {}};
  }
  if (!one.replaced() || offset < one.resume) return std::nullopt;
  return ReceiptAnswer{.state = ReceiptState::kExpired,
                       .reason = "it was stored, but the log that named its tenant was cut or replaced: " + one.reason,
                       .original = {}};
}

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

ReceiptAnswer unknown(std::string reason) {
  return {.state = ReceiptState::kUnknown, .reason = std::move(reason), .original = {}};
}

ReceiptAnswer decide(const telemetry::Receipt& receipt, const std::string& tenant, const StoredFacts& stored,
                     const LogFacts& log) {
  if (receipt.generation > stored.generation) {
    return unknown("generation " + std::to_string(receipt.generation) + " of the partition has not begun");
  }
  for (const storage_schema::LogBreak& one : stored.breaks) {
    if (auto ended = ended_with(one, receipt.offset)) return *std::move(ended);
  }
  if (receipt.offset >= log.high) return unknown(kBeyondTheLog);
  if (receipt.offset < log.low) {
    return {.state = ReceiptState::kExpired, .reason = "older than what the log keeps", .original = {}};
  }
  if (!log.tenant || *log.tenant != tenant) return unknown(kNotOfTheTenant);
  return decide_own(receipt, stored, log);
}

}  // namespace millrace::query_api
