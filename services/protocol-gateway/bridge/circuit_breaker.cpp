#include "bridge/circuit_breaker.hpp"

#include <utility>

namespace millrace::gateway {

bool CircuitBreaker::allows(Clock::time_point now) {
  if (state_ == State::kOpen && now >= until_) state_ = State::kHalfOpen;
  if (state_ == State::kHalfOpen) return !std::exchange(trying_, true);
  return state_ == State::kClosed;
}

void CircuitBreaker::succeeded() {
  state_ = State::kClosed;
  count_ = 0;
  trying_ = false;
}

void CircuitBreaker::failed(Clock::time_point now) {
  ++count_;
  trying_ = false;
  if (state_ == State::kClosed && count_ < failures_) return;
  state_ = State::kOpen;
  until_ = now + open_for_;
}

}  // namespace millrace::gateway
