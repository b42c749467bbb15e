#include "load/http_link.hpp"

#include <millrace/base/digest.hpp>

namespace millrace::fleet {
namespace {

constexpr std::int64_t kAnswerNs = 60'000 * kNsPerMs;

}  // namespace

HttpLink::HttpLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
                   const std::string& tenant, const std::string& host)
    : TcpLink(context, index, device, server, {}) {
  head_ = "POST /v1/telemetry HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Basic " +
          to_base64(device.id + "@" + tenant + ":" + device.token) +
          "\r\nContent-Type: application/json\r\nIdempotency-Key: " + context.message_id_base;
}

void HttpLink::on_open() { set_up(); }

void HttpLink::pump() {
  if (asked_ || context_.now_ns < not_before_ns_) return;
  if (!busy_) {
    if (backlog_.empty()) return;
    current_ = take_backlog();
    busy_ = true;
    sent_ = false;
  }
  payload_.clear();
  context_.readings->write(index_, current_, payload_);
  out_.append(head_).append(std::to_string(current_.index)).append("\r\nContent-Length: ");
  out_.append(std::to_string(payload_.size())).append("\r\n\r\n").append(payload_);
  if (sent_) {
    context_.outcome->resent();
  } else {
    context_.outcome->sent(index_, current_);
  }
  sent_ = true;
  asked_ = true;
  // The answer's time counts from here, not from the last one before it.
  heard_ns_ = context_.now_ns;
}

bool HttpLink::on_bytes(std::string_view& input) {
  for (;;) {
    HttpAnswer answer;
    switch (take_answer(input, answer)) {
      case HttpParse::kIncomplete:
        return true;
      case HttpParse::kBroken:
        return false;
      case HttpParse::kComplete:
        break;
    }
    if (!asked_) return false;
    asked_ = false;
    if (!on_answer(answer) || answer.close) return false;
  }
}

/// False: the connection is given up.
bool HttpLink::on_answer(const HttpAnswer& answer) {
  Outcome& outcome = *context_.outcome;
  switch (answer.status) {
    case 202:
      outcome.acknowledged(index_, current_, receipt_in(answer.body), context_.now_ns);
      busy_ = false;
      again_.reset();
      return true;
    case 503:
    case 429:
      ++outcome.pushed_back;
      again_after(answer.retry_after_s * 1000);
      return true;
    case 504:
      ++outcome.unknown;
      again_after(0);
      return true;
    case 401:
    case 403:  // perhaps the gateway does not know the device yet
      ++outcome.turned_away;
      again_after(0);
      return true;
    default:
      if (answer.status >= 500) {
        again_after(0);
        return true;
      }
      outcome.refused(index_, current_);
      busy_ = false;
      return true;
  }
}

void HttpLink::again_after(std::int64_t ms) {
  // Retry-After is a least; the jitter on top keeps the fleet from coming back as one.
  not_before_ns_ = context_.now_ns + (ms + again_.next().count()) * kNsPerMs;
}

void HttpLink::on_lost() { asked_ = false; }

bool HttpLink::alive() {
  if (!asked_ && busy_) flush();
  return !asked_ || context_.now_ns - heard_ns_ < kAnswerNs;
}

}  // namespace millrace::fleet
