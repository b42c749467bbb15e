#pragma once

#include <string>

#include <google/protobuf/repeated_ptr_field.h>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

using TopicRules = google::protobuf::RepeatedPtrField<v1::TopicRule>;
using Children = google::protobuf::RepeatedPtrField<std::string>;

/// kInvalid names the place, unless there are at most 64 device ids and prefixes of ids that end in `*`.
[[nodiscard]] Status check_children(const Children& children);

/// kInvalid names the place, `where` before it, unless there are at most 64 rules, each with a topic filter of MQTT
/// (section 4.7) of at most 256 bytes that reaches local topics, for publishing or subscribing or both.
[[nodiscard]] Status check_topics(const std::string& where, const TopicRules& topics);

/// Inside the caller's transaction: each replaces all of them.
[[nodiscard]] Status set_device_children(postgres::Connection& connection, const std::string& tenant,
                                         const std::string& device, const Children& children);
[[nodiscard]] Status set_device_topics(postgres::Connection& connection, const std::string& tenant,
                                       const std::string& device, const TopicRules& topics);
[[nodiscard]] Status set_device_ack_level(postgres::Connection& connection, const std::string& tenant,
                                          const std::string& device, v1::AckLevel level);
[[nodiscard]] Result<v1::GetDeviceAccessResponse> get_device_access(postgres::Connection& connection,
                                                                    const std::string& tenant,
                                                                    const std::string& device);

}  // namespace millrace::registry
