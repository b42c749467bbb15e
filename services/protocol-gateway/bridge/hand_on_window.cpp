#include "bridge/hand_on_window.hpp"

#include <algorithm>
#include <utility>

namespace millrace::gateway {

std::uint64_t HandOnWindow::add(journal::Entry entry) {
  bytes_ += entry.body.size();
  slots_.push_back({State::kHandedOn, std::move(entry)});
  return first_ + slots_.size() - 1;
}

const journal::Entry& HandOnWindow::entry(std::uint64_t token) const {
  return slots_[static_cast<std::size_t>(token - first_)].entry;
}

void HandOnWindow::done(std::uint64_t token) {
  Slot& settled = slot(token);
  if (settled.state == State::kAgain) --again_;
  settled.state = State::kDone;
}

void HandOnWindow::again(std::uint64_t token) {
  Slot& settled = slot(token);
  if (settled.state != State::kHandedOn) return;
  settled.state = State::kAgain;
  ++again_;
  again_from_ = std::min(again_from_, token);
}

std::optional<std::uint64_t> HandOnWindow::take_again() {
  if (again_ == 0) return std::nullopt;
  std::uint64_t token = std::max(again_from_, first_);
  while (slot(token).state != State::kAgain) ++token;
  slot(token).state = State::kHandedOn;
  again_from_ = --again_ == 0 ? kNever : token + 1;
  return token;
}

std::optional<journal::Position> HandOnWindow::release() {
  std::optional<journal::Position> end;
  while (!slots_.empty() && slots_.front().state == State::kDone) {
    end = slots_.front().entry.end;
    bytes_ -= slots_.front().entry.body.size();
    slots_.pop_front();
    ++first_;
  }
  return end;
}

}  // namespace millrace::gateway
