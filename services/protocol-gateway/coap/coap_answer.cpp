#include "coap/coap_answer.hpp"

#include <millrace/http/server.hpp>
#include <millrace/telemetry/payload.hpp>

namespace millrace::gateway {
namespace {

constexpr std::uint32_t kRetryAfterS = 1;

// The numbers of HTTP's classes and details: 4.15 stands for 415 and so on.
int http_status(CoapCode code) {
  const auto bits = static_cast<unsigned>(code);
  return static_cast<int>((bits >> 5U) * 100 + (bits & 0x1fU));
}

CoapAnswer payload_problem(const Outcome& outcome) {
  const telemetry::PayloadError& error = *outcome.payload_error;
  std::string extra = "\"reason\":\"" + std::string(to_string(error.fault)) + "\"";
  if (error.offset) extra += ",\"offset\":" + std::to_string(*error.offset);
  if (error.element) extra += ",\"element\":" + std::to_string(*error.element);
  extra += ",\"receipt\":\"" + outcome.receipt.to_string() + "\"";
  const bool too_large = error.fault == telemetry::PayloadFault::kTooLarge;
  CoapAnswer answer = coap_problem(too_large ? CoapCode::kTooLarge : CoapCode::kBadRequest, "/problems/invalid-payload",
                                   "the payload was refused", error.message, extra);
  if (too_large) answer.size1 = static_cast<std::uint32_t>(telemetry::PayloadLimits{}.max_bytes);
  return answer;
}

}  // namespace

CoapAnswer coap_problem(CoapCode code, std::string_view type, std::string_view title, std::string_view detail,
                        std::string_view extra) {
  return {.code = code, .payload = http::problem(http_status(code), type, title, detail, extra).body};
}

CoapAnswer coap_unavailable(std::string_view detail) {
  CoapAnswer answer =
      coap_problem(CoapCode::kUnavailable, "/problems/unavailable", "the message was not taken", detail);
  answer.max_age_s = kRetryAfterS;
  return answer;
}

CoapAnswer coap_too_large(std::size_t most) {
  CoapAnswer answer = coap_problem(CoapCode::kTooLarge, "/problems/too-large", "the message is too large",
                                   "at most " + std::to_string(most) + " bytes are taken");
  answer.size1 = static_cast<std::uint32_t>(most);
  return answer;
}

CoapAnswer coap_over_limit(const OverLimit& over) {
  CoapAnswer answer = coap_problem(CoapCode::kTooManyRequests, "/problems/limit", "a limit is reached", over.message(),
                                   over.json_members());
  answer.max_age_s = over.retry_after_s();
  return answer;
}

CoapAnswer coap_refusal(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kTooLarge:
      return coap_problem(CoapCode::kTooLarge, "/problems/too-large", "the message is too large", error.message);
    case ErrorKind::kThrottled: {
      CoapAnswer answer =
          coap_problem(CoapCode::kTooManyRequests, "/problems/unavailable", "too many messages", error.message);
      answer.max_age_s = kRetryAfterS;
      return answer;
    }
    case ErrorKind::kUnavailable:
      return coap_unavailable(error.message);
    case ErrorKind::kUnauthenticated:
      return coap_problem(CoapCode::kUnauthorized, "/problems/unauthenticated",
                          "the device is not known by these credentials", error.message);
    case ErrorKind::kInvalid:
    case ErrorKind::kForbidden:
    case ErrorKind::kNotFound:
    case ErrorKind::kAlreadyExists:
    case ErrorKind::kPrecondition:
    case ErrorKind::kUnknownOutcome:
    case ErrorKind::kConflict:
    case ErrorKind::kCorrupt:
    case ErrorKind::kInternal:
      break;
  }
  return coap_problem(CoapCode::kInternalError, "/problems/internal", "the message was not taken", error.message);
}

CoapAnswer coap_unknown() {
  return coap_problem(CoapCode::kTimeout, "/problems/unknown-outcome", "the outcome is unknown",
                      "the message was handed to Kafka, which has not answered yet; send it again with the same mid",
                      "\"outcome\":\"unknown\"");
}

CoapAnswer coap_pending(const telemetry::Receipt& receipt) {
  return {.code = CoapCode::kChanged, .payload = "{\"receipt\":\"" + receipt.to_string() + "\",\"state\":\"pending\"}"};
}

CoapAnswer coap_answer(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::kInLog:
      return coap_pending(outcome.receipt);
    case Outcome::Kind::kStored:
      return {.code = CoapCode::kChanged,
              .payload = "{\"receipt\":\"" + outcome.receipt.to_string() + "\",\"state\":\"stored\"}"};
    case Outcome::Kind::kNotStored:
      return coap_problem(CoapCode::kUnprocessable, "/problems/not-storable", "the database refused points",
                          outcome.error.message,
                          "\"reason\":\"not_storable\",\"receipt\":\"" + outcome.receipt.to_string() + "\"");
    case Outcome::Kind::kAcknowledged:
      return {.code = CoapCode::kChanged, .payload = "{\"receipt\":\"" + outcome.receipt.to_string() + "\"}"};
    case Outcome::Kind::kKeptAsRefused:
      return payload_problem(outcome);
    case Outcome::Kind::kRefused:
      return coap_refusal(outcome.error);
    case Outcome::Kind::kUnknown:
      break;
  }
  return coap_unknown();
}

}  // namespace millrace::gateway
