#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "message_schema_impl.hpp"
#include "point_sink.hpp"

namespace millrace::telemetry {

/// Writes a message as the JSON that says the same in Millrace's own form, so that both have one meaning, one set of
/// limits and one decoder: names as in the .proto file, 64-bit integers as numbers, a number that is a float or double
/// stays one, enums by name, bytes as base64 (RFC 4648 section 4), times as RFC 3339. Only what is present is written.
class MessageJson {
 public:
  /// Appends to `out`.
  MessageJson(const MessageSchema::Impl& schema, PointSink& sink, std::string& out);

  /// False: the fault is noted in the sink.
  [[nodiscard]] bool write(const google::protobuf::Message& message);

 private:
  struct Place;

  bool object(const google::protobuf::Message& message);
  bool field(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);
  bool list(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);
  bool map(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);
  bool value(const Place& place);
  bool message_value(const Place& place);
  bool timestamp(const google::protobuf::Message& time, const google::protobuf::FieldDescriptor& field);
  bool real(double value, const google::protobuf::FieldDescriptor& field);
  template <typename Integer>
  bool integer(Integer value);
  bool text(std::string_view text);
  bool enum_name(const Place& place);
  void key(std::string_view name);  // of a field: letters, digits and _
  bool bounded();

  const MessageSchema::Impl& schema_;
  PointSink& sink_;
  std::string& out_;
  std::size_t most_;
};

}  // namespace millrace::telemetry
