#pragma once

#include <string_view>
#include <unordered_map>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <millrace/telemetry/message_schema.hpp>

namespace millrace::telemetry {

struct MessageSchema::Impl {
  google::protobuf::DescriptorPool pool;
  google::protobuf::DynamicMessageFactory factory;  // needs the pool until its end
  const google::protobuf::Descriptor* root = nullptr;
  const google::protobuf::Message* prototype = nullptr;
  /// A google.protobuf.Timestamp that is the time of the message without being called so; null: none.
  const google::protobuf::FieldDescriptor* time = nullptr;
  /// Memory of an empty message, of each kind that can stand in the root.
  std::unordered_map<const google::protobuf::Descriptor*, std::size_t> bytes;
};

/// `ts`, `timestamp` and `time`, as in the JSON form.
[[nodiscard]] bool is_time_name(std::string_view name);

/// Those and `device_id`: no metrics at the root of a message.
[[nodiscard]] bool is_reserved_name(std::string_view name);

/// google.protobuf.Timestamp with the fields that it has.
[[nodiscard]] bool is_timestamp(const google::protobuf::Descriptor& message);

/// The `value` of one of google.protobuf's wrappers (DoubleValue …); null: it is none.
[[nodiscard]] const google::protobuf::FieldDescriptor* wrapped_value(const google::protobuf::Descriptor& message);

/// Finds what a root message could never be decoded with, and fills `time` and `bytes`.
[[nodiscard]] Status check_schema(MessageSchema::Impl& schema);

}  // namespace millrace::telemetry
