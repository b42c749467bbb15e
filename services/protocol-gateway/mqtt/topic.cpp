#include "mqtt/topic.hpp"

namespace millrace::gateway {
namespace {

std::optional<std::string_view> behind(std::string_view text, std::string_view beginning) {
  if (!text.starts_with(beginning)) return std::nullopt;
  return text.substr(beginning.size());
}

std::optional<IngestTopic> with_suffix(IngestTopic topic, std::string_view suffix) {
  if (suffix.empty()) return topic;
  if (suffix.front() == '/' && suffix.size() > 1) {
    topic.metric = suffix.substr(1);
    topic.format = telemetry::PayloadFormat::kText;
    return topic;
  }
  topic.format = telemetry::format_of_extension(suffix);
  if (!topic.format) return std::nullopt;
  return topic;
}

}  // namespace

std::optional<IngestTopic> parse_ingest_topic(std::string_view topic) {
  constexpr std::string_view kRoot = "devices/";
  if (!topic.starts_with(kRoot)) return std::nullopt;
  topic.remove_prefix(kRoot.size());
  const std::size_t slash = topic.find('/');
  if (slash == 0 || slash == std::string_view::npos) return std::nullopt;
  const std::string_view kind = topic.substr(slash + 1);
  IngestTopic found{topic.substr(0, slash), "", {}, {}};
  if (const auto rest = behind(kind, "telemetry")) return with_suffix(found, *rest);
  found.metric_prefix = "status.";
  if (const auto rest = behind(kind, "status")) return with_suffix(found, *rest);
  return std::nullopt;
}

}  // namespace millrace::gateway
