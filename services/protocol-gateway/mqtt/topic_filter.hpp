#pragma once

#include <string_view>

namespace millrace::gateway {

/// Whether every topic that `narrow` matches is matched by `wide` (sections 4.7.1 and 4.7.2: wildcards do not stand for
/// a first level that begins with `$`). Both are valid topic filters; a topic name is one that matches itself.
[[nodiscard]] bool covers(std::string_view wide, std::string_view narrow);

/// `$share/{group}/{filter}` without what stands before the filter; others as they are.
[[nodiscard]] std::string_view without_share(std::string_view filter);

}  // namespace millrace::gateway
