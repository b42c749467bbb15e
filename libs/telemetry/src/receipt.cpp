#include <charconv>

#include <millrace/telemetry/receipt.hpp>

namespace millrace::telemetry {
namespace {

// Reads a non-negative number without sign or leading zeros and moves `text` past it.
template <typename Integer>
bool take_number(std::string_view& text, Integer& out) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  if (text.front() == '0' && text.size() > 1 && text[1] >= '0' && text[1] <= '9') return false;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (code != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string Receipt::to_string() const {
  std::string text = dead ? "dead:" : "";
  text += std::to_string(partition) + ":" + std::to_string(offset);
  if (generation != 0) text += "." + std::to_string(generation);
  return text;
}

Result<Receipt> parse_receipt(std::string_view text) {
  const Error bad{ErrorKind::kInvalid,
                  "a receipt is partition:offset such as 3:4711, with .generation in a later log, or dead:3:12"};
  Receipt receipt;
  receipt.dead = take(text, "dead:");
  if (!take_number(text, receipt.partition) || !take(text, ":") || !take_number(text, receipt.offset)) return bad;
  if (take(text, ".") && (!take_number(text, receipt.generation) || receipt.generation == 0)) return bad;
  if (!text.empty()) return bad;
  return receipt;
}

}  // namespace millrace::telemetry
