#pragma once

#include <optional>
#include <string_view>

#include <millrace/telemetry/payload_format.hpp>

namespace millrace::gateway {

/// A topic that carries readings: `devices/{id}/telemetry` or `devices/{id}/status`, then nothing, the extension of a
/// payload format (`.cbor`), or `/` and the metric whose value the payload is.
struct IngestTopic {
  std::string_view device;
  std::string_view metric_prefix;                  ///< empty, or `status.`
  std::string_view metric;                         ///< levels apart by `/`; empty: the payload names its metrics
  std::optional<telemetry::PayloadFormat> format;  ///< what the topic says of the payload
};

/// None for any other topic. The device is as written: not checked against the grammar or the sender.
[[nodiscard]] std::optional<IngestTopic> parse_ingest_topic(std::string_view topic);

}  // namespace millrace::gateway
