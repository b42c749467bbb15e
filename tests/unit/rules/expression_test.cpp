#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include <millrace/rules/expression.hpp>

namespace millrace::rules {
namespace {

using telemetry::Value;

// "true", "false", "missing", or the error.
std::string ask(const std::string& text, const Value& value) {
  const auto compiled = Expression::compile(text);
  if (!compiled) return compiled.error().message;
  const auto answer = compiled->evaluate(value);
  return !answer ? "missing" : *answer ? "true" : "false";
}

std::string error_of(const std::string& text) {
  const auto compiled = Expression::compile(text);
  return compiled ? "compiles" : compiled.error().message;
}

TEST(Expression, ComparesNumbers) {
  EXPECT_EQ(ask("value > 30", 30.5), "true");
  EXPECT_EQ(ask("value > 30", 30.0), "false");
  EXPECT_EQ(ask("value >= 30", std::int64_t{30}), "true");
  EXPECT_EQ(ask("value != 30", 30.0), "false");
  EXPECT_EQ(ask("value == 1e3", std::int64_t{1000}), "true");
  EXPECT_EQ(ask("-5 < value && value < 5", 4.99), "true");
  EXPECT_EQ(ask("value > .5", 0.6), "true");
}

TEST(Expression, LargeIntegersAreComparedExactly) {
  const std::int64_t large = (1LL << 53) + 1;
  EXPECT_EQ(ask("value == 9007199254740993", large), "true");
  EXPECT_EQ(ask("value == 9007199254740992", large), "false");
  EXPECT_EQ(ask("value > 9007199254740992.0", large), "true");
  EXPECT_EQ(ask("value < 9223372036854775808", std::numeric_limits<std::int64_t>::max()), "true");
  EXPECT_EQ(ask("value >= -1e300", std::numeric_limits<std::int64_t>::min()), "true");
  EXPECT_EQ(ask("value > 2.5", std::int64_t{2}), "false");
  EXPECT_EQ(ask("value < -2.5", std::int64_t{-2}), "false");
}

TEST(Expression, LargeNegativeIntegersAreComparedExactly) {
  const std::int64_t large = -(1LL << 53) - 1;
  EXPECT_EQ(ask("value == -9007199254740993", large), "true");
  EXPECT_EQ(ask("value == -9007199254740993", large + 1), "false");
  EXPECT_EQ(ask("value == - (9007199254740993)", large), "true");
  EXPECT_EQ(ask("value == --9007199254740993", -large), "true");
  EXPECT_EQ(ask("value == -9223372036854775808", std::numeric_limits<std::int64_t>::min()), "true");
  EXPECT_EQ(ask("-value == 9007199254740993", large), "true");
  EXPECT_EQ(ask("abs(value) == 9007199254740993", large), "true");
  EXPECT_EQ(ask("abs(value) == 9223372036854775808", std::numeric_limits<std::int64_t>::min()), "true");
  EXPECT_EQ(ask("min(value, 1) == -9007199254740993", large), "true");
  EXPECT_EQ(ask("max(value, -9007199254740992.0) == value", large), "false");
}

TEST(Expression, ALongTextCannotBeAskedAbout) {
  const std::string longest(kMaxAskedTextBytes, 'a');
  EXPECT_EQ(ask("value.contains('aa')", longest), "true");
  EXPECT_EQ(ask("value.contains('aa')", longest + "a"), "missing");
  EXPECT_EQ(ask("value != 'x' || true", longest + "a"), "true");
}

TEST(Expression, PrecedenceIsCels) {
  EXPECT_EQ(ask("1 + 2 * 3 == 7 && value == 0", 0.0), "true");
  EXPECT_EQ(ask("10 - 4 - 3 == 3", 0.0), "true");
  EXPECT_EQ(ask("8 / 4 / 2 == 1", 0.0), "true");
  EXPECT_EQ(ask("7 % 4 * 2 == 6", 0.0), "true");
  EXPECT_EQ(ask("true || false && false", 0.0), "true");
  EXPECT_EQ(ask("!false && true", 0.0), "true");
  EXPECT_EQ(ask("-2 * -3 == 6", 0.0), "true");
  EXPECT_EQ(ask("(1 + 2) * 3 == 9", 0.0), "true");
  EXPECT_EQ(ask("value > 1 ? value < 5 : value < -5", 3.0), "true");
  EXPECT_EQ(ask("value > 1 ? value < 5 : value < -5", 0.0), "false");
  EXPECT_EQ(ask("true ? false : true ? true : true", 0.0), "false");
}

TEST(Expression, FunctionsAndLists) {
  EXPECT_EQ(ask("abs(value) > 3", -4.0), "true");
  EXPECT_EQ(ask("min(value, 10) == 10 && max(value, 10) == value", 12.0), "true");
  EXPECT_EQ(ask("value in [1, 2, 3]", std::int64_t{2}), "true");
  EXPECT_EQ(ask("value in [1, 2, 3]", 2.5), "false");
  EXPECT_EQ(ask("value in ['a', 'b']", std::string("b")), "true");
  EXPECT_EQ(ask("value in [-1, 2 + 3]", 5.0), "true");
  EXPECT_EQ(ask("value in []", 5.0), "false");
  EXPECT_EQ(ask("!(value in [1])", 5.0), "true");
}

TEST(Expression, TextsAndTruthValues) {
  EXPECT_EQ(ask("value == 'fault'", std::string("fault")), "true");
  EXPECT_EQ(ask("value.startsWith(\"fa\") && value.endsWith('lt') && value.contains('ul')", std::string("fault")),
            "true");
  EXPECT_EQ(ask("value == 'it\\'s \\u00e4\\n'", std::string("it's \xc3\xa4\n")), "true");
  EXPECT_EQ(ask("value < 'b'", std::string("a")), "true");
  EXPECT_EQ(ask("value", true), "true");
  EXPECT_EQ(ask("!value", true), "false");
  EXPECT_EQ(ask("value == false", false), "true");
}

TEST(Expression, WhatCannotBeAskedIsMissing) {
  EXPECT_EQ(ask("value > 3", std::string("4")), "missing");
  EXPECT_EQ(ask("value == 'x'", 3.0), "missing");
  EXPECT_EQ(ask("value > 3", true), "missing");
  EXPECT_EQ(ask("value > 3", telemetry::Json{"[4]"}), "missing");
  EXPECT_EQ(ask("value", 3.0), "missing");
  EXPECT_EQ(ask("1 / value > 3", 0.0), "missing");
  EXPECT_EQ(ask("value % 0 == 1", 5.0), "missing");
  EXPECT_EQ(ask("value * 1e308 > 1", 1e308), "missing");
  EXPECT_EQ(ask("value in ['a']", 3.0), "missing");
  EXPECT_EQ(ask("value.contains('a')", 3.0), "missing");
}

TEST(Expression, OneSideMayDecideAlone) {
  const Value text = std::string("x");
  EXPECT_EQ(ask("value > 3 || true", text), "true");
  EXPECT_EQ(ask("true || value > 3", text), "true");
  EXPECT_EQ(ask("value > 3 && false", text), "false");
  EXPECT_EQ(ask("false && value > 3", text), "false");
  EXPECT_EQ(ask("value > 3 || false", text), "missing");
  EXPECT_EQ(ask("value > 3 && true", text), "missing");
  EXPECT_EQ(ask("!(value > 3)", text), "missing");
  EXPECT_EQ(ask("value > 3 || value == 'x'", text), "true");
}

TEST(Expression, ErrorsSayColumnAndWhatIsWrong) {
  EXPECT_EQ(error_of("value >"), "column 8: expected value, a number, a text or \"(\"");
  EXPECT_EQ(error_of("value = 3"), "column 7: \"=\" is no operator; equality is written \"==\"");
  EXPECT_EQ(error_of(""), "column 1: expected value, a number, a text or \"(\"");
  EXPECT_EQ(error_of("value > 3 value"), "column 11: expected an operator or the end, not \"value\"");
  EXPECT_EQ(error_of("value + 1"), "column 7: a condition must be true or false; this is a number");
  EXPECT_EQ(error_of("temperature > 3"),
            "column 1: \"temperature\" is not known; there are value, true, false, abs(), min(), max()");
  EXPECT_EQ(error_of("(value > 3"), "column 11: expected \")\"");
  EXPECT_EQ(error_of("value > 'a' && 3"), "column 16: \"&&\" needs a truth value; this is a number");
  EXPECT_EQ(error_of("3 == 'a'"), "column 3: \"==\" compares a number with a text");
  EXPECT_EQ(error_of("value == 'a"), "column 10: this text has no closing quote");
  EXPECT_EQ(error_of("value == 'a\\q'"), "column 12: an unknown escape; there are \\\\ \\' \\\" \\n \\t \\r \\uXXXX");
  EXPECT_EQ(error_of("value > 1e999"), "column 9: this number is too large");
  EXPECT_EQ(error_of("value > 3x"), "column 10: a number ends here, but something is joined to it");
  EXPECT_EQ(error_of("value.size() > 3"), "column 7: expected contains(), startsWith() or endsWith()");
  EXPECT_EQ(error_of("1 < value < 5"),
            "column 11: \"<\" compares numbers or texts; before it stands a truth value. Write 1 < value && value < 5");
  EXPECT_EQ(error_of("value == 7 || 0 <= abs(value - 1) <= 'x' && true"),
            "column 35: \"<=\" compares numbers or texts; before it stands a truth value. Write 0 <= abs(value - 1) && "
            "abs(value - 1) <= 'x'");
  EXPECT_EQ(error_of("1 < value <"), "column 11: \"<\" compares numbers or texts; before it stands a truth value");
  EXPECT_EQ(error_of("(1 < value) < 5"), "column 4: \"<\" compares numbers or texts; this is a truth value");
  EXPECT_EQ(error_of("1 < value && value < 5 && 2 > value"), "compiles");
  EXPECT_EQ(error_of("abs('a') > 3"), "column 5: abs() needs a number; this is a text");
  EXPECT_EQ(error_of("value > 3 # hot"), "column 11: this character has no meaning here");
  EXPECT_EQ(error_of("value == '\\ud800'"), "column 11: \"\\u\" needs four hexadecimal digits of a character");
}

TEST(Expression, LimitsHoldBeforeTheStackOrTimeIsSpent) {
  EXPECT_NE(error_of(std::string(500, '(') + "value" + std::string(500, ')')).find("nested too deep"),
            std::string::npos);
  EXPECT_NE(error_of(std::string(1'000, '!') + "value").find("nested too deep"), std::string::npos);
  EXPECT_EQ(error_of(std::string(60, '(') + "value > 1" + std::string(60, ')')), "compiles");
  std::string sum = "value > 0";
  for (int i = 0; i < 300; ++i) sum += "+1";
  EXPECT_NE(error_of(sum).find("too long: more than 256"), std::string::npos);
  EXPECT_EQ(error_of("value == '" + std::string(1'100, 'x') + "'"),
            "a condition has at most 1024 bytes, this one has 1111");
}

// An oracle that shares nothing with the compiler: it makes random conditions together with their answers.
struct Oracle {
  std::mt19937_64 random;
  double value;

  std::string number(int depth, double& answer) {
    if (depth == 0 || random() % 3 == 0) {
      if (random() % 3 == 0) {
        answer = value;
        return "value";
      }
      answer = static_cast<double>(random() % 20) / 2;
      return std::to_string(answer);
    }
    double a = 0;
    double b = 0;
    const std::string left = number(depth - 1, a);
    const std::string right = number(depth - 1, b);
    switch (random() % 5) {
      case 0:
        answer = a + b;
        return "(" + left + " + " + right + ")";
      case 1:
        answer = a - b;
        return "(" + left + " - " + right + ")";
      case 2:
        answer = a * b;
        return "(" + left + "*" + right + ")";
      case 3:
        answer = a < b ? a : b;
        return "min(" + left + ", " + right + ")";
      default:
        answer = -a;
        return "-(" + left + ")";
    }
  }

  std::string condition(int depth, bool& answer) {
    if (depth == 0 || random() % 4 == 0) {
      double a = 0;
      double b = 0;
      const std::string left = number(2, a);
      const std::string right = number(2, b);
      if (random() % 2 == 0) {
        answer = a < b;
        return left + " < " + right;
      }
      answer = a >= b;
      return left + ">=" + right;
    }
    bool a = false;
    bool b = false;
    const std::string left = condition(depth - 1, a);
    const std::string right = condition(depth - 1, b);
    switch (random() % 4) {
      case 0:
        answer = a && b;
        return "(" + left + ") && (" + right + ")";
      case 1:
        answer = a || b;
        return "(" + left + " || " + right + ")";
      case 2:
        answer = a ? b : !b;
        return "((" + left + ") ? (" + right + ") : !(" + right + "))";
      default:
        answer = !a;
        return "!(" + left + ")";
    }
  }
};

TEST(Expression, AgreesWithAnOracleOnRandomConditions) {
  int compiled = 0;
  int trues = 0;
  for (std::uint64_t seed = 1; seed <= 4'000; ++seed) {
    Oracle oracle{std::mt19937_64(seed), static_cast<double>(seed % 23) / 2 - 4};
    bool expected = false;
    const std::string text = oracle.condition(3, expected);
    if (text.size() > kMaxExpressionBytes) continue;
    const auto expression = Expression::compile(text);
    if (!expression) {
      ASSERT_NE(expression.error().message.find("too long"), std::string::npos)
          << text << ": " << expression.error().message;
      continue;
    }
    ++compiled;
    const auto answer = expression->evaluate(oracle.value);
    ASSERT_TRUE(answer) << text;
    ASSERT_EQ(*answer, expected) << text << " with value " << oracle.value;
    trues += expected ? 1 : 0;
  }
  EXPECT_GT(compiled, 3'000);
  EXPECT_GT(trues, 500);
}

TEST(Expression, NoTextCrashesIt) {
  std::mt19937_64 random(5);
  const std::vector<std::string> parts{"value", "3", ".", "'a'", "(",  ")",   "[",    "]",   "&&",
                                       "||",    "!", "-", "?",   ":",  ",",   "in",   "abs", "contains",
                                       "==",    "<", " ", "\"",  "\\", "1e9", "true", "%"};
  int compiled = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string text;
    const auto length = random() % 12;
    for (std::uint64_t k = 0; k < length; ++k) text += parts[random() % parts.size()];
    const auto expression = Expression::compile(text);
    if (!expression) continue;
    ++compiled;
    static_cast<void>(expression->evaluate(1.5));
    static_cast<void>(expression->evaluate(std::string("a")));
  }
  EXPECT_GT(compiled, 20);
}

}  // namespace
}  // namespace millrace::rules
