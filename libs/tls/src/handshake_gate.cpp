#include <utility>

#include <millrace/tls/handshake_gate.hpp>

namespace millrace::tls {

void HandshakeGate::enter(const std::string& address, const std::shared_ptr<Waiter>& waiter) {
  {
    const std::lock_guard lock(mutex_);
    Line& line = lines_[address];
    const bool room = counts_.under_way < options_.most && line.under_way < options_.most_of_address;
    if (!room || !line.waiting.empty()) {
      line.waiting.push_back(waiter);
      ++counts_.waiting;
      return take_turn(address, line);
    }
    ++counts_.under_way;
    ++line.under_way;
  }
  waiter->on_place(place_of(address));
}

HandshakeGate::Counts HandshakeGate::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

HandshakeGate::Place HandshakeGate::place_of(const std::string& address) {
  return {nullptr, [gate = shared_from_this(), address](const void* /*nothing*/) { gate->give_back(address); }};
}

void HandshakeGate::give_back(const std::string& address) {
  std::string of;
  std::shared_ptr<Waiter> waiter;
  {
    const std::lock_guard lock(mutex_);
    --counts_.under_way;
    const auto line = lines_.find(address);
    --line->second.under_way;
    if (line->second.under_way == 0 && line->second.waiting.empty()) {
      lines_.erase(line);
    } else {
      take_turn(address, line->second);
    }
    waiter = next(of);
  }
  // One place was given back, so at most one waiter had been kept out by it.
  if (waiter) waiter->on_place(place_of(of));
}

void HandshakeGate::take_turn(const std::string& address, Line& line) {
  if (line.in_turns || line.waiting.empty() || line.under_way >= options_.most_of_address) return;
  line.in_turns = true;
  turns_.push_back(address);
}

/// The first one that is still there; its place is taken.
std::shared_ptr<HandshakeGate::Waiter> HandshakeGate::next(std::string& address) {
  while (!turns_.empty() && counts_.under_way < options_.most) {
    address = std::move(turns_.front());
    turns_.pop_front();
    const auto found = lines_.find(address);
    Line& line = found->second;
    line.in_turns = false;
    std::shared_ptr<Waiter> waiter = line.waiting.front().lock();
    line.waiting.pop_front();
    --counts_.waiting;
    if (waiter) {
      ++counts_.under_way;
      ++line.under_way;
    }
    if (line.under_way == 0 && line.waiting.empty()) {
      lines_.erase(found);
    } else {
      take_turn(address, line);
    }
    if (waiter) return waiter;
  }
  return nullptr;
}

}  // namespace millrace::tls
