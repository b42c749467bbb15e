// The vocabulary of MQTT 3.1.1 (OASIS, October 2014) and MQTT 5.0 (OASIS, March 2019): versions, packet types, reason
// codes, property identifiers. Section numbers in this library are those of 5.0 unless "3.1.1" stands before them.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::mqtt {

enum class Version : std::uint8_t { k311 = 4, k5 = 5 };

enum class PacketType : std::uint8_t {
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kPubrec = 5,
  kPubrel = 6,
  kPubcomp = 7,
  kSubscribe = 8,
  kSuback = 9,
  kUnsubscribe = 10,
  kUnsuback = 11,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
  kAuth = 15,
};

enum class Qos : std::uint8_t { kAtMostOnce = 0, kAtLeastOnce = 1, kExactlyOnce = 2 };

/// Section 2.4. Code 0x00 is also "normal disconnection" and "granted QoS 0".
enum class ReasonCode : std::uint8_t {
  kSuccess = 0x00,
  kGrantedQos1 = 0x01,
  kGrantedQos2 = 0x02,
  kDisconnectWithWill = 0x04,
  kNoMatchingSubscribers = 0x10,
  kNoSubscriptionExisted = 0x11,
  kContinueAuthentication = 0x18,
  kReAuthenticate = 0x19,
  kUnspecifiedError = 0x80,
  kMalformedPacket = 0x81,
  kProtocolError = 0x82,
  kImplementationSpecificError = 0x83,
  kUnsupportedProtocolVersion = 0x84,
  kClientIdentifierNotValid = 0x85,
  kBadUserNameOrPassword = 0x86,
  kNotAuthorized = 0x87,
  kServerUnavailable = 0x88,
  kServerBusy = 0x89,
  kBanned = 0x8A,
  kServerShuttingDown = 0x8B,
  kBadAuthenticationMethod = 0x8C,
  kKeepAliveTimeout = 0x8D,
  kSessionTakenOver = 0x8E,
  kTopicFilterInvalid = 0x8F,
  kTopicNameInvalid = 0x90,
  kPacketIdentifierInUse = 0x91,
  kPacketIdentifierNotFound = 0x92,
  kReceiveMaximumExceeded = 0x93,
  kTopicAliasInvalid = 0x94,
  kPacketTooLarge = 0x95,
  kMessageRateTooHigh = 0x96,
  kQuotaExceeded = 0x97,
  kAdministrativeAction = 0x98,
  kPayloadFormatInvalid = 0x99,
  kRetainNotSupported = 0x9A,
  kQosNotSupported = 0x9B,
  kUseAnotherServer = 0x9C,
  kServerMoved = 0x9D,
  kSharedSubscriptionsNotSupported = 0x9E,
  kConnectionRateExceeded = 0x9F,
  kMaximumConnectTime = 0xA0,
  kSubscriptionIdentifiersNotSupported = 0xA1,
  kWildcardSubscriptionsNotSupported = 0xA2,
};

/// Section 2.2.2.2.
enum class PropertyId : std::uint8_t {
  kPayloadFormatIndicator = 0x01,
  kMessageExpiryInterval = 0x02,
  kContentType = 0x03,
  kResponseTopic = 0x08,
  kCorrelationData = 0x09,
  kSubscriptionIdentifier = 0x0B,
  kSessionExpiryInterval = 0x11,
  kAssignedClientIdentifier = 0x12,
  kServerKeepAlive = 0x13,
  kAuthenticationMethod = 0x15,
  kAuthenticationData = 0x16,
  kRequestProblemInformation = 0x17,
  kWillDelayInterval = 0x18,
  kRequestResponseInformation = 0x19,
  kResponseInformation = 0x1A,
  kServerReference = 0x1C,
  kReasonString = 0x1F,
  kReceiveMaximum = 0x21,
  kTopicAliasMaximum = 0x22,
  kTopicAlias = 0x23,
  kMaximumQos = 0x24,
  kRetainAvailable = 0x25,
  kUserProperty = 0x26,
  kMaximumPacketSize = 0x27,
  kWildcardSubscriptionAvailable = 0x28,
  kSubscriptionIdentifierAvailable = 0x29,
  kSharedSubscriptionAvailable = 0x2A,
};

/// Largest Remaining Length, section 1.5.5.
inline constexpr std::uint32_t kMaxRemainingLength = 268'435'455;

/// A reason code of 0x80 or more says that the operation failed (section 2.4).
constexpr bool is_failure(ReasonCode code) { return static_cast<std::uint8_t>(code) >= 0x80; }

/// The code's name in the standard's words, lower case ("packet too large"); "unknown reason code" for a number that
/// the standard does not list.
std::string_view to_string(ReasonCode code);
std::string_view to_string(PacketType type);

/// What is wrong with bytes or a call: the reason code that section 4.13 asks for and the rule that was broken, as a
/// static text that starts with the section number. Empty (false) when nothing is wrong.
struct Fault {
  ReasonCode code = ReasonCode::kSuccess;
  const char* rule = nullptr;
  explicit operator bool() const { return rule != nullptr; }
};

/// Section 1.5.4: well-formed UTF-8 without U+0000 and surrogates. Control characters and non-characters are allowed
/// there ("SHOULD NOT"), and here.
bool valid_utf8(std::string_view text);

/// Section 4.7: well-formed, 1..65535 bytes, no wildcard.
bool valid_topic_name(std::string_view topic);

/// Section 4.7.1 and 4.8.2: wildcards stand alone in their level, '#' only last, `$share/<name>/<filter>` complete.
bool valid_topic_filter(std::string_view filter);

/// Section 4.8.2: does the filter begin with "$share/"?
bool is_shared_filter(std::string_view filter);

}  // namespace millrace::mqtt
