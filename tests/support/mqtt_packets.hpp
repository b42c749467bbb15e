// Every MQTT packet in both versions, as bytes, and a way to decode and encode any of them again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/mqtt/codec.hpp>

namespace millrace::mqtt::testing {

struct Sample {
  std::string name;
  Version version;
  std::string bytes;
};

namespace detail {

template <typename Packet>
std::optional<std::string> again(const Frame& frame, Version version, Fault& fault) {
  Packet packet;
  fault = decode(frame, version, packet);
  if (fault) return std::nullopt;
  std::string out;
  encode(version, packet, out);
  return out;
}

}  // namespace detail

/// Decodes one frame and encodes what came out; nullopt (with the fault) if it does not decode. `version` is that of
/// the connection; a CONNECT brings its own.
inline std::optional<std::string> recode(const Frame& frame, Version version, Fault& fault) {
  std::string out;
  switch (frame.type) {
    case PacketType::kConnect: {
      Connect packet;
      fault = decode(frame, packet);
      if (fault) return std::nullopt;
      encode(packet, out);
      return out;
    }
    case PacketType::kConnack:
      return detail::again<Connack>(frame, version, fault);
    case PacketType::kPublish:
      return detail::again<Publish>(frame, version, fault);
    case PacketType::kPuback:
    case PacketType::kPubrec:
    case PacketType::kPubrel:
    case PacketType::kPubcomp:
      return detail::again<Ack>(frame, version, fault);
    case PacketType::kSubscribe:
      return detail::again<Subscribe>(frame, version, fault);
    case PacketType::kUnsubscribe:
      return detail::again<Unsubscribe>(frame, version, fault);
    case PacketType::kSuback:
    case PacketType::kUnsuback:
      return detail::again<Suback>(frame, version, fault);
    case PacketType::kDisconnect:
      return detail::again<Disconnect>(frame, version, fault);
    case PacketType::kAuth: {
      Auth packet;
      fault = decode(frame, packet);
      if (fault) return std::nullopt;
      encode(packet, out);
      return out;
    }
    case PacketType::kPingreq:
    case PacketType::kPingresp:
      fault = decode_empty(frame);
      if (fault) return std::nullopt;
      if (frame.type == PacketType::kPingreq) encode_pingreq(out);
      if (frame.type == PacketType::kPingresp) encode_pingresp(out);
      return out;
  }
  return std::nullopt;
}

/// All packet types of both versions, small and with everything in them, written by the encoder in its shortest form.
inline std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto add = [&](std::string name, Version version, auto&& write) {
    std::string bytes;
    write(bytes);
    all.push_back({std::move(name) + (version == Version::k5 ? " v5" : " v3.1.1"), version, std::move(bytes)});
  };
  using Id = PropertyId;
  PropertyWriter connect, will, connack, publish, reason, subscribe, user, disconnect, auth;
  user.add_user("a", "b").add_user("a", "c").add_user("", "");
  connect.add(Id::kSessionExpiryInterval, 3600U).add(Id::kReceiveMaximum, 10U).add(Id::kMaximumPacketSize, 65536U);
  connect.add(Id::kTopicAliasMaximum, 4U).add(Id::kRequestResponseInformation, 1U);
  connect.add(Id::kRequestProblemInformation, 0U).add_user("k", "v").add(Id::kAuthenticationMethod, "SCRAM");
  connect.add(Id::kAuthenticationData, std::string_view("\0\1\2", 3));
  will.add(Id::kWillDelayInterval, 5U).add(Id::kPayloadFormatIndicator, 1U).add(Id::kMessageExpiryInterval, 60U);
  will.add(Id::kContentType, "text/plain").add(Id::kResponseTopic, "r/1").add(Id::kCorrelationData, "cd");
  will.add_user("w", "1");
  connack.add(Id::kSessionExpiryInterval, 0U).add(Id::kReceiveMaximum, 20U).add(Id::kMaximumQos, 1U);
  connack.add(Id::kRetainAvailable, 0U).add(Id::kMaximumPacketSize, 1000U).add(Id::kAssignedClientIdentifier, "x-1");
  connack.add(Id::kTopicAliasMaximum, 16U).add(Id::kReasonString, "fine").add_user("region", "north");
  connack.add(Id::kWildcardSubscriptionAvailable, 1U).add(Id::kSubscriptionIdentifierAvailable, 0U);
  connack.add(Id::kSharedSubscriptionAvailable, 0U).add(Id::kServerKeepAlive, 30U).add(Id::kResponseInformation, "ri");
  connack.add(Id::kServerReference, "other:1883").add(Id::kAuthenticationMethod, "m").add(Id::kAuthenticationData, "d");
  publish.add(Id::kPayloadFormatIndicator, 1U).add(Id::kMessageExpiryInterval, 10U).add(Id::kTopicAlias, 3U);
  publish.add(Id::kResponseTopic, "r").add(Id::kCorrelationData, "").add_user("message-id", "4711");
  publish.add(Id::kSubscriptionIdentifier, 268'435'455U).add(Id::kSubscriptionIdentifier, 1U);
  publish.add(Id::kContentType, "application/json");
  reason.add(Id::kReasonString, "because").add_user("receipt", "3:4711");
  subscribe.add(Id::kSubscriptionIdentifier, 200U).add_user("s", "1");
  disconnect.add(Id::kSessionExpiryInterval, 1U).add(Id::kReasonString, "bye").add(Id::kServerReference, "b");
  auth.add(Id::kAuthenticationMethod, "SCRAM").add(Id::kAuthenticationData, "x").add(Id::kReasonString, "more");

  for (const Version version : {Version::k311, Version::k5}) {
    const bool v5 = version == Version::k5;
    const auto only5 = [&](const PropertyWriter& writer) { return v5 ? writer.view() : Properties{}; };
    Connect plain;
    plain.version = version;
    plain.client_id = "meter-1";
    add("CONNECT", version, [&](std::string& out) { encode(plain, out); });
    Connect full = plain;
    full.clean_start = false;
    full.keep_alive_s = 65535;
    full.user_name = "meter-1@grid";
    full.password = std::string_view("\0secret", 7);
    full.will = Will{"devices/meter-1/status", "gone", Qos::kExactlyOnce, true, only5(will)};
    full.properties = only5(connect);
    add("CONNECT full", version, [&](std::string& out) { encode(full, out); });
    add("CONNACK", version,
        [&](std::string& out) { encode(version, Connack{true, ReasonCode::kSuccess, only5(connack)}, out); });
    add("CONNACK refused", version,
        [&](std::string& out) { encode(version, Connack{false, ReasonCode::kNotAuthorized, {}}, out); });
    add("PUBLISH 0", version,
        [&](std::string& out) { encode(version, Publish{"a", "", {}, false, true, 0, {}}, out); });
    add("PUBLISH 1", version, [&](std::string& out) {
      encode(version, Publish{"devices/m/telemetry", std::string(200, 'x'), Qos::kAtLeastOnce, true, false, 1, {}},
             out);
    });
    add("PUBLISH 2 full", version, [&](std::string& out) {
      encode(version,
             Publish{"\xC3\xA4/\xF0\x9F\x98\x80", "payload", Qos::kExactlyOnce, true, true, 65535, only5(publish)},
             out);
    });
    for (const PacketType type :
         {PacketType::kPuback, PacketType::kPubrec, PacketType::kPubrel, PacketType::kPubcomp}) {
      const std::string name(to_string(type));
      const bool first_half = type == PacketType::kPuback || type == PacketType::kPubrec;
      const ReasonCode failure = first_half ? ReasonCode::kQuotaExceeded : ReasonCode::kPacketIdentifierNotFound;
      add(name, version, [&](std::string& out) { encode(version, Ack{type, 7, ReasonCode::kSuccess, {}}, out); });
      if (!v5) continue;
      add(name + " failed", version, [&](std::string& out) { encode(version, Ack{type, 7, failure, {}}, out); });
      add(name + " full", version,
          [&](std::string& out) { encode(version, Ack{type, 7, failure, reason.view()}, out); });
    }
    std::string subscriptions;
    append_subscription(version, {"a/+/#", Qos::kAtLeastOnce, true, true, RetainHandling::kDoNotSend}, subscriptions);
    append_subscription(version, {"#", Qos::kExactlyOnce, false, false, RetainHandling::kSendIfNew}, subscriptions);
    add("SUBSCRIBE", version,
        [&](std::string& out) { encode(version, Subscribe{9, only5(subscribe), subscriptions}, out); });
    add("SUBACK", version, [&](std::string& out) {
      encode(version, Suback{PacketType::kSuback, 9, only5(reason), std::string_view("\x00\x01\x02\x80", 4)}, out);
    });
    std::string filters;
    append_filter("a/b", filters);
    append_filter("$share/g/a/#", filters);
    add("UNSUBSCRIBE", version, [&](std::string& out) { encode(version, Unsubscribe{10, only5(user), filters}, out); });
    add("UNSUBACK", version, [&](std::string& out) {
      encode(version, Suback{PacketType::kUnsuback, 10, only5(reason), v5 ? std::string_view("\x00\x11", 2) : ""}, out);
    });
    add("PINGREQ", version, [&](std::string& out) { encode_pingreq(out); });
    add("PINGRESP", version, [&](std::string& out) { encode_pingresp(out); });
    add("DISCONNECT", version, [&](std::string& out) { encode(version, Disconnect{}, out); });
    if (!v5) continue;
    add("DISCONNECT will", version,
        [&](std::string& out) { encode(version, Disconnect{ReasonCode::kDisconnectWithWill, {}}, out); });
    add("DISCONNECT full", version,
        [&](std::string& out) { encode(version, Disconnect{ReasonCode::kServerMoved, disconnect.view()}, out); });
    add("AUTH", version, [&](std::string& out) { encode(Auth{}, out); });
    add("AUTH full", version,
        [&](std::string& out) { encode(Auth{ReasonCode::kContinueAuthentication, auth.view()}, out); });
  }
  return all;
}

}  // namespace millrace::mqtt::testing
