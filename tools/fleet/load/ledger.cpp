#include "load/ledger.hpp"

#include <charconv>

namespace millrace::fleet {

std::optional<Receipt> parse_receipt(std::string_view text) {
  Receipt receipt;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, receipt.partition);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, receipt.offset);
  // A generation may follow: `3:4711.1`.
  if (second.ec != std::errc{} || (second.ptr != end && *second.ptr != '.')) return std::nullopt;
  if (receipt.partition < 0 || receipt.offset < 0) return std::nullopt;
  return receipt;
}

void Ledger::made(std::size_t device, const Message& message) {
  LedgerEntry entry;
  entry.time_us = message.time_us;
  entry.timed = message.timed;
  devices_[device].push_back(entry);
}

void Ledger::sent(std::size_t device, std::uint32_t index) {
  LedgerEntry& entry = devices_[device][index - 1];
  if (entry.fate == Fate::kMade) entry.fate = Fate::kSent;
}

void Ledger::acknowledged(std::size_t device, std::uint32_t index, const Receipt& receipt) {
  LedgerEntry& entry = devices_[device][index - 1];
  entry.fate = Fate::kAcknowledged;
  entry.receipt = receipt;
}

void Ledger::refused(std::size_t device, std::uint32_t index) { devices_[device][index - 1].fate = Fate::kRefused; }

}  // namespace millrace::fleet
