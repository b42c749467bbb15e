#include "load/coap_link.hpp"

#include <millrace/base/digest.hpp>
#include <millrace/base/psk.hpp>

#include "load/http_answer.hpp"

namespace millrace::fleet {
namespace {

// The gateway answers within ten seconds of having the message; retransmission of a lost one comes on top.
constexpr std::int64_t kAnswerNs = 20'000 * kNsPerMs;
constexpr std::int64_t kHandshakeNs = 15'000 * kNsPerMs;

}  // namespace

CoapLink::CoapLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
                   const std::string& tenant, CoapClient& client)
    : Link(context, index, device), client_(client), server_(server), name_(device.id + "@" + tenant) {}

CoapLink::~CoapLink() = default;

void CoapLink::connect() {
  const bool secure = device_.protocol == Protocol::kCoaps;
  connect_by_ns_ = context_.now_ns + kHandshakeNs;
  session_ =
      secure ? client_.connect(server_, *this, name_, psk_of(sha256(device_.token))) : client_.connect(server_, *this);
  if (session_ == nullptr) return again_after(0);
  if (!secure) set_up();
}

void CoapLink::set_up() {
  up_ = true;
  context_.outcome->connected();
}

void CoapLink::lose() {
  if (up_) context_.outcome->lost_connection();
  session_.reset();
  up_ = asked_ = failed_ = false;
}

void CoapLink::again_after(std::int64_t ms) {
  // Max-Age is a least; the jitter on top keeps the fleet from coming back as one.
  not_before_ns_ = context_.now_ns + (ms + again_.next().count()) * kNsPerMs;
}

void CoapLink::flush() {
  if (!up_ || failed_ || asked_ || context_.now_ns < not_before_ns_) return;
  if (!busy_) {
    if (backlog_.empty()) return;
    current_ = take_backlog();
    busy_ = true;
    sent_ = false;
  }
  CoapPost post{
      ++token_, {"v1", "telemetry"}, {"mid=" + context_.message_id_base + std::to_string(current_.index)}, {}};
  if (device_.protocol == Protocol::kCoap) {
    post.query[1] = "device=" + name_;
    post.query[2] = "token=" + device_.token;
  }
  context_.readings->write(index_, current_, post.payload);
  if (!session_->post(post)) {
    failed_ = true;
    return;
  }
  if (sent_) {
    context_.outcome->resent();
  } else {
    context_.outcome->sent(index_, current_);
  }
  sent_ = asked_ = true;
  asked_ns_ = context_.now_ns;
}

void CoapLink::on_response(const CoapResponse& response) {
  // Of an earlier message, or once more: libcoap has acknowledged it.
  if (!asked_ || response.token != token_) return;
  asked_ = false;
  settle(response);
  flush();
}

void CoapLink::settle(const CoapResponse& response) {
  Outcome& outcome = *context_.outcome;
  switch (response.status) {
    case 204:
      outcome.acknowledged(index_, current_, receipt_in(response.payload), context_.now_ns);
      busy_ = false;
      again_.reset();
      return;
    case 429:
    case 503:
      ++outcome.pushed_back;
      return again_after(response.max_age_s * 1000);
    case 504:
      ++outcome.unknown;
      return again_after(0);
    case 401:  // perhaps the gateway does not know the device yet
      ++outcome.turned_away;
      return again_after(0);
    case 408:  // the gateway has started anew in the middle of a block-wise message
      return again_after(0);
    default:
      if (response.status >= 500) return again_after(0);
      outcome.refused(index_, current_);
      busy_ = false;
  }
}

void CoapLink::on_tick() {
  const bool silent = asked_ && context_.now_ns - asked_ns_ > kAnswerNs;
  const bool unconnected = session_ != nullptr && !up_ && context_.now_ns > connect_by_ns_;
  if (failed_ || silent || unconnected) {
    if (failed_ && !up_) ++context_.outcome->turned_away;
    lose();
    again_after(0);
  }
  if (session_ == nullptr && context_.now_ns >= not_before_ns_) connect();
  flush();
}

}  // namespace millrace::fleet
