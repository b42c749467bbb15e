#include "mqtt/topic_filter.hpp"

namespace millrace::gateway {
namespace {

/// The levels of a filter, one after the other.
class Levels {
 public:
  explicit Levels(std::string_view filter) : rest_(filter) {}
  [[nodiscard]] bool done() const { return done_; }
  std::string_view next() {
    const std::size_t slash = rest_.find('/');
    const std::string_view level = rest_.substr(0, slash);
    done_ = slash == std::string_view::npos;
    rest_.remove_prefix(done_ ? rest_.size() : slash + 1);
    return level;
  }

 private:
  std::string_view rest_;
  bool done_ = false;
};

}  // namespace

bool covers(std::string_view wide, std::string_view narrow) {
  if (narrow.starts_with('$') && (wide.starts_with('+') || wide.starts_with('#'))) return false;
  Levels all(wide);
  Levels some(narrow);
  while (!some.done()) {
    if (all.done()) return false;
    const std::string_view level = all.next();
    if (level == "#") return true;
    const std::string_view other = some.next();
    if (other == "#" || (level != "+" && level != other)) return false;
  }
  // `a/#` matches `a` too.
  return all.done() || (all.next() == "#" && all.done());
}

std::string_view without_share(std::string_view filter) {
  constexpr std::string_view kShare = "$share/";
  if (!filter.starts_with(kShare)) return filter;
  const std::size_t slash = filter.find('/', kShare.size());
  return slash == std::string_view::npos ? filter : filter.substr(slash + 1);
}

}  // namespace millrace::gateway
