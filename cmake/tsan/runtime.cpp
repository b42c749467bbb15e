// What every program of the `tsan` preset is linked with.
//
// 1. C11 threads by pthreads. librdkafka of the distribution uses thrd_create() and mtx_lock(), which
//    ThreadSanitizer does not intercept: a thread that it never saw crashes it, and a mutex that it
//    never saw orders nothing. glibc gives both families the same objects (C11 section 7.26;
//    glibc nptl/thrd_create.c), so the names are defined here over the functions that it does intercept.
// 2. Default options and suppressions, so that a program started by a test has them as well.

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <memory>
#include <new>

#include <pthread.h>
#include <threads.h>

static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t is a pthread_mutex_t");
static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t is a pthread_cond_t");
static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t is a pthread_t");

namespace {

struct Start {
  thrd_start_t function;
  void* argument;
};

void* run(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  return reinterpret_cast<void*>(static_cast<std::intptr_t>(start->function(start->argument)));
}

int result(int error) {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}

pthread_mutex_t* pthread(mtx_t* mutex) { return reinterpret_cast<pthread_mutex_t*>(mutex); }
pthread_cond_t* pthread(cnd_t* condition) { return reinterpret_cast<pthread_cond_t*>(condition); }

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  std::unique_ptr<Start> start(new (std::nothrow) Start{function, argument});
  if (!start) return thrd_nomem;
  const int error = pthread_create(thread, nullptr, run, start.get());
  if (error == 0) static_cast<void>(start.release());
  return result(error);
}

int thrd_join(thrd_t thread, int* code) {
  void* returned = nullptr;
  const int error = pthread_join(thread, &returned);
  if (error == 0 && code != nullptr) *code = static_cast<int>(reinterpret_cast<std::intptr_t>(returned));
  return result(error);
}

int mtx_init(mtx_t* mutex, int type) {
  pthread_mutexattr_t attributes;
  int error = pthread_mutexattr_init(&attributes);
  if (error != 0) return result(error);
  if ((type & mtx_recursive) != 0) error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  if (error == 0) error = pthread_mutex_init(pthread(mutex), &attributes);
  pthread_mutexattr_destroy(&attributes);
  return result(error);
}

void mtx_destroy(mtx_t* mutex) { pthread_mutex_destroy(pthread(mutex)); }
int mtx_lock(mtx_t* mutex) { return result(pthread_mutex_lock(pthread(mutex))); }
int mtx_trylock(mtx_t* mutex) { return result(pthread_mutex_trylock(pthread(mutex))); }
int mtx_unlock(mtx_t* mutex) { return result(pthread_mutex_unlock(pthread(mutex))); }

int cnd_init(cnd_t* condition) { return result(pthread_cond_init(pthread(condition), nullptr)); }
void cnd_destroy(cnd_t* condition) { pthread_cond_destroy(pthread(condition)); }
int cnd_signal(cnd_t* condition) { return result(pthread_cond_signal(pthread(condition))); }
int cnd_broadcast(cnd_t* condition) { return result(pthread_cond_broadcast(pthread(condition))); }

int cnd_wait(cnd_t* condition, mtx_t* mutex) { return result(pthread_cond_wait(pthread(condition), pthread(mutex))); }

int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const struct timespec* until) {
  return result(pthread_cond_timedwait(pthread(condition), pthread(mutex), until));
}

const char* __tsan_default_options(void) { return "halt_on_error=0:second_deadlock_stack=1:report_signal_unsafe=0"; }

// Libraries of the distribution are not instrumented: what they order by atomics is not seen, and their memcpy() would
// be reported. Accesses made by them are left out; what our code does is not. gRPC hands the end of a call from thread
// to thread by a lock-free queue: what its headers then do in our code is left out as well. librdkafka publishes a new
// mutex by an atomic.
const char* __tsan_default_suppressions(void) {
  return "race:grpc::internal::CallbackWithSuccessTag::Run\n"
         "race:^mtx_lock$\n"
         "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libabsl_strings.so\n"
         "called_from_lib:libabsl_status.so\n"
         "called_from_lib:libabsl_time.so\n"
         "called_from_lib:libabsl_time_zone.so\n"
         "called_from_lib:libabsl_graphcycles_internal.so\n"
         "called_from_lib:libabsl_cord.so\n"
         "called_from_lib:libprotobuf.so\n"
         "called_from_lib:librdkafka.so\n"
         "called_from_lib:libcoap-3-openssl.so\n";
}

}  // extern "C"
