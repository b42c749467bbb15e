#include <charconv>

#include <millrace/kafka/dead_letter.hpp>

namespace millrace::kafka::dead_letter {

std::string join_indexes(std::span<const std::int32_t> indexes) {
  std::string text;
  for (const std::int32_t index : indexes) text += (text.empty() ? "" : ",") + std::to_string(index);
  return text;
}

Result<std::vector<std::int32_t>> parse_indexes(std::string_view text) {
  std::vector<std::int32_t> indexes;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    std::int32_t index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (error != std::errc{} || end != part.data() + part.size() || index < 0) {
      return Error{ErrorKind::kInvalid, "'" + std::string(part) + "' is no index of a point"};
    }
    indexes.push_back(index);
    if (comma == std::string_view::npos) return indexes;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace millrace::kafka::dead_letter
