#include <charconv>
#include <optional>

#include <millrace/telemetry_log/replay_start.hpp>

namespace millrace::telemetry_log {
namespace {

// `1;from=4711;gen=0;cluster=…;log=<time>;…`
constexpr std::string_view kVersion = "1;";

std::optional<std::string_view> field(std::string_view text, std::string_view name) {
  const std::string begin = ";" + std::string(name) + "=";
  const std::size_t at = text.find(begin);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + begin.size());
  return rest.substr(0, rest.find(';'));
}

template <typename Number>
bool read_number(std::string_view text, std::string_view name, Number& out) {
  const auto value = field(text, name);
  if (!value) return false;
  const auto [end, fault] = std::from_chars(value->data(), value->data() + value->size(), out);
  return fault == std::errc{} && end == value->data() + value->size();
}

}  // namespace

Result<ReplayStart> read_replay_start(std::string_view metadata) {
  ReplayStart start;
  const auto cluster = field(metadata, "cluster");
  const bool whole = metadata.starts_with(kVersion) && cluster && read_number(metadata, "from", start.offset) &&
                     read_number(metadata, "gen", start.generation) && read_number(metadata, "log", start.log_time);
  if (!whole) {
    return Error{ErrorKind::kCorrupt,
                 "the metadata of stream-processing's offset cannot be read: " + std::string(metadata.substr(0, 200))};
  }
  start.cluster_id = *cluster;
  return start;
}

}  // namespace millrace::telemetry_log
