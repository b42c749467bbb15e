// Conditions and rule documents under arbitrary bytes: what compiles can be asked about any reading and always answers
// the same; what does not says where.
#include <array>
#include <cctype>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include <millrace/rules/expression.hpp>
#include <millrace/rules/rule.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::rules;

// `column <n>: …` with n within the text or just behind it.
bool names_a_column(const std::string& message, std::size_t size) {
  constexpr std::string_view kBegin = "column ";
  if (!message.starts_with(kBegin)) return false;
  std::size_t column = 0;
  std::size_t at = kBegin.size();
  for (; at < message.size() && std::isdigit(static_cast<unsigned char>(message[at])) != 0; ++at)
    column = column * 10 + static_cast<std::size_t>(message[at] - '0');
  return at < message.size() && message[at] == ':' && column >= 1 && column <= size + 1;
}

void check_condition(std::string_view text) {
  const auto compiled = Expression::compile(text);
  if (!compiled) {
    const std::string& message = compiled.error().message;
    require(compiled.error().kind == ErrorKind::kInvalid, "a condition that does not compile is the caller's mistake");
    require(text.size() > kMaxExpressionBytes || names_a_column(message, text.size()), "an error says where");
    return;
  }
  require(text.size() <= kMaxExpressionBytes, "the limit holds");
  const auto again = Expression::compile(text);
  require(again.ok(), "what compiles, compiles again");
  const auto opposite = Expression::compile("!(" + std::string(text) + ")");
  const std::array<telemetry::Value, 8> values{0.0,
                                               -1.5,
                                               std::numeric_limits<double>::max(),
                                               std::numeric_limits<std::int64_t>::min(),
                                               std::int64_t{3},
                                               true,
                                               std::string("open"),
                                               telemetry::Json{"{}"}};
  for (const auto& value : values) {
    const std::optional<bool> answer = compiled->evaluate(value);
    require(answer == again->evaluate(value), "an answer depends on condition and reading only");
    if (!opposite.ok()) continue;  // longer or deeper than the limits
    const std::optional<bool> negated = opposite->evaluate(value);
    require(answer.has_value() == negated.has_value() && (!answer || *answer != *negated), "not is not");
  }
}

void check_rule(std::string_view bytes) {
  const auto rule = decode(bytes);
  if (!rule) {
    require(rule.error().kind == ErrorKind::kCorrupt, "bytes that are no rule are corrupt");
    return;
  }
  const std::string once = encode(*rule);
  const auto again = decode(once);
  require(again.ok() && *again == *rule && encode(*again) == once, "a rule is written and read as it is");
  if (!validate(*rule)) return;
  require(Expression::compile(rule->raise).ok(), "a valid rule raises by something that compiles");
  require(rule->clear.empty() || Expression::compile(rule->clear).ok(), "and clears by the same");
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  check_condition(bytes);
  check_rule(bytes);
}

}  // namespace millrace::fuzz
