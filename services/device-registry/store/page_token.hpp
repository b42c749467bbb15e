#pragma once

#include <algorithm>
#include <string>

#include <millrace/base/result.hpp>

namespace millrace::registry {

inline constexpr int kUsualPage = 100;
inline constexpr int kMostPage = 1000;

/// Opaque token for the page behind the entity `last`.
[[nodiscard]] std::string page_token_after(const std::string& last);
/// The id to go on behind; empty for an empty token. kInvalid for a token that was not made by page_token_after().
[[nodiscard]] Result<std::string> parse_page_token(const std::string& token);
/// 0 gives kUsualPage; kInvalid beyond 1 to kMostPage.
[[nodiscard]] Result<int> page_size_of(int asked);

}  // namespace millrace::registry
