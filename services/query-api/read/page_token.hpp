#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::query_api {

/// Where the next page begins, as text that only this service reads: numbers, bound to the request they belong to by a
/// hash of its fields, and a checksum. `scope` is what must not change between pages.
[[nodiscard]] std::string make_page_token(std::string_view scope, std::span<const std::int64_t> position);

/// kInvalid for a token that was changed, cut, or belongs to another request.
[[nodiscard]] Result<std::vector<std::int64_t>> read_page_token(std::string_view scope, std::string_view token);

/// Text as numbers of a position, and back; kInvalid for numbers that are none.
[[nodiscard]] std::vector<std::int64_t> numbers_of_text(std::string_view text);
[[nodiscard]] Result<std::string> text_of_numbers(std::span<const std::int64_t> numbers);

}  // namespace millrace::query_api
