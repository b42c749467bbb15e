#pragma once

#include <cmath>

#include <millrace/telemetry/payload.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {

/// What every payload decoder owes under arbitrary bytes: a refusal says why and where, and what is taken keeps to
/// every limit that a later stage relies on.
inline void check_payload(telemetry::PayloadFormat format, std::string_view bytes,
                          const telemetry::DecodeOptions& options) {
  using namespace millrace::telemetry;
  constexpr PayloadLimits kLimits;
  static PayloadDecoder decoder;
  Batch batch;
  const auto error = decoder.decode(format, bytes, options, batch);
  if (error) {
    require(!error->message.empty(), "a refusal says why");
    require(!error->offset || *error->offset <= bytes.size(), "an offset lies within the payload");
    return;
  }
  require(!batch.points.empty() && batch.points.size() <= kLimits.max_points, "1 to the limit of points");
  for (const Point& point : batch.points) {
    require(!point.metric.empty() && point.metric.size() <= kLimits.max_metric_bytes, "a metric name within its limit");
    const auto time = device_time(batch, point);
    require(!time || (*time >= kLimits.min_time && *time < kLimits.max_time), "a time within its range");
    if (const auto* number = std::get_if<double>(&point.value)) require(std::isfinite(*number), "a finite number");
    if (const auto* text = std::get_if<std::string>(&point.value)) {
      require(text->size() <= kLimits.max_text_bytes && text->find('\0') == std::string::npos,
              "a text that can be stored");
    }
  }
  // What was taken can be written to the log and read from it as it was; protobuf also refuses what is not UTF-8.
  static BatchCodec codec;
  std::string record;
  Batch again;
  codec.encode(batch, record);
  require(codec.decode(record, again).ok() && again.points == batch.points, "the log keeps every point");
}

}  // namespace millrace::fuzz
