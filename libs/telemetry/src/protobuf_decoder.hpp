#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "json_decoder.hpp"
#include "point_sink.hpp"

namespace millrace::telemetry {

/// telemetry.v1.Readings as Protocol Buffers, read field by field into points: nothing is built in between, so nothing
/// has to be bounded but the points.
class ProtobufDecoder {
 public:
  [[nodiscard]] bool decode(std::string_view bytes, PointSink& sink);

 private:
  struct Value {
    std::uint32_t kind = 0;  // field number of telemetry.v1.Value; 0: none
    std::uint64_t bits = 0;
    std::string_view text;
  };

  [[nodiscard]] bool point(std::string_view bytes);
  [[nodiscard]] bool value(std::string_view bytes, Value& out);
  [[nodiscard]] bool add(std::string_view metric, const Value& value);
  [[nodiscard]] bool add_json(std::string_view text);
  bool cut(const char* at, std::string_view what);

  JsonParser parser_;
  PointSink* sink_ = nullptr;
  const char* begin_ = nullptr;  // of the payload
  std::string name_;
};

}  // namespace millrace::telemetry
