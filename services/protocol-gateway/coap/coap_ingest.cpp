#include "coap/coap_ingest.hpp"

#include <millrace/base/digest.hpp>

#include "http/credentials.hpp"
#include "identity/children.hpp"
#include "ingest/ack_level.hpp"

namespace millrace::gateway {
namespace {

constexpr auto kCoap = telemetry::Protocol::kCoap;

constexpr std::uint32_t kJson = 50;  // Content-Format (RFC 7252 section 12.3)

// The format was checked.
std::string_view content_type(const CoapRequest& request) {
  // JSON has always been the same as nothing said, and stays so in the hash that tells copies apart.
  if (!request.content_format || (request.content_format == kJson && request.metric.empty())) return {};
  return telemetry::names_of(telemetry::format_of_coap(*request.content_format).value()).media_type;
}

// As it was asked for.
std::string path_of(const CoapRequest& request) {
  std::string path = "/v1";
  if (!request.child.empty()) path.append("/devices/").append(request.child);
  path += "/telemetry";
  if (!request.metric.empty()) path.append("/").append(request.metric);
  return path;
}

// What tells block-wise transfers of a device apart: where from, and every option but the block itself.
std::string transfer_key(const CoapRequest& request) {
  std::string key(reinterpret_cast<const char*>(request.exchange.address.data()), request.exchange.address.size());
  key += std::to_string(request.exchange.port) + "/" + std::to_string(request.exchange.session) + "/" +
         std::to_string(request.content_format.value_or(kJson)) + "/" + std::string(request.request_tag) + "/" +
         request.metric;
  for (const std::string_view item : request.query) key.append("/").append(item);
  return key;
}

CoapAnswer bad_request(std::string_view type, std::string_view title, std::string_view detail,
                       std::string_view extra = {}) {
  return coap_problem(CoapCode::kBadRequest, type, title, detail, extra);
}

}  // namespace

CoapIngest::CoapIngest(const CoapIngestOptions& options, Who who, RecordPublisher& publisher, RefusedPayloads& refused,
                       MetricNames& names, Limiter& limiter, const TypeSource& types, GatewayMetrics& metrics,
                       std::shared_ptr<AckSink> sink)
    : options_(options),
      who_(std::move(who)),
      metrics_(metrics),
      sink_(std::move(sink)),
      worker_(publisher, refused, names, limiter, types),
      exchanges_(options.max_exchanges),
      blocks_(options.blocks) {}

void CoapIngest::count(const CoapAnswer& answer, Clock::duration took) const {
  metrics_.coap_requests[class_of(answer.code)].add();
  metrics_.coap_seconds.observe(std::chrono::duration<double>(took).count());
}

const CoapAnswer* CoapIngest::keep(CoapAnswer answer, const CoapExchangeKey& key, std::uint64_t id) {
  last_answer_ = std::move(answer);
  exchanges_.finish(key, id, last_answer_);
  return &last_answer_;
}

CoapReply CoapIngest::handle(const CoapRequest& request, Clock::time_point now) {
  const auto look = exchanges_.begin(request.exchange, request.fingerprint, request.confirmable, now);
  if (look.repeated) {
    metrics_.coap_repeated.add();
    return {0, look.answer};
  }
  Refused refused = take(request, look.id, now);
  if (!refused) {
    waiting_.emplace(look.id, Waiting{request.exchange, now, request.block1, false});
    in_flight_.store(waiting_.size(), std::memory_order_relaxed);
    deadlines_.emplace_back(now + options_.answer_deadline, look.id);
    return {look.id, nullptr};
  }
  if (refused->answer.code != CoapCode::kContinue) metrics_.ingested(kCoap, refused->result).add();
  refused->answer.block1 = request.block1;
  count(refused->answer, Clock::duration::zero());
  return {0, keep(std::move(refused->answer), request.exchange, look.id)};
}

CoapIngest::Refused CoapIngest::take(const CoapRequest& request, std::uint64_t id, Clock::time_point now) {
  CoapQuery query;
  if (Refused refused = check_form(request, query)) return refused;
  std::shared_ptr<const Identity> identity;
  if (Refused refused = identify(request, query, identity)) return refused;
  const auto format = request.content_format ? telemetry::format_of_coap(*request.content_format) : std::nullopt;
  const bool names_no_metric = format == telemetry::PayloadFormat::kText && request.metric.empty();
  if ((request.content_format && !format) || names_no_metric) {
    return Refusal{
        IngestResult::kInvalid,
        coap_problem(CoapCode::kUnsupportedFormat, "/problems/content-type",
                     "the content format " + std::to_string(*request.content_format) + " is not understood here",
                     "send 50 (JSON), 60 (CBOR), 110 (SenML JSON), 112 (SenML CBOR), 65001 (Protocol "
                     "Buffers) or, where the path names the metric, 0 (text)")};
  }
  if (stopping_.load(std::memory_order_relaxed) || !worker_.accepting()) {
    return Refusal{IngestResult::kThrottled,
                   coap_unavailable("messages cannot be made durable at the moment; nothing was taken")};
  }
  if (!request.block1) return submit(request, query, identity, request.payload, id, now);
  std::string body;
  bool whole = false;
  if (Refused refused = assemble(request, *identity, now, body, whole); refused || !whole) return refused;
  return submit(request, query, identity, body, id, now);
}

CoapIngest::Refused CoapIngest::check_form(const CoapRequest& request, CoapQuery& query) const {
  if (request.bad_option) {
    return Refusal{IngestResult::kInvalid, coap_problem(CoapCode::kBadOption, "/problems/option",
                                                        "an option means nothing here or is malformed", {})};
  }
  if (request.accept.value_or(kJson) != kJson) {
    return Refusal{IngestResult::kInvalid, coap_problem(CoapCode::kNotAcceptable, "/problems/accept",
                                                        "answers are JSON", "accept 50 or say nothing")};
  }
  const auto parsed = parse_coap_query(request.query);
  if (!parsed.ok()) {
    return Refusal{IngestResult::kInvalid,
                   bad_request("/problems/query", "the query was refused", parsed.error().message)};
  }
  if (request.security != nullptr && !(parsed->device.empty() && parsed->token.empty())) {
    return Refusal{IngestResult::kInvalid,
                   bad_request("/problems/query", "the query was refused",
                               "over DTLS the session says who sends: leave device and token out")};
  }
  query = *parsed;
  return std::nullopt;
}

CoapIngest::Refused CoapIngest::identify(const CoapRequest& request, const CoapQuery& query,
                                         std::shared_ptr<const Identity>& identity) const {
  DeviceName name;
  Sha256 token{};
  if (request.security != nullptr) {
    name = {request.security->device, request.security->tenant};
    token = request.security->token;
  } else {
    const auto parsed = parse_device_name(query.device);
    if (!parsed.ok() || query.token.empty()) {
      return Refusal{IngestResult::kUnauthorized,
                     coap_refusal({ErrorKind::kUnauthenticated, "the query needs device=device@tenant and token"})};
    }
    name = *parsed;
    token = sha256(query.token);
  }
  auto admitted = who_.authenticate(name.tenant, name.device, token);
  if (!admitted.ok()) {
    const bool early = admitted.error().kind == ErrorKind::kUnavailable;
    return Refusal{early ? IngestResult::kThrottled : IngestResult::kUnauthorized, coap_refusal(admitted.error())};
  }
  identity = who_.speaks_as(*admitted, request.child);
  if (identity) return std::nullopt;
  return Refusal{IngestResult::kUnauthorized, coap_problem(CoapCode::kForbidden, "/problems/forbidden",
                                                           "the device may not send for this one", kNotSpokenFor)};
}

// Without a refusal the body is whole.
CoapIngest::Refused CoapIngest::assemble(const CoapRequest& request, const Identity& identity, Clock::time_point now,
                                         std::string& body, bool& whole) {
  whole = false;
  const BlockTransfers::Piece piece{identity.key, transfer_key(request), *request.block1, request.payload,
                                    request.size1};
  switch (blocks_.take(piece, now, body)) {
    case BlockTransfers::Step::kComplete:
      whole = true;
      return std::nullopt;
    case BlockTransfers::Step::kContinue:
      return Refusal{IngestResult::kAccepted, {.code = CoapCode::kContinue}};
    case BlockTransfers::Step::kIncomplete:
      return Refusal{IngestResult::kInvalid, coap_problem(CoapCode::kIncomplete, "/problems/block",
                                                          "blocks before this one are missing", "begin again")};
    case BlockTransfers::Step::kMalformed:
      return Refusal{IngestResult::kInvalid, bad_request("/problems/block", "the block was refused",
                                                         "its payload has another size than Block1 says")};
    case BlockTransfers::Step::kTooLarge:
      return Refusal{IngestResult::kInvalid, coap_too_large(telemetry::PayloadLimits{}.max_bytes)};
    case BlockTransfers::Step::kNoRoom:
      break;
  }
  return Refusal{IngestResult::kThrottled, coap_unavailable("too many block-wise messages at once; begin again")};
}

CoapIngest::Refused CoapIngest::submit(const CoapRequest& request, const CoapQuery& query,
                                       const std::shared_ptr<const Identity>& identity, std::string_view payload,
                                       std::uint64_t id, Clock::time_point now) {
  const auto ack = parse_ack_level(query.ack);
  if (!ack.ok()) {
    return Refusal{IngestResult::kInvalid,
                   bad_request("/problems/query", "the query was refused", ack.error().message)};
  }
  const std::string topic = path_of(request);
  const auto of_path = request.metric.empty() ? std::nullopt : std::optional(telemetry::PayloadFormat::kText);
  Message message{.identity = identity,
                  .protocol = kCoap,
                  .qos = 1,
                  .topic = topic,
                  .content_type = content_type(request),
                  .said = request.content_format ? telemetry::format_of_coap(*request.content_format) : std::nullopt,
                  .payload = payload,
                  .metric_prefix = "",
                  .metric = request.metric,
                  .format = of_path,
                  .traceparent = query.traceparent,
                  .facts = {}};
  message.facts.message_id.assign(query.message_id);
  message.facts.coap_message_id = request.exchange.message_id;
  message.facts.coap_token.assign(request.token);
  message.facts.coap_confirmable = request.confirmable;
  const bool by_policy = !*ack && options_.answers_when_stored && options_.answers_when_stored(identity->device);
  message.until_stored = by_policy || *ack == AckLevel::kStored;
  const Submitted taken = worker_.submit(message, {sink_, id, now + options_.answer_deadline});
  if (taken.ok()) return std::nullopt;
  if (taken.over_limit()) {
    worker_.limiter().note(*taken.over_limit(), Limiter::Action::kRefused);
    return Refusal{IngestResult::kThrottled, coap_over_limit(*taken.over_limit())};
  }
  return Refusal{IngestResult::kThrottled, coap_refusal(taken.error())};
}

const CoapAnswer* CoapIngest::settle(std::uint64_t id, const Outcome& outcome, Clock::time_point now) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return nullptr;
  if (outcome.kind == Outcome::Kind::kInLog && !found->second.answered) {
    found->second.in_log = outcome.receipt;
    return nullptr;
  }
  const Waiting waiting = found->second;
  waiting_.erase(found);
  in_flight_.store(waiting_.size(), std::memory_order_relaxed);
  CoapAnswer answer = coap_answer(outcome);
  answer.block1 = waiting.block1;
  const CoapAnswer* kept = keep(std::move(answer), waiting.key, id);
  if (waiting.answered) return nullptr;
  count(*kept, now - waiting.taken);
  return kept;
}

void CoapIngest::expire(Clock::time_point now, const std::function<void(std::uint64_t, const CoapAnswer&)>& answer) {
  for (auto next = next_deadline(); next && *next <= now; next = next_deadline()) {
    const std::uint64_t id = deadlines_.front().second;
    deadlines_.pop_front();
    const auto found = waiting_.find(id);
    const Waiting waiting = found->second;
    CoapAnswer late = waiting.in_log ? coap_pending(*waiting.in_log) : coap_unknown();
    if (waiting.in_log) {
      // Nothing more is heard of it.
      metrics_.stored_answers_pending.add();
      waiting_.erase(found);
      in_flight_.store(waiting_.size(), std::memory_order_relaxed);
    } else {
      found->second.answered = true;
    }
    late.block1 = waiting.block1;
    const CoapAnswer* kept = keep(std::move(late), waiting.key, id);
    count(*kept, now - waiting.taken);
    answer(id, *kept);
  }
}

std::optional<CoapIngest::Clock::time_point> CoapIngest::next_deadline() {
  while (!deadlines_.empty() && !waiting_.contains(deadlines_.front().second)) deadlines_.pop_front();
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.front().first;
}

}  // namespace millrace::gateway
