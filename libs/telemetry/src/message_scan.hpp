#pragma once

#include <cstddef>
#include <string_view>

#include "message_schema_impl.hpp"
#include "point_sink.hpp"

namespace millrace::telemetry {

/// Looks through the bytes of a message before anything is built of them: what is cut or of another type than declared
/// is said with its place, and how deep it goes and how much memory it will take is bounded. Fields that are not
/// declared are passed over.
class MessageScan {
 public:
  MessageScan(const MessageSchema::Impl& schema, std::string_view bytes, PointSink& sink)
      : schema_(schema), bytes_(bytes), sink_(sink) {}

  /// False: the fault is noted in the sink.
  [[nodiscard]] bool run() { return message(*schema_.root, bytes_, 1); }

 private:
  bool message(const google::protobuf::Descriptor& type, std::string_view bytes, std::size_t depth);
  bool field(const google::protobuf::FieldDescriptor& field, std::string_view bytes, std::size_t depth);
  bool cut(const char* at, const google::protobuf::Descriptor& type);

  const MessageSchema::Impl& schema_;
  std::string_view bytes_;
  PointSink& sink_;
  std::size_t memory_ = 0;
};

}  // namespace millrace::telemetry
