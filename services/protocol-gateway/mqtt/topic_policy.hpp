#pragma once

#include <optional>
#include <string_view>

#include <millrace/mqtt/server_connection.hpp>
#include <millrace/telemetry/payload_format.hpp>

#include "mqtt/topic_rights.hpp"

namespace millrace::gateway {

/// What an MQTT client may do with which topic. A pure value; of_device() keeps a view of the device's id and its
/// rights.
///
/// A device publishes its readings to `devices/{own}/telemetry` and `devices/{own}/status`, with the suffixes of
/// IngestTopic, and listens to
/// `devices/{own}/errors`, `devices/{own}/commands` and everything below `devices/{own}/commands/`; a gateway device
/// the same for its children. What is not below `devices/` is local, and allowed where its rights have a rule for it;
/// all else is forbidden. Under the open policy every topic is a plain one: no readings, no restrictions.
class TopicPolicy {
 public:
  [[nodiscard]] static TopicPolicy open() { return TopicPolicy{{}}; }
  /// `device` is not empty; it and `rights` (null: none) must outlive the value.
  [[nodiscard]] static TopicPolicy of_device(std::string_view device, const TopicRights* rights = nullptr) {
    return TopicPolicy{device, rights};
  }

  enum class Use {
    kIngest,     ///< readings: on to Kafka
    kLocal,      ///< for subscribers in this gateway
    kForbidden,  ///< reason kNotAuthorized
  };
  struct Publishing {
    Use use = Use::kForbidden;
    std::string_view child = {};  ///< of kIngest: whose readings they are; empty: the device's own
    // Of kIngest, as in IngestTopic.
    std::string_view metric_prefix = {};
    std::string_view metric = {};
    std::optional<telemetry::PayloadFormat> format = {};
  };
  /// For a PUBLISH and for a will. `topic` is a valid topic name.
  [[nodiscard]] Publishing publishing(std::string_view topic) const;

  /// `filter` is a valid topic filter.
  [[nodiscard]] bool may_subscribe(std::string_view filter) const;

  /// The child that a filter which is allowed is about; empty: none, or whichever there is.
  [[nodiscard]] std::string_view child_of(std::string_view filter) const;

  /// What CONNACK says of it.
  [[nodiscard]] const mqtt::Offers& offers() const;

 private:
  explicit TopicPolicy(std::string_view device, const TopicRights* rights = nullptr)
      : device_(device), rights_(rights) {}

  [[nodiscard]] bool speaks_for(std::string_view device) const;

  std::string_view device_;  // empty: open
  const TopicRights* rights_ = nullptr;
};

}  // namespace millrace::gateway
