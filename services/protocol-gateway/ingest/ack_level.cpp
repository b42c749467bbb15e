#include "ingest/ack_level.hpp"

#include <algorithm>

namespace millrace::gateway {

Result<std::optional<AckLevel>> ack_level_of_query(std::string_view query) {
  constexpr std::string_view kName = "ack=";
  std::optional<AckLevel> level;
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(item.size() + 1, query.size()));
    if (!item.starts_with(kName)) continue;
    if (level) return Error{ErrorKind::kInvalid, "the query has 'ack' twice"};
    const std::string_view value = item.substr(kName.size());
    auto said = parse_ack_level(value);
    if (!said.ok() || !*said) return Error{ErrorKind::kInvalid, std::string(kAckLevels)};
    level = *said;
  }
  return level;
}

}  // namespace millrace::gateway
