// The packets of both versions as plain structures. Every string_view and Properties points into the decoded buffer
// (or, for encoding, into the caller's): nothing is copied, nothing is owned. In 3.1.1 the properties are empty, and
// reason codes are those of 5.0 (codec.hpp says how they are mapped).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <millrace/mqtt/properties.hpp>
#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {

struct Will {
  std::string_view topic;
  std::string_view payload;
  Qos qos = Qos::kAtMostOnce;
  bool retain = false;
  Properties properties;
};

/// Section 3.1.
struct Connect {
  Version version = Version::k5;
  bool clean_start = true;         ///< "clean session" in 3.1.1
  std::uint16_t keep_alive_s = 0;  ///< seconds, 0 = none
  std::string_view client_id;
  std::optional<Will> will;
  std::optional<std::string_view> user_name;
  std::optional<std::string_view> password;
  Properties properties;
};

/// Section 3.2.
struct Connack {
  bool session_present = false;
  ReasonCode reason = ReasonCode::kSuccess;
  Properties properties;
};

/// Section 3.3. `topic` is empty when only a topic alias was sent.
struct Publish {
  std::string_view topic;
  std::string_view payload;
  Qos qos = Qos::kAtMostOnce;
  bool dup = false;
  bool retain = false;
  std::uint16_t packet_id = 0;  ///< 0 at QoS 0
  Properties properties;
};

/// Sections 3.4 to 3.7: PUBACK, PUBREC, PUBREL, PUBCOMP.
struct Ack {
  PacketType type = PacketType::kPuback;
  std::uint16_t packet_id = 0;
  ReasonCode reason = ReasonCode::kSuccess;
  Properties properties;
};

enum class RetainHandling : std::uint8_t { kSend = 0, kSendIfNew = 1, kDoNotSend = 2 };

struct Subscription {
  std::string_view filter;
  Qos maximum_qos = Qos::kAtMostOnce;
  bool no_local = false;
  bool retain_as_published = false;
  RetainHandling retain_handling = RetainHandling::kSend;
};

/// Walks the payload of a SUBSCRIBE.
class SubscriptionReader {
 public:
  explicit SubscriptionReader(std::string_view entries) : rest_(entries) {}
  bool next(Subscription& out);

 private:
  std::string_view rest_;
};

/// Section 3.8. `entries` is the validated payload; read it with SubscriptionReader.
struct Subscribe {
  std::uint16_t packet_id = 0;
  Properties properties;
  std::string_view entries;
  SubscriptionReader reader() const { return SubscriptionReader(entries); }
};

/// Walks the payload of an UNSUBSCRIBE.
class FilterReader {
 public:
  explicit FilterReader(std::string_view entries) : rest_(entries) {}
  bool next(std::string_view& filter);

 private:
  std::string_view rest_;
};

/// Section 3.10.
struct Unsubscribe {
  std::uint16_t packet_id = 0;
  Properties properties;
  std::string_view entries;
  FilterReader reader() const { return FilterReader(entries); }
};

/// Sections 3.9 and 3.11: SUBACK and UNSUBACK. One byte (a ReasonCode) per filter; the UNSUBACK of 3.1.1 has none.
struct Suback {
  PacketType type = PacketType::kSuback;
  std::uint16_t packet_id = 0;
  Properties properties;
  std::string_view codes;
};

/// Section 3.14.
struct Disconnect {
  ReasonCode reason = ReasonCode::kSuccess;
  Properties properties;
};

/// Section 3.15, version 5 only.
struct Auth {
  ReasonCode reason = ReasonCode::kSuccess;
  Properties properties;
};

}  // namespace millrace::mqtt
