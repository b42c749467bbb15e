#include "http/telemetry_handler.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>

#include <millrace/base/ids.hpp>
#include <millrace/observability/trace.hpp>

#include "http/credentials.hpp"
#include "http/kept_request.hpp"
#include "http/metric_path.hpp"
#include "identity/children.hpp"
#include "ingest/ack_level.hpp"

namespace millrace::gateway {
namespace {

using http::problem;
using http::Response;
using std::chrono::steady_clock;

constexpr std::size_t kMaxMessageIdBytes = 128;
constexpr std::chrono::milliseconds kDeadlineTick{100};
constexpr std::string_view kLimitProblem = "/problems/limit";
constexpr std::string_view kUnavailableProblem = "/problems/unavailable";

Response retry_later(int status, std::string_view type, std::string_view title, std::string_view detail, int seconds) {
  Response response = problem(status, type, title, detail, "\"retry_after_s\":" + std::to_string(seconds));
  response.headers.emplace_back("Retry-After", std::to_string(seconds));
  return response;
}

Response over_limit(const OverLimit& over) {
  Response response = problem(429, kLimitProblem, "a limit is reached", over.message(),
                              over.json_members() + ",\"retry_after_s\":" + std::to_string(over.retry_after_s()));
  response.headers.emplace_back("Retry-After", std::to_string(over.retry_after_s()));
  return response;
}

Response payload_problem(const Outcome& outcome) {
  const telemetry::PayloadError& error = *outcome.payload_error;
  std::string extra = "\"reason\":\"" + std::string(to_string(error.fault)) + "\"";
  if (error.offset) extra += ",\"offset\":" + std::to_string(*error.offset);
  if (error.element) extra += ",\"element\":" + std::to_string(*error.element);
  extra += ",\"receipt\":\"" + outcome.receipt.to_string() + "\"";
  const int status = error.fault == telemetry::PayloadFault::kTooLarge ? 413 : 400;
  return problem(status, "/problems/invalid-payload", "the payload was refused", error.message, extra);
}

Response in_log(int status, const telemetry::Receipt& receipt, std::string_view state) {
  std::string body = "{\"receipt\":\"" + receipt.to_string() + "\"";
  if (!state.empty()) body.append(",\"state\":\"").append(state).append("\"");
  return {status, "application/json", body + "}", {}};
}

Response not_stored(const Outcome& outcome) {
  return problem(422, "/problems/not-storable", "the database refused points", outcome.error.message,
                 "\"reason\":\"not_storable\",\"receipt\":\"" + outcome.receipt.to_string() + "\"");
}

Response unknown_outcome() {
  return problem(
      504, "/problems/unknown-outcome", "the outcome is unknown",
      "the message was handed to Kafka, which has not answered yet; send it again with the same Idempotency-Key",
      "\"outcome\":\"unknown\"");
}

Response refusal(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kTooLarge:
      return problem(413, "/problems/too-large", "the message is too large", error.message);
    case ErrorKind::kThrottled:
      return retry_later(429, kLimitProblem, "too many messages", error.message, 1);
    case ErrorKind::kUnavailable:
      return retry_later(503, kUnavailableProblem, "the message was not taken", error.message, 1);
    case ErrorKind::kInvalid:
    case ErrorKind::kUnauthenticated:
    case ErrorKind::kForbidden:
    case ErrorKind::kNotFound:
    case ErrorKind::kAlreadyExists:
    case ErrorKind::kUnknownOutcome:
    case ErrorKind::kConflict:
    case ErrorKind::kPrecondition:
    case ErrorKind::kCorrupt:
    case ErrorKind::kInternal:
      break;
  }
  return problem(500, "/problems/internal", "the message was not taken", error.message);
}

// What the client says of the body; curl says `application/x-www-form-urlencoded` when nobody told it otherwise.
std::string_view said_type(const http::Request& request) {
  constexpr std::string_view kUntold = "application/x-www-form-urlencoded";
  const std::string_view type = request.header("content-type").value_or("");
  return type.starts_with(kUntold) ? std::string_view() : type;
}

// As the hash that tells copies apart has it: JSON has always been the same as nothing said.
std::string_view content_type(std::optional<telemetry::PayloadFormat> said, bool names_metric) {
  if (!said || (said == telemetry::PayloadFormat::kJson && !names_metric)) return {};
  return telemetry::names_of(*said).media_type;
}

bool is_visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x21 && c <= 0x7e; });
}

}  // namespace

// One request in flight. Lives on its io thread; answered once, by the outcome or by the deadline.
class TelemetryHandler::Pending final : public AckSink {
 public:
  Pending(const http::Responder& responder, steady_clock::time_point deadline)
      : responder_(responder), deadline_(deadline) {}

  [[nodiscard]] std::size_t io_index() const override { return responder_.io_index(); }
  void flush() override {}
  void settle(std::uint64_t /*token*/, const Outcome& outcome) override {
    if (answered_) return;
    switch (outcome.kind) {
      case Outcome::Kind::kAcknowledged:
        answer(in_log(202, outcome.receipt, {}));
        break;
      case Outcome::Kind::kInLog:
        in_log_ = outcome.receipt;
        break;
      case Outcome::Kind::kStored:
        answer(in_log(200, outcome.receipt, "stored"));
        break;
      case Outcome::Kind::kNotStored:
        answer(not_stored(outcome));
        break;
      case Outcome::Kind::kKeptAsRefused:
        answer(payload_problem(outcome));
        break;
      case Outcome::Kind::kRefused:
        answer(refusal(outcome.error));
        break;
      case Outcome::Kind::kUnknown:
        answer(unknown_outcome());
        break;
    }
  }

  void answer_late(const GatewayMetrics& metrics) {
    if (in_log_) {
      metrics.stored_answers_pending.add();
      answer(in_log(202, *in_log_, "pending"));
    } else {
      metrics.ingested(telemetry::Protocol::kHttp, IngestResult::kUnknown).add();
      answer(unknown_outcome());
    }
  }
  void answer(Response response) {
    answered_ = true;
    responder_.send(std::move(response));
  }
  [[nodiscard]] bool answered() const { return answered_; }
  [[nodiscard]] steady_clock::time_point deadline() const { return deadline_; }

 private:
  http::Responder responder_;
  steady_clock::time_point deadline_;
  std::optional<telemetry::Receipt> in_log_;  // of ack level `stored`
  bool answered_ = false;
};

TelemetryHandler::TelemetryHandler(IoThreads& threads, std::vector<std::unique_ptr<IngestWorker>>& workers,
                                   const registry_view::RegistryView& registry, Authenticator& authenticator,
                                   GatewayMetrics& metrics, const Options& options)
    : threads_(threads),
      workers_(workers),
      registry_(registry),
      authenticator_(authenticator),
      metrics_(metrics),
      answer_deadline_(options.answer_deadline),
      waiting_room_(options.most_waiting_bytes) {
  for (std::size_t i = 0; i < threads.size(); ++i)
    deadlines_.push_back(std::make_unique<Deadlines>(threads.context(i)));
}

TelemetryHandler::~TelemetryHandler() = default;

void TelemetryHandler::start() {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    boost::asio::post(threads_.context(i), [this, i] { arm(i); });
  }
}

void TelemetryHandler::arm(std::size_t index) {
  Deadlines& deadlines = *deadlines_[index];
  deadlines.timer.expires_after(kDeadlineTick);
  deadlines.timer.async_wait([this, index](const boost::system::error_code& error) {
    if (error) return;
    expire(index);
    arm(index);
  });
}

void TelemetryHandler::expire(std::size_t index) {
  std::deque<std::shared_ptr<Pending>>& waiting = deadlines_[index]->waiting;
  const auto now = steady_clock::now();
  while (!waiting.empty() && (waiting.front()->answered() || waiting.front()->deadline() <= now)) {
    if (!waiting.front()->answered()) waiting.front()->answer_late(metrics_);
    waiting.pop_front();
  }
}

Result<Shown> TelemetryHandler::shown_by(const http::Request& request) const {
  if (request.header_count("authorization") > 1)
    return Error{ErrorKind::kUnauthenticated, "more than one Authorization header"};
  Shown shown;
  shown.chain = request.peer_chain();
  shown.peer = request.peer();
  const auto header = request.header("authorization");
  if (!header && !shown.chain.empty()) return shown;
  auto credentials = parse_authorization(header.value_or(""), [this](std::string_view tenant, std::string_view device) {
    return authenticator_.knows(tenant, device);
  });
  if (!credentials.ok()) return credentials.error();
  shown.secret = std::move(credentials->secret);
  if (credentials->user.empty()) return shown;
  const auto name = parse_device_name(credentials->user);
  if (!name.ok()) return Error{ErrorKind::kUnauthenticated, name.error().message};
  shown.tenant = name->tenant;
  shown.device = name->device;
  return shown;
}

void TelemetryHandler::refuse(const Error& error, const http::Responder& responder) {
  if (error.kind == ErrorKind::kUnavailable || error.kind == ErrorKind::kThrottled) {
    metrics_.ingested(telemetry::Protocol::kHttp, IngestResult::kThrottled).add();
    responder.send(error.kind == ErrorKind::kThrottled ? retry_later(429, kLimitProblem, "too many wrong passwords",
                                                                     error.message, authenticator_.retry_after_s())
                                                       : refusal(error));
    return;
  }
  metrics_.ingested(telemetry::Protocol::kHttp, IngestResult::kUnauthorized).add();
  Response response =
      problem(401, "/problems/unauthenticated", "the device is not known by these credentials", error.message);
  response.headers.emplace_back("WWW-Authenticate", "Basic realm=\"millrace\", charset=\"UTF-8\"");
  responder.send(std::move(response));
}

void TelemetryHandler::handle(const http::Request& request, const http::Responder& responder) {
  if (!parse_telemetry_path(request.path())) {
    responder.send(problem(404, "/problems/not-found", "there is nothing here", "devices post to /v1/telemetry"));
    return;
  }
  if (request.method() != http::Method::kPost) {
    Response response = problem(405, "/problems/method", "this method is not allowed", "devices post to /v1/telemetry");
    response.headers.emplace_back("Allow", "POST");
    responder.send(std::move(response));
    return;
  }
  ingest(request, responder);
}

bool TelemetryHandler::answers_when_stored(const registry_view::Device& device) const {
  return registry_view::answers_when_stored(registry_.grants(device.tenant, device.device),
                                            registry_.policy(device.tenant));
}

void TelemetryHandler::ingest(const http::Request& request, const http::Responder& responder) {
  auto shown = shown_by(request);
  if (!shown.ok()) return refuse(shown.error(), responder);
  if (const auto admitted = authenticator_.admit(*shown)) {
    return admitted->ok() ? take(request, **admitted, responder) : refuse(admitted->error(), responder);
  }
  // The request is gone when the answer comes.
  auto place = waiting_room_.take(KeptRequest::bytes_of(request));
  if (!place) {
    return refuse(Error{ErrorKind::kUnavailable, "too many requests wait for their credentials to be checked"},
                  responder);
  }
  const auto kept = std::make_shared<const KeptRequest>(request, std::move(place));
  authenticator_.admit_later(std::move(*shown), [this, kept, responder](Authenticator::Admitted admitted) {
    boost::asio::post(threads_.context(responder.io_index()), [this, kept, responder, admitted = std::move(admitted)] {
      admitted.ok() ? take(*kept, *admitted, responder) : refuse(admitted.error(), responder);
    });
  });
}

void TelemetryHandler::take(const http::Request& request, const std::shared_ptr<const Identity>& identity,
                            const http::Responder& responder) {
  constexpr auto kHttp = telemetry::Protocol::kHttp;
  const auto target = parse_telemetry_path(request.path()).value();
  const auto whose = speaks_as(registry_, identity, target.device);
  if (!whose) {
    metrics_.ingested(kHttp, IngestResult::kUnauthorized).add();
    responder.send(problem(403, "/problems/forbidden", "the device may not send for this one", kNotSpokenFor));
    return;
  }
  const std::string_view id = request.header("idempotency-key").value_or("");
  if (request.header_count("idempotency-key") > 1 || id.size() > kMaxMessageIdBytes || !is_visible_ascii(id)) {
    metrics_.ingested(kHttp, IngestResult::kInvalid).add();
    responder.send(problem(400, "/problems/idempotency-key", "the Idempotency-Key was refused",
                           "one of 1 to 128 visible ASCII characters is expected"));
    return;
  }
  const auto ack = ack_level_of_query(request.query());
  if (!ack.ok()) {
    metrics_.ingested(kHttp, IngestResult::kInvalid).add();
    responder.send(problem(400, "/problems/query", "the query was refused", ack.error().message));
    return;
  }
  const std::string_view type = said_type(request);
  const auto format = telemetry::format_of_media_type(type);
  const bool names_no_metric = format == telemetry::PayloadFormat::kText && !target.metric;
  if ((!type.empty() && !format) || names_no_metric) {
    metrics_.ingested(kHttp, IngestResult::kInvalid).add();
    responder.send(
        problem(415, "/problems/content-type", "this content type is not understood", telemetry::kFormatsTaken));
    return;
  }
  const Result<std::string> metric = target.metric ? metric_of_path(*target.metric) : std::string();
  if (!metric.ok()) {
    metrics_.ingested(kHttp, IngestResult::kInvalid).add();
    responder.send(problem(400, "/problems/path", "the path was refused", metric.error().message));
    return;
  }
  const std::size_t index = responder.io_index();
  IngestWorker& worker = *workers_[index];
  if (!worker.accepting()) {
    metrics_.ingested(kHttp, IngestResult::kThrottled).add();
    responder.send(retry_later(503, kUnavailableProblem, "messages cannot be made durable at the moment",
                               "nothing was taken; send it again later", 1));
    return;
  }
  const std::string_view traceparent = request.header("traceparent").value_or("");
  Message message{.identity = whose,
                  .protocol = kHttp,
                  .qos = 1,
                  .topic = request.path(),
                  .content_type = content_type(format, !metric->empty()),
                  .said = format,
                  .payload = request.body(),
                  .metric_prefix = "",
                  .metric = *metric,
                  .format = metric->empty() ? std::nullopt : std::optional(telemetry::PayloadFormat::kText),
                  .traceparent = observability::is_traceparent(traceparent) ? traceparent : "",
                  .facts = {}};
  message.facts.message_id.assign(id);
  message.until_stored = *ack ? **ack == AckLevel::kStored : answers_when_stored(whose->device);
  const auto deadline = steady_clock::now() + answer_deadline_;
  auto pending = std::make_shared<Pending>(responder, deadline);
  const Submitted taken = worker.submit(message, {pending, 0, deadline});
  if (!taken.ok()) {
    metrics_.ingested(kHttp, IngestResult::kThrottled).add();
    if (taken.over_limit()) worker.limiter().note(*taken.over_limit(), Limiter::Action::kRefused);
    pending->answer(taken.over_limit() ? over_limit(*taken.over_limit()) : refusal(taken.error()));
    return;
  }
  deadlines_[index]->waiting.push_back(std::move(pending));
}

}  // namespace millrace::gateway
