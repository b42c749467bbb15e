#include "load/outcome.hpp"

namespace millrace::fleet {

void Outcome::made(std::size_t device, const Message& message) {
  ++made_count;
  if (ledger_ != nullptr) ledger_->made(device, message);
}

void Outcome::sent(std::size_t device, const Message& message) {
  ++sent_count;
  if (ledger_ != nullptr) ledger_->sent(device, message.index);
  if (observer_ != nullptr) observer_->on_sent(device, message);
}

void Outcome::acknowledged(std::size_t device, const Message& message, const Receipt& receipt, std::int64_t now_ns) {
  ++acknowledged_count;
  ack_latencies.add(now_ns - message.due_ns);
  if (ledger_ != nullptr) ledger_->acknowledged(device, message.index, receipt);
}

void Outcome::refused(std::size_t device, const Message& message) {
  ++refused_count;
  if (ledger_ != nullptr) ledger_->refused(device, message.index);
}

}  // namespace millrace::fleet
