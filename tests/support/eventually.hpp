#pragma once

#include <chrono>
#include <thread>

namespace millrace::testing {

/// Waits for a condition; the machine may be busy, so the deadline is generous. False: it never held.
template <typename Predicate>
[[nodiscard]] bool eventually(Predicate predicate, std::chrono::seconds deadline = std::chrono::seconds(90)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace millrace::testing
