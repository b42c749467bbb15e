#include "io/heap_trim.hpp"

#include <chrono>

#include <malloc.h>

namespace millrace::gateway {
namespace {

constexpr std::size_t kWorth = std::size_t{64} * 1024 * 1024;
constexpr std::chrono::seconds kEvery{5};

}  // namespace

void HeapTrim::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void HeapTrim::run(const std::stop_token& stop) {
  TrimRule rule(kWorth);
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      static_cast<void>(wake_.wait_for(lock, stop, kEvery, [] { return false; }));
    }
    const std::size_t free_bytes = ::mallinfo2().fordblks;  // of all arenas
    if (!rule.look(free_bytes)) continue;
    ::malloc_trim(0);
    log_.info("free memory was given back", {{"free_bytes", free_bytes}});
  }
}

}  // namespace millrace::gateway
