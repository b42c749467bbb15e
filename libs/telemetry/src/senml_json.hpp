#pragma once

#include <string_view>

#include "json_decoder.hpp"
#include "senml.hpp"

namespace millrace::telemetry {

/// SenML as JSON (RFC 8428 section 5).
class SenmlJsonDecoder {
 public:
  [[nodiscard]] bool decode(std::string_view json, PointSink& sink);

 private:
  [[nodiscard]] bool record(simdjson::dom::element element, SenmlRecord& out);
  [[nodiscard]] bool field(SenmlField field, simdjson::dom::element element, SenmlRecord& out);

  JsonParser parser_;
  SenmlResolver resolver_;
  PointSink* sink_ = nullptr;
};

}  // namespace millrace::telemetry
