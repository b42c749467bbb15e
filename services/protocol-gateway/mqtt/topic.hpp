#pragma once

#include <optional>
#include <string_view>

namespace millrace::gateway {

/// A topic that carries readings: `devices/{id}/telemetry` or `devices/{id}/status`.
struct IngestTopic {
  std::string_view device;
  std::string_view metric_prefix;  ///< empty, or `status.`
};

/// None for any other topic. The device is as written: not checked against the grammar or the sender.
[[nodiscard]] std::optional<IngestTopic> parse_ingest_topic(std::string_view topic);

}  // namespace millrace::gateway
