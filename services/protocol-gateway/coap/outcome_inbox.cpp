#include "coap/outcome_inbox.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include <sys/eventfd.h>
#include <unistd.h>

namespace millrace::gateway {

OutcomeInbox::OutcomeInbox() : descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (descriptor_ < 0) throw std::runtime_error(std::string("eventfd: ") + std::strerror(errno));
}

OutcomeInbox::~OutcomeInbox() { ::close(descriptor_); }

void OutcomeInbox::wake() const {
  // It fails only while the counter is at its end, and then the descriptor is readable anyway.
  static_cast<void>(::eventfd_write(descriptor_, 1));
}

void OutcomeInbox::settle(std::uint64_t token, const Outcome& outcome) {
  const std::lock_guard lock(mutex_);
  waiting_.emplace_back(token, outcome);
}

void OutcomeInbox::flush() {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty() || std::exchange(told_, true)) return;
  }
  wake();
}

std::vector<std::pair<std::uint64_t, Outcome>> OutcomeInbox::take() {
  eventfd_t ignored = 0;
  static_cast<void>(::eventfd_read(descriptor_, &ignored));
  const std::lock_guard lock(mutex_);
  told_ = false;
  return std::exchange(waiting_, {});
}

}  // namespace millrace::gateway
