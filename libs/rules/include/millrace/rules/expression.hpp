#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::rules {

inline constexpr std::size_t kMaxExpressionBytes = 1'024;
inline constexpr int kMaxExpressionDepth = 64;  ///< the whole and the parentheses within each other
inline constexpr std::size_t kMaxExpressionNodes = 256;
inline constexpr std::size_t kMaxAskedTextBytes = 1'024;  ///< a condition cannot be asked about a longer text

/// A compiled condition over one reading: a subset of CEL (github.com/google/cel-spec, langdef.md) with the variable
/// `value`. docs/rules.md has the language. Cheap to copy; immutable; thread-safe.
class Expression {
 public:
  /// kInvalid says the column (from 1, in bytes) and what is wrong: `column 9: expected an operand`.
  [[nodiscard]] static Result<Expression> compile(std::string_view text);

  /// None: the condition cannot be asked about this reading, because its type does not fit, it is a text longer than
  /// kMaxAskedTextBytes, or arithmetic gave no finite number. `false && none` is false, `true || none` is true,
  /// otherwise none spreads. Allocates nothing; time is bounded by the limits above.
  [[nodiscard]] std::optional<bool> evaluate(const telemetry::Value& value) const;

 private:
  struct Program;
  explicit Expression(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

}  // namespace millrace::rules
