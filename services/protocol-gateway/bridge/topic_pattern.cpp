#include "bridge/topic_pattern.hpp"

#include <algorithm>

namespace millrace::gateway {
namespace {

constexpr std::string_view kAnyLevel = "+";
constexpr std::string_view kAnyRest = "#";

Error invalid(std::string_view pattern, const std::string& what) {
  return Error{ErrorKind::kInvalid, "'" + std::string(pattern) + "' " + what};
}

bool is_literal(std::string_view level) { return level.find_first_of("+#{}") == std::string_view::npos; }

/// The level at the front of `rest`, which is moved behind it; `more` tells whether another one follows.
std::string_view take_level(std::string_view& rest, bool& more) {
  const std::size_t slash = rest.find('/');
  const std::string_view level = rest.substr(0, slash);
  more = slash != std::string_view::npos;
  rest.remove_prefix(more ? slash + 1 : rest.size());
  return level;
}

}  // namespace

Result<TopicPattern> TopicPattern::parse(std::string_view text) {
  TopicPattern pattern;
  if (text.empty() || text.size() > 65'535) return invalid(text, "has no length that a topic may have");
  if (text.starts_with('$')) return invalid(text, "begins with $; a shared subscription is made by \"share\"");
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return invalid(text, "has a control character");
  }
  std::string_view rest = text;
  for (bool more = true; more;) {
    const std::string_view level = take_level(rest, more);
    std::size_t* place = level == "{tenant}" ? &pattern.tenant_ : level == "{device}" ? &pattern.device_ : nullptr;
    if (place != nullptr) {
      if (*place != kNone) return invalid(text, "names " + std::string(level) + " twice");
      *place = pattern.levels_.size();
      pattern.levels_.emplace_back(kAnyLevel);
      continue;
    }
    if (level == kAnyRest && more) return invalid(text, "goes on behind #");
    if (level != kAnyRest && level != kAnyLevel && !is_literal(level)) {
      return invalid(text,
                     "has the level '" + std::string(level) + "': a level is text, +, {tenant}, {device} or a last #");
    }
    pattern.levels_.emplace_back(level);
  }
  if (pattern.device_ == kNone) return invalid(text, "has no level {device}");
  return pattern;
}

std::string TopicPattern::filter() const {
  std::string text;
  for (const std::string& level : levels_) {
    if (&level != &levels_.front()) text += '/';
    text += level;
  }
  return text;
}

std::optional<TopicPattern::Named> TopicPattern::match(std::string_view topic) const {
  Named named;
  std::string_view rest = topic;
  bool more = true;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    // `a/#` matches `a` too (MQTT 5, 4.7.1.2).
    if (levels_[i] == kAnyRest) return named;
    if (!more) return std::nullopt;
    const std::string_view level = take_level(rest, more);
    if (levels_[i] != kAnyLevel && levels_[i] != level) return std::nullopt;
    if (i == tenant_) named.tenant = level;
    if (i == device_) named.device = level;
  }
  if (more) return std::nullopt;
  return named;
}

bool TopicPattern::overlaps(const TopicPattern& other) const {
  const std::size_t both = std::min(levels_.size(), other.levels_.size());
  for (std::size_t i = 0; i < both; ++i) {
    const std::string& mine = levels_[i];
    const std::string& theirs = other.levels_[i];
    if (mine == kAnyRest || theirs == kAnyRest) return true;
    if (mine != theirs && mine != kAnyLevel && theirs != kAnyLevel) return false;
  }
  const auto& longer = levels_.size() > both ? levels_ : other.levels_;
  return longer.size() == both || (longer.size() == both + 1 && longer.back() == kAnyRest);
}

}  // namespace millrace::gateway
