// SUBSCRIBE and UNSUBSCRIBE on their way to the owner, and its answers on their way back.
#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

#include "answers.hpp"
#include "in_flight.hpp"
#include "outgoing_aliases.hpp"
#include "reason_tables.hpp"
#include "wire.hpp"

namespace millrace::mqtt {

/// What CONNACK has ruled out is a protocol error (sections 3.2.2.3.11 to 3.2.2.3.13). 3.1.1 was not told.
Fault ServerConnection::check_filter(std::string_view filter) const {
  if (version_ == Version::k311) return {};
  if (!offers_.shared_subscriptions && is_shared_filter(filter)) {
    return {ReasonCode::kSharedSubscriptionsNotSupported, "3.2.2.3.13 shared subscription"};
  }
  if (!offers_.wildcard_subscriptions && filter.find_first_of("+#") != std::string_view::npos) {
    return {ReasonCode::kWildcardSubscriptionsNotSupported, "3.2.2.3.11 wildcard subscription"};
  }
  return {};
}

Event ServerConnection::on_subscribe(const Frame& frame) {
  SubscribeRequested event;
  Subscribe& subscribe = event.subscribe;
  if (Fault fault = decode(frame, version_, subscribe)) return fail(fault);
  event.subscription_id = subscribe.properties.number(PropertyId::kSubscriptionIdentifier).value_or(0);
  if (event.subscription_id != 0 && !offers_.subscription_ids) {
    return fail({ReasonCode::kSubscriptionIdentifiersNotSupported, "3.2.2.3.12 subscription identifier"});
  }
  Asked asked{PacketType::kSuback, subscribe.packet_id, 0};
  SubscriptionReader reader = subscribe.reader();
  for (Subscription subscription; reader.next(subscription); ++asked.filters) {
    if (Fault fault = check_filter(subscription.filter)) return fail(fault);
  }
  asked_ = asked;
  return event;
}

Event ServerConnection::on_unsubscribe(const Frame& frame) {
  UnsubscribeRequested event;
  Unsubscribe& unsubscribe = event.unsubscribe;
  if (Fault fault = decode(frame, version_, unsubscribe)) return fail(fault);
  Asked asked{PacketType::kUnsuback, unsubscribe.packet_id, 0};
  FilterReader reader = unsubscribe.reader();
  for (std::string_view filter; reader.next(filter);) ++asked.filters;
  asked_ = asked;
  return event;
}

bool ServerConnection::suback(std::uint16_t packet_id, std::span<const ReasonCode> codes,
                              const Explanation& explanation) {
  return answer_filters(PacketType::kSuback, packet_id, codes, explanation);
}

bool ServerConnection::unsuback(std::uint16_t packet_id, std::span<const ReasonCode> codes,
                                const Explanation& explanation) {
  return answer_filters(PacketType::kUnsuback, packet_id, codes, explanation);
}

bool ServerConnection::answer_filters(PacketType type, std::uint16_t packet_id, std::span<const ReasonCode> codes,
                                      const Explanation& explanation) {
  if (asked_.filters == 0 || asked_.answer != type || asked_.packet_id != packet_id) return false;
  const ReasonSet& allowed = type == PacketType::kSuback ? kSubackReasons : kUnsubackReasons;
  // [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2]: one per filter, in their order
  std::string bytes;
  for (std::size_t i = 0; i < asked_.filters; ++i) {
    const bool known = i < codes.size() && allowed.has(codes[i]);
    bytes.push_back(static_cast<char>(known ? codes[i] : ReasonCode::kUnspecifiedError));
  }
  asked_ = {};
  if (state_ != ConnectionState::kConnected) return false;
  Suback suback{type, packet_id, {}, bytes};
  const std::size_t start = output_.size();
  if (version_ == Version::k5 && problem_information_) {
    suback.properties = explained(explanation.reason_string, explanation.user_properties);
  }
  encode(version_, suback, output_);
  if (fits_peer(output_.size() - start)) return true;
  output_.resize(start);  // [MQTT-3.9.2-1], [MQTT-3.9.2-2], [MQTT-3.11.2-1], [MQTT-3.11.2-2]
  suback.properties = {};
  encode(version_, suback, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);  // [MQTT-3.1.2-25]
  return true;
}

}  // namespace millrace::mqtt
