#pragma once

#include <mutex>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::query_api {

/// A call that lives as long as its reader.
class StreamCall {
 public:
  virtual ~StreamCall() = default;
  /// Ends it from outside: the server stops. From any thread, returns at once.
  virtual void end(const Status& outcome) = 0;
};

/// Open streams, so that a stop can end them. Thread-safe.
class StreamCalls {
 public:
  void add(StreamCall* call);
  void remove(StreamCall* call);
  /// Ends all that are open; each that comes later asks ended() and ends itself.
  void end_all();
  [[nodiscard]] bool ended() const;

 private:
  mutable std::mutex mutex_;
  std::vector<StreamCall*> open_;
  bool ended_ = false;
};

}  // namespace millrace::query_api
