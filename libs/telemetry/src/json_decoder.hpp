#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "point_sink.hpp"

namespace millrace::telemetry {

/// JSON with its bounds: the parser, and the reasons of what it refuses.
class JsonParser {
 public:
  /// Valid until the next call. None: the fault is noted in `sink`.
  [[nodiscard]] std::optional<simdjson::dom::element> parse(std::string_view json, PointSink& sink);

 private:
  simdjson::dom::parser parser_;
  std::string padded_;
};

/// Millrace's own JSON: (a) a flat object, nested objects flattened with `.`, arrays kept as JSON, null skipped,
/// `device_id` and `timestamp`/`ts`/`time` reserved; (b) {"ts":…,"values":{…}}; (c) an array of (a) and (b).
class JsonDecoder {
 public:
  [[nodiscard]] bool decode(std::string_view json, PointSink& sink);

 private:
  [[nodiscard]] bool elements(simdjson::dom::array elements);
  [[nodiscard]] bool message(simdjson::dom::element element, std::optional<TimeUs>& time);
  [[nodiscard]] bool object(simdjson::dom::object values, std::size_t prefix_length, bool reserved);
  [[nodiscard]] bool point(simdjson::dom::element element);
  [[nodiscard]] bool reserved_member(std::string_view key, simdjson::dom::element element, std::optional<TimeUs>& time);
  [[nodiscard]] bool time_of(std::string_view key, simdjson::dom::element element, std::optional<TimeUs>& time);

  JsonParser parser_;
  PointSink* sink_ = nullptr;
  std::string name_;  // metric name under construction: prefix and the keys so far
};

}  // namespace millrace::telemetry
