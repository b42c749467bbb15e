#pragma once

// The one header of this library that includes gRPC: for adapters that derive from generated services or call stubs.
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <millrace/base/result.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/rpc/auth.hpp>
#include <millrace/rpc/client.hpp>
#include <millrace/rpc/worker_pool.hpp>

namespace millrace::rpc {

/// The status with the error's kind as code and its message. kInternal and kCorrupt lose their message: it is for the
/// log.
[[nodiscard]] grpc::Status to_grpc_status(const Status& status);

/// The same with google.rpc.RetryInfo among its details: when the call may be tried again.
[[nodiscard]] grpc::Status with_retry_info(const grpc::Status& status, std::chrono::milliseconds after);
/// The delay of the status's google.rpc.RetryInfo; nothing: it has none.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_info_of(const grpc::Status& status);

/// What a client makes of an answer.
[[nodiscard]] Status from_grpc_status(const grpc::Status& status);

/// Sets deadline and authorization of one unary call.
void prepare(grpc::ClientContext& context, const ClientOptions& options);
/// The same without a deadline, for streams that live as long as their reader.
void prepare_stream(grpc::ClientContext& context, const ClientOptions& options);

enum class CallShape { kUnary, kStream };

struct MethodOptions {
  std::string_view name;       ///< `CreateDevice`; label `method`
  Role least = Role::kViewer;  ///< what the caller's key must be at least
  CallShape shape = CallShape::kUnary;
};

/// One RPC method: name, role and its metrics. Made once by Dispatcher::method(), kept by the service; cheap to copy.
class Method {
 public:
  struct State;

 private:
  friend class CallScope;
  friend class Dispatcher;
  explicit Method(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

/// What a handler knows about the call it answers.
struct Call {
  Caller caller;
  std::chrono::steady_clock::time_point deadline;  ///< the client's, capped; streams without one: time_point::max()
  grpc::CallbackServerContext* context = nullptr;

  [[nodiscard]] bool cancelled() const { return context->IsCancelled(); }
  /// Time left, at least 0.
  [[nodiscard]] std::chrono::milliseconds left() const;
};

/// One call from its arrival to its status: counts it, times it and logs it exactly once. Streams hold it by
/// themselves; unary calls get it from Dispatcher::unary().
class CallScope {
 public:
  /// A kThrottled outcome says that the call may be tried again after `retry_after`; 0: says nothing.
  CallScope(const Method& method, grpc::CallbackServerContext* context, Call call,
            std::chrono::milliseconds retry_after = {});
  ~CallScope();  ///< counts as CANCELLED if finish() was never called
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  [[nodiscard]] const Call& call() const { return call_; }

  /// Records the outcome and gives the status for Finish(), once. kUnavailable after the deadline is DEADLINE_EXCEEDED.
  [[nodiscard]] grpc::Status finish(const Status& outcome);

 private:
  friend class Dispatcher;
  void record(grpc::StatusCode code, std::string_view message);

  Method method_;
  Call call_;
  Result<Sha256> key_;
  std::chrono::steady_clock::time_point begin_;
  std::chrono::milliseconds retry_after_;
  std::atomic<bool> finished_{false};
};

/// When a unary call's key is looked at.
enum class Verify {
  kOnWorker,   ///< the verifier may block; nobody knows whose call waits
  kOnArrival,  ///< on gRPC's thread, by a verifier that answers from memory: calls wait in the lane of their tenant
};

struct DispatchOptions {
  std::chrono::milliseconds default_deadline{10'000};  ///< for unary calls that come without one
  std::chrono::milliseconds most_deadline{120'000};    ///< longer ones of unary calls are cut to this
  Verify verify = Verify::kOnWorker;
  std::chrono::milliseconds retry_after{0};  ///< what RESOURCE_EXHAUSTED advises; 0: nothing
};

/// The one way into a handler: metrics and log (millrace_rpc_*), deadline, authentication, role, worker pool, status.
/// Thread-safe. All references must outlive it and the server.
class Dispatcher {
 public:
  Dispatcher(ApiKeyVerifier& verifier, WorkerPool& pool, observability::Metrics& metrics,
             const DispatchOptions& options);

  [[nodiscard]] Method method(const MethodOptions& options);

  /// Answers a unary call: `work` runs on the pool after authentication and role check and fills the response; request
  /// and response stay valid until it returns. A full pool answers RESOURCE_EXHAUSTED at once, a call whose deadline
  /// passed in the queue DEADLINE_EXCEEDED without running. An exception that leaves `work` is INTERNAL.
  [[nodiscard]] grpc::ServerUnaryReactor* unary(grpc::CallbackServerContext* context, const Method& method,
                                                std::function<Status(const Call&)> work);

  /// First step of a stream: takes the scope, which the reactor keeps until its Finish().
  [[nodiscard]] std::unique_ptr<CallScope> open(grpc::CallbackServerContext* context, const Method& method);

  /// Second step of a stream: fills in the caller, checks the role. As blocking as the verifier is; with one that asks
  /// a database call it on the pool.
  [[nodiscard]] Status authenticate(CallScope& scope);

  [[nodiscard]] WorkerPool& pool() { return pool_; }

 private:
  [[nodiscard]] Error refusal(WorkerPool::Submitted why, const CallScope& scope) const;

  ApiKeyVerifier& verifier_;
  WorkerPool& pool_;
  observability::Metrics& metrics_;
  const DispatchOptions options_;
  observability::Counter rejected_;
};

}  // namespace millrace::rpc
