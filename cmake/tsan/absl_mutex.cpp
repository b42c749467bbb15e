// gRPC of the distribution orders its threads with absl::Mutex, which is not instrumented. These definitions stand
// before those of libabsl_synchronization: they call them, and tell ThreadSanitizer who waited for whom.

#include <cstdlib>

#include <absl/synchronization/mutex.h>
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

template <typename Function>
Function next(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();  // the distribution's Abseil changed its inline namespace
  return reinterpret_cast<Function>(found);
}

#define MILLRACE_ABSL(rest) "_ZN4absl7debian3" rest

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static const auto real = next<void (*)(Mutex*)>(MILLRACE_ABSL("5Mutex4LockEv"));
  real(this);
  __tsan_acquire(this);
}

bool Mutex::TryLock() {
  static const auto real = next<bool (*)(Mutex*)>(MILLRACE_ABSL("5Mutex7TryLockEv"));
  const bool locked = real(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::Unlock() {
  static const auto real = next<void (*)(Mutex*)>(MILLRACE_ABSL("5Mutex6UnlockEv"));
  __tsan_release(this);
  real(this);
}

void CondVar::Wait(Mutex* mutex) {
  static const auto real = next<void (*)(CondVar*, Mutex*)>(MILLRACE_ABSL("7CondVar4WaitEPNS0_5MutexE"));
  __tsan_release(mutex);
  real(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static const auto real =
      next<bool (*)(CondVar*, Mutex*, Duration)>(MILLRACE_ABSL("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
  __tsan_release(mutex);
  const bool expired = real(this, mutex, timeout);
  __tsan_acquire(mutex);
  return expired;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static const auto real =
      next<bool (*)(CondVar*, Mutex*, Time)>(MILLRACE_ABSL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
  __tsan_release(mutex);
  const bool expired = real(this, mutex, deadline);
  __tsan_acquire(mutex);
  return expired;
}

ABSL_NAMESPACE_END
}  // namespace absl
