#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/rules/expression.hpp>

namespace millrace::rules {

enum class Op : std::uint8_t {
  kValue,
  kNumber,
  kText,
  kBool,
  kOr,
  kAnd,
  kNot,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kNegate,
  kAbs,
  kMin,
  kMax,
  kContains,
  kStartsWith,
  kEndsWith,
  kChoose,  ///< a ? b : c
};

/// One node of the tree. Operands are indexes of nodes that stand before it.
struct Node {
  Op op = Op::kValue;
  std::uint16_t a = 0;
  std::uint16_t b = 0;
  std::uint16_t c = 0;
  std::int64_t integer = 0;  ///< kNumber, if is_integer; kText: index in texts; kBool: 0 or 1; kIn: first item
  double number = 0;         ///< kNumber; kIn: count of items
  bool is_integer = false;
};

struct Expression::Program {
  std::vector<Node> nodes;  // the last one is the root
  std::vector<std::string> texts;
  std::vector<std::uint16_t> items;  // of all lists behind `in`
};

/// Parses and checks. kInvalid with the column.
[[nodiscard]] Status parse(std::string_view source, std::vector<Node>& nodes, std::vector<std::string>& texts,
                           std::vector<std::uint16_t>& items);

}  // namespace millrace::rules
