#include "rpc/stream_calls.hpp"

namespace millrace::query_api {

void StreamCalls::add(StreamCall* call) {
  const std::lock_guard lock(mutex_);
  open_.push_back(call);
}

void StreamCalls::remove(StreamCall* call) {
  const std::lock_guard lock(mutex_);
  std::erase(open_, call);
}

void StreamCalls::end_all() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (StreamCall* call : open_) call->end(Error{ErrorKind::kUnavailable, "the service is stopping; call again"});
}

bool StreamCalls::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

}  // namespace millrace::query_api
