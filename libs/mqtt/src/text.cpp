#include <algorithm>
#include <cstring>

#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {
namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
constexpr std::uint64_t kHighs = 0x8080808080808080ULL;

/// Non-zero when one of the eight bytes is zero (may also flag bytes above 0x80, which the caller treats apart).
constexpr std::uint64_t has_zero(std::uint64_t word) { return (word - kOnes) & ~word & kHighs; }

std::uint64_t load(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

/// Length of the well-formed sequence at the front (Unicode table 3-7), 0 if there is none or it is U+0000.
std::size_t sequence(const unsigned char* p, std::size_t left) {
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < left && p[i] >= low && p[i] <= high;
  };
  if (p[0] < 0x80) return p[0] != 0 ? 1 : 0;
  if (p[0] >= 0xC2 && p[0] <= 0xDF) return tail(1) ? 2 : 0;
  if (p[0] == 0xE0) return tail(1, 0xA0) && tail(2) ? 3 : 0;
  if (p[0] == 0xED) return tail(1, 0x80, 0x9F) && tail(2) ? 3 : 0;
  if (p[0] >= 0xE1 && p[0] <= 0xEF) return tail(1) && tail(2) ? 3 : 0;
  if (p[0] == 0xF0) return tail(1, 0x90) && tail(2) && tail(3) ? 4 : 0;
  if (p[0] >= 0xF1 && p[0] <= 0xF3) return tail(1) && tail(2) && tail(3) ? 4 : 0;
  if (p[0] == 0xF4) return tail(1, 0x80, 0x8F) && tail(2) && tail(3) ? 4 : 0;
  return 0;
}

}  // namespace

bool valid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8) {
      const std::uint64_t word = load(text.data() + at);
      if (((word & kHighs) | has_zero(word)) == 0) {
        at += 8;
        continue;
      }
    }
    const std::size_t length = sequence(reinterpret_cast<const unsigned char*>(text.data()) + at, text.size() - at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

bool valid_topic_name(std::string_view topic) {
  if (topic.empty() || topic.size() > 0xFFFF) return false;
  for (const char wildcard : {'+', '#'}) {
    if (std::memchr(topic.data(), wildcard, topic.size()) != nullptr) return false;
  }
  return valid_utf8(topic);
}

bool is_shared_filter(std::string_view filter) { return filter.starts_with("$share/"); }

bool valid_topic_filter(std::string_view filter) {
  if (filter.empty() || filter.size() > 0xFFFF || !valid_utf8(filter)) return false;
  if (is_shared_filter(filter)) {
    filter.remove_prefix(7);
    const std::size_t slash = filter.find('/');
    if (slash == std::string_view::npos || slash == 0) return false;
    if (filter.substr(0, slash).find_first_of("+#") != std::string_view::npos) return false;
    filter.remove_prefix(slash + 1);
    if (filter.empty()) return false;
  }
  for (std::size_t start = 0; start <= filter.size();) {
    const std::size_t end = std::min(filter.find('/', start), filter.size());
    const std::string_view level = filter.substr(start, end - start);
    if (level.size() > 1 && level.find_first_of("+#") != std::string_view::npos) return false;
    if (level == "#" && end != filter.size()) return false;
    start = end + 1;
  }
  return true;
}

std::string_view to_string(PacketType type) {
  switch (type) {
    case PacketType::kConnect:
      return "CONNECT";
    case PacketType::kConnack:
      return "CONNACK";
    case PacketType::kPublish:
      return "PUBLISH";
    case PacketType::kPuback:
      return "PUBACK";
    case PacketType::kPubrec:
      return "PUBREC";
    case PacketType::kPubrel:
      return "PUBREL";
    case PacketType::kPubcomp:
      return "PUBCOMP";
    case PacketType::kSubscribe:
      return "SUBSCRIBE";
    case PacketType::kSuback:
      return "SUBACK";
    case PacketType::kUnsubscribe:
      return "UNSUBSCRIBE";
    case PacketType::kUnsuback:
      return "UNSUBACK";
    case PacketType::kPingreq:
      return "PINGREQ";
    case PacketType::kPingresp:
      return "PINGRESP";
    case PacketType::kDisconnect:
      return "DISCONNECT";
    case PacketType::kAuth:
      return "AUTH";
  }
  return "unknown packet type";
}

std::string_view to_string(ReasonCode code) {
  switch (code) {
    case ReasonCode::kSuccess:
      return "success";
    case ReasonCode::kGrantedQos1:
      return "granted QoS 1";
    case ReasonCode::kGrantedQos2:
      return "granted QoS 2";
    case ReasonCode::kDisconnectWithWill:
      return "disconnect with will message";
    case ReasonCode::kNoMatchingSubscribers:
      return "no matching subscribers";
    case ReasonCode::kNoSubscriptionExisted:
      return "no subscription existed";
    case ReasonCode::kContinueAuthentication:
      return "continue authentication";
    case ReasonCode::kReAuthenticate:
      return "re-authenticate";
    case ReasonCode::kUnspecifiedError:
      return "unspecified error";
    case ReasonCode::kMalformedPacket:
      return "malformed packet";
    case ReasonCode::kProtocolError:
      return "protocol error";
    case ReasonCode::kImplementationSpecificError:
      return "implementation specific error";
    case ReasonCode::kUnsupportedProtocolVersion:
      return "unsupported protocol version";
    case ReasonCode::kClientIdentifierNotValid:
      return "client identifier not valid";
    case ReasonCode::kBadUserNameOrPassword:
      return "bad user name or password";
    case ReasonCode::kNotAuthorized:
      return "not authorized";
    case ReasonCode::kServerUnavailable:
      return "server unavailable";
    case ReasonCode::kServerBusy:
      return "server busy";
    case ReasonCode::kBanned:
      return "banned";
    case ReasonCode::kServerShuttingDown:
      return "server shutting down";
    case ReasonCode::kBadAuthenticationMethod:
      return "bad authentication method";
    case ReasonCode::kKeepAliveTimeout:
      return "keep alive timeout";
    case ReasonCode::kSessionTakenOver:
      return "session taken over";
    case ReasonCode::kTopicFilterInvalid:
      return "topic filter invalid";
    case ReasonCode::kTopicNameInvalid:
      return "topic name invalid";
    case ReasonCode::kPacketIdentifierInUse:
      return "packet identifier in use";
    case ReasonCode::kPacketIdentifierNotFound:
      return "packet identifier not found";
    case ReasonCode::kReceiveMaximumExceeded:
      return "receive maximum exceeded";
    case ReasonCode::kTopicAliasInvalid:
      return "topic alias invalid";
    case ReasonCode::kPacketTooLarge:
      return "packet too large";
    case ReasonCode::kMessageRateTooHigh:
      return "message rate too high";
    case ReasonCode::kQuotaExceeded:
      return "quota exceeded";
    case ReasonCode::kAdministrativeAction:
      return "administrative action";
    case ReasonCode::kPayloadFormatInvalid:
      return "payload format invalid";
    case ReasonCode::kRetainNotSupported:
      return "retain not supported";
    case ReasonCode::kQosNotSupported:
      return "QoS not supported";
    case ReasonCode::kUseAnotherServer:
      return "use another server";
    case ReasonCode::kServerMoved:
      return "server moved";
    case ReasonCode::kSharedSubscriptionsNotSupported:
      return "shared subscriptions not supported";
    case ReasonCode::kConnectionRateExceeded:
      return "connection rate exceeded";
    case ReasonCode::kMaximumConnectTime:
      return "maximum connect time";
    case ReasonCode::kSubscriptionIdentifiersNotSupported:
      return "subscription identifiers not supported";
    case ReasonCode::kWildcardSubscriptionsNotSupported:
      return "wildcard subscriptions not supported";
  }
  return "unknown reason code";
}

}  // namespace millrace::mqtt
