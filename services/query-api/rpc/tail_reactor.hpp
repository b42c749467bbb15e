#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

#include <millrace/rpc/call.hpp>

#include "millrace/query/v1/query.pb.h"
#include "rpc/stream_calls.hpp"
#include "tail/tail_hub.hpp"

namespace millrace::query_api {

/// One Tail call. Lives until gRPC's OnDone(), then deletes itself. One write is under way at a time; what comes
/// meanwhile waits in the reader's bounded queue.
class TailReactor final : public grpc::ServerWriteReactor<query::v1::TailResponse>, public StreamCall {
 public:
  TailReactor(TailHub& hub, StreamCalls& calls, rpc::Dispatcher& dispatcher, std::unique_ptr<rpc::CallScope> scope);
  ~TailReactor() override;

  /// Begins, or ends at once with an error.
  void begin(Result<TailFilter> filter);
  void end(const Status& outcome) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void pump();

  TailHub& hub_;
  StreamCalls& calls_;
  rpc::Dispatcher& dispatcher_;
  std::unique_ptr<rpc::CallScope> scope_;
  std::shared_ptr<TailReader> reader_;

  std::mutex mutex_;
  bool writing_ = false;
  bool announced_ = false;
  bool ended_ = false;
  query::v1::TailResponse response_;
  std::chrono::steady_clock::time_point checked_;
};

}  // namespace millrace::query_api
