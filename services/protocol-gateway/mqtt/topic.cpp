#include "mqtt/topic.hpp"

namespace millrace::gateway {

std::optional<IngestTopic> parse_ingest_topic(std::string_view topic) {
  constexpr std::string_view kRoot = "devices/";
  if (!topic.starts_with(kRoot)) return std::nullopt;
  topic.remove_prefix(kRoot.size());
  const std::size_t slash = topic.find('/');
  if (slash == 0 || slash == std::string_view::npos) return std::nullopt;
  const std::string_view kind = topic.substr(slash + 1);
  if (kind == "telemetry") return IngestTopic{topic.substr(0, slash), ""};
  if (kind == "status") return IngestTopic{topic.substr(0, slash), "status."};
  return std::nullopt;
}

}  // namespace millrace::gateway
