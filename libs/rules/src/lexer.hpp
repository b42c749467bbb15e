#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::rules {

struct Token {
  enum class Kind : std::uint8_t { kEnd, kNumber, kText, kName, kSymbol };
  Kind kind = Kind::kEnd;
  std::size_t column = 1;     ///< of its first byte, from 1
  std::string_view spelling;  ///< in the source
  std::string text;           ///< kText: without quotes and escapes
  double number = 0;          ///< kNumber
  std::int64_t integer = 0;   ///< kNumber: if is_integer
  bool is_integer = false;
};

/// `column 9: what`.
[[nodiscard]] Error error_at(std::size_t column, std::string_view what);

/// The tokens of a condition, with one of kEnd at the end. kInvalid as error_at().
[[nodiscard]] Result<std::vector<Token>> tokens_of(std::string_view source);

}  // namespace millrace::rules
