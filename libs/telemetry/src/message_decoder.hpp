#pragma once

#include <array>
#include <string>
#include <string_view>

#include <google/protobuf/arena.h>

#include <millrace/telemetry/message_schema.hpp>

#include "json_decoder.hpp"
#include "point_sink.hpp"

namespace millrace::telemetry {

/// A message of a registered descriptor. Reuses its memory between messages; small ones allocate next to nothing.
class MessageDecoder {
 public:
  MessageDecoder();

  /// `json` is the decoder that the points are made by.
  [[nodiscard]] bool decode(std::string_view bytes, const MessageSchema& schema, JsonDecoder& json, PointSink& sink);

 private:
  [[nodiscard]] bool to_json(std::string_view bytes, const MessageSchema::Impl& schema, PointSink& sink);

  alignas(8) std::array<char, 16 * 1024> block_;
  google::protobuf::Arena arena_;
  std::string json_;
};

}  // namespace millrace::telemetry
