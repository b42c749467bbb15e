#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>

#include <millrace/rpc/call.hpp>
#include <millrace/rpc/worker_pool.hpp>

#include "export/export_job.hpp"
#include "millrace/query/v1/query.pb.h"
#include "rpc/stream_calls.hpp"

namespace millrace::query_api {

/// What exports share. All outlive the server.
struct ExportParts {
  rpc::Dispatcher& dispatcher;
  /// Threads for the pieces; its queue holds one job of each export that may be open.
  rpc::WorkerPool& workers;
  StreamCalls& calls;
  std::chrono::milliseconds most_of_a_piece;  ///< how long one may take
};

/// One Export call. Lives until gRPC's OnDone(), then deletes itself. A piece is read when the one before is written: a
/// slow reader holds nothing but one piece, neither a thread nor a connection.
class ExportReactor final : public grpc::ServerWriteReactor<query::v1::ExportResponse>, public StreamCall {
 public:
  ExportReactor(const ExportParts& parts, std::unique_ptr<rpc::CallScope> scope);

  /// Begins, or ends at once with an error.
  void begin(Result<std::unique_ptr<ExportJob>> job);
  void end(const Status& outcome) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void ask_for_piece();
  void read_piece();
  void take(Result<ExportPiece> piece);
  void finish(const Status& outcome);  // under the mutex

  ExportParts parts_;
  std::unique_ptr<rpc::CallScope> scope_;
  std::unique_ptr<ExportJob> job_;  // of the thread that reads a piece

  std::mutex mutex_;
  bool reading_ = false;  // a thread is about to read a piece, or does
  bool finished_ = false;
  bool last_ = false;
  std::optional<Error> wanted_end_;  // while reading_: how the call ends behind it
  query::v1::ExportResponse response_;
};

}  // namespace millrace::query_api
