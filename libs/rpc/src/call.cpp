#include <algorithm>
#include <exception>
#include <mutex>
#include <optional>

#include <millrace/observability/log.hpp>
#include <millrace/rpc/call.hpp>
#include <millrace/rpc/status.hpp>

namespace millrace::rpc {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kCodes = 17;

const observability::Logger& log() {
  static const observability::Logger kLog("rpc");
  return kLog;
}

Result<Sha256> key_of(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) return bearer_key_sha256("");
  return bearer_key_sha256({found->second.data(), found->second.size()});
}

/// gRPC's deadlines are of the wall clock; ours of the steady one, so that a clock step does not fail running calls.
steady_clock::time_point deadline_of(const grpc::CallbackServerContext& context, CallShape shape,
                                     const DispatchOptions& options) {
  const auto now = steady_clock::now();
  const auto given = context.deadline();
  const bool has_deadline = given != std::chrono::system_clock::time_point::max();
  if (!has_deadline)
    return shape == CallShape::kStream ? steady_clock::time_point::max() : now + options.default_deadline;
  const auto left = duration_cast<milliseconds>(given - std::chrono::system_clock::now());
  return now + (shape == CallShape::kStream ? left : std::min(left, options.most_deadline));
}

Error too_late() {
  return {ErrorKind::kUnknownOutcome, "the deadline passed before the call was begun; nothing was done"};
}

/// What gave up waiting at the call's own deadline says that something does not answer. UNAVAILABLE invites to call
/// again at once; that the time was too short is what the caller has to know.
Status told_at_deadline(const Status& outcome, const Call& call) {
  if (outcome.ok() || outcome.error().kind != ErrorKind::kUnavailable || call.left().count() > 0) return outcome;
  return Error{ErrorKind::kUnknownOutcome, "the deadline passed: " + outcome.error().message};
}

}  // namespace

struct Method::State {
  State(observability::Metrics& registry, const MethodOptions& method)
      : name(method.name),
        least(method.least),
        shape(method.shape),
        metrics(registry),
        seconds(registry.histogram("millrace_rpc_duration_seconds", "Time from a call's arrival to its status.",
                                   observability::latency_buckets(), {{"method", name}})),
        running(registry.gauge("millrace_rpc_running_calls", "Calls that have no status yet.", {{"method", name}})) {}

  observability::Counter& counter(Code code) {
    const std::lock_guard lock(mutex);
    auto& slot = by_code.at(static_cast<std::size_t>(code) % kCodes);
    if (!slot) {
      slot = metrics.counter("millrace_rpc_calls_total", "Calls by method and gRPC status code.",
                             {{"method", name}, {"code", std::string(to_string(code))}});
    }
    return *slot;
  }

  const std::string name;
  const Role least;
  const CallShape shape;
  observability::Metrics& metrics;
  const observability::Histogram seconds;
  const observability::Gauge running;
  std::mutex mutex;
  std::array<std::optional<observability::Counter>, kCodes> by_code;
  observability::LogLimiter failures;
};

milliseconds Call::left() const {
  if (deadline == steady_clock::time_point::max()) return milliseconds::max();
  return std::max(milliseconds{0}, duration_cast<milliseconds>(deadline - steady_clock::now()));
}

CallScope::CallScope(const Method& method, grpc::CallbackServerContext* context, Call call, milliseconds retry_after)
    : method_(method),
      call_(std::move(call)),
      key_(key_of(*context)),
      begin_(steady_clock::now()),
      retry_after_(retry_after) {
  method_.state_->running.add(1);
}

CallScope::~CallScope() {
  if (!finished_.exchange(true)) record(grpc::StatusCode::CANCELLED, "the client went away");
}

grpc::Status CallScope::finish(const Status& outcome) {
  const Status told = told_at_deadline(outcome, call_);
  grpc::Status status = to_grpc_status(told);
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && retry_after_.count() > 0) {
    status = with_retry_info(status, retry_after_);
  }
  if (!finished_.exchange(true)) record(status.error_code(), told.ok() ? "" : told.error().message);
  return status;
}

void CallScope::record(grpc::StatusCode grpc_code, std::string_view message) {
  Method::State& method = *method_.state_;
  const auto code = static_cast<Code>(grpc_code);
  const double seconds = duration<double>(steady_clock::now() - begin_).count();
  method.counter(code).add();
  method.seconds.observe(seconds);
  method.running.add(-1);
  const observability::Fields fields{{"method", method.name},         {"code", to_string(code)},
                                     {"key", call_.caller.key_id},    {"seconds", seconds},
                                     {"tenant", call_.caller.tenant}, {"error", message}};
  switch (code) {
    case Code::kInternal:
    case Code::kDataLoss:
    case Code::kUnknown:
      log().error("call failed", fields);
      break;
    case Code::kUnavailable:
    case Code::kResourceExhausted:
    case Code::kDeadlineExceeded:
      log().limited(method.failures, observability::Level::kWarn, "call not answered", fields);
      break;
    case Code::kOk:
    case Code::kCancelled:
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kPermissionDenied:
    case Code::kFailedPrecondition:
    case Code::kAborted:
    case Code::kOutOfRange:
    case Code::kUnimplemented:
    case Code::kUnauthenticated:
      log().debug("call", fields);
      break;
  }
}

Dispatcher::Dispatcher(ApiKeyVerifier& verifier, WorkerPool& pool, observability::Metrics& metrics,
                       const DispatchOptions& options)
    : verifier_(verifier),
      pool_(pool),
      metrics_(metrics),
      options_(options),
      rejected_(metrics.counter("millrace_rpc_rejected_total", "Calls refused because the worker pool was full.")) {
  const auto waiting = metrics.gauge("millrace_rpc_queue_depth", "Calls waiting for a worker.");
  metrics.on_collect([waiting, &pool] { waiting.set(static_cast<double>(pool.waiting())); });
}

Method Dispatcher::method(const MethodOptions& options) {
  return Method(std::make_shared<Method::State>(metrics_, options));
}

std::unique_ptr<CallScope> Dispatcher::open(grpc::CallbackServerContext* context, const Method& method) {
  Call call{.caller = {}, .deadline = deadline_of(*context, method.state_->shape, options_), .context = context};
  return std::make_unique<CallScope>(method, context, std::move(call), options_.retry_after);
}

Status Dispatcher::authenticate(CallScope& scope) {
  if (!scope.key_.ok()) return scope.key_.error();
  Result<Caller> caller = verifier_.verify(*scope.key_, now_us());
  if (!caller.ok()) return caller.error();
  scope.call_.caller = std::move(caller).value();
  return require_role(scope.call_.caller, scope.method_.state_->least);
}

Error Dispatcher::refusal(WorkerPool::Submitted why, const CallScope& scope) const {
  const WorkerPool::Options& pool = pool_.options();
  switch (why) {
    case WorkerPool::Submitted::kStopping:
      return {ErrorKind::kUnavailable, "the service is stopping; call again"};
    case WorkerPool::Submitted::kQueueOfOwnerFull:
      return {ErrorKind::kThrottled, (scope.call().caller.is_platform() ? "this key" : "this tenant") +
                                         std::string(" has as many calls waiting as it may (") +
                                         std::to_string(pool.queue_of_owner) + "); try again later"};
    case WorkerPool::Submitted::kQueueFull:
    case WorkerPool::Submitted::kYes:
      break;
  }
  return {ErrorKind::kThrottled,
          "the server has as many calls waiting as it may (" + std::to_string(pool.queue) + "); try again later"};
}

grpc::ServerUnaryReactor* Dispatcher::unary(grpc::CallbackServerContext* context, const Method& method,
                                            std::function<Status(const Call&)> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  std::shared_ptr<CallScope> scope = open(context, method);
  Status allowed = scope->key_.ok() ? Status{} : Status{scope->key_.error()};
  if (allowed.ok() && options_.verify == Verify::kOnArrival) allowed = authenticate(*scope);
  if (!allowed.ok()) {  // not worth a worker
    reactor->Finish(scope->finish(allowed));
    return reactor;
  }
  const auto run = [this, scope, work = std::move(work)]() -> Status {
    if (scope->call().cancelled()) return Error{ErrorKind::kUnknownOutcome, "the client went away"};
    if (scope->call().left().count() == 0) return too_late();
    try {
      if (options_.verify == Verify::kOnWorker) {
        if (Status verified = authenticate(*scope); !verified.ok()) return verified;
      }
      return work(scope->call());
    } catch (const std::exception& fault) {
      return Error{ErrorKind::kInternal, std::string("exception: ") + fault.what()};
    }
  };
  const Caller& caller = scope->call().caller;
  // A tenant cannot be called so: its id has no blank.
  const std::string owner = caller.is_platform() && !caller.key_id.empty() ? "key " + caller.key_id : caller.tenant;
  // After Finish() gRPC may free context and reactor at any time: nothing may touch them any more.
  const auto submitted = pool_.submit([scope, run, reactor] { reactor->Finish(scope->finish(run())); }, owner);
  if (submitted != WorkerPool::Submitted::kYes) {
    rejected_.add();
    reactor->Finish(scope->finish(refusal(submitted, *scope)));
  }
  return reactor;
}

}  // namespace millrace::rpc
