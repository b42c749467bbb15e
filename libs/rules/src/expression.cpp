#include <algorithm>
#include <cmath>
#include <limits>
#include <variant>

#include <millrace/rules/expression.hpp>

#include "program.hpp"

namespace millrace::rules {
namespace {

struct Missing {};
// What a node gives for one reading. Sums and products are doubles; a whole number keeps its sign, its order and its
// comparisons exactly.
using Cell = std::variant<Missing, double, std::int64_t, std::string_view, bool>;

Cell cell_of(const telemetry::Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && text->size() <= kMaxAskedTextBytes) return std::string_view(*text);
  return Missing{};
}

std::optional<double> number_of(const Cell& cell) {
  if (const auto* number = std::get_if<double>(&cell)) return *number;
  if (const auto* integer = std::get_if<std::int64_t>(&cell)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<bool> truth_of(const Cell& cell) {
  const auto* flag = std::get_if<bool>(&cell);
  return flag == nullptr ? std::nullopt : std::optional(*flag);
}

std::partial_ordering compare(double a, double b) { return a <=> b; }

// Exact also where an int64 has no double: 2^63 is the first that is too large.
std::partial_ordering compare(std::int64_t a, double b) {
  constexpr double kBeyond = 9223372036854775808.0;
  if (b >= kBeyond) return std::partial_ordering::less;
  if (b < -kBeyond) return std::partial_ordering::greater;
  const double whole = std::trunc(b);
  const auto order = a <=> static_cast<std::int64_t>(whole);
  return order != 0 ? std::partial_ordering(order) : 0.0 <=> (b - whole);
}

std::partial_ordering reversed(std::partial_ordering order) { return 0 <=> order; }

// Unordered: not of kinds that can be compared.
std::partial_ordering compare(const Cell& a, const Cell& b) {
  const auto* ai = std::get_if<std::int64_t>(&a);
  const auto* bi = std::get_if<std::int64_t>(&b);
  const auto* ad = std::get_if<double>(&a);
  const auto* bd = std::get_if<double>(&b);
  if (ai != nullptr && bi != nullptr) return *ai <=> *bi;
  if (ai != nullptr && bd != nullptr) return compare(*ai, *bd);
  if (ad != nullptr && bi != nullptr) return reversed(compare(*bi, *ad));
  if (ad != nullptr && bd != nullptr) return compare(*ad, *bd);
  const auto* at = std::get_if<std::string_view>(&a);
  const auto* bt = std::get_if<std::string_view>(&b);
  if (at != nullptr && bt != nullptr) return *at <=> *bt;
  const auto* ab = std::get_if<bool>(&a);
  const auto* bb = std::get_if<bool>(&b);
  if (ab != nullptr && bb != nullptr) return (*ab ? 1 : 0) <=> (*bb ? 1 : 0);
  return std::partial_ordering::unordered;
}

}  // namespace

// Walks the tree; the depth is bounded by the number of nodes.
struct Evaluation {
  const std::vector<Node>& nodes;
  const std::vector<std::string>& texts;
  const std::vector<std::uint16_t>& items;
  const Cell value;

  [[nodiscard]] Cell at(std::uint16_t index) const {
    const Node& node = nodes[index];
    switch (node.op) {
      case Op::kValue:
        return value;
      case Op::kNumber:
        return node.is_integer ? Cell(node.integer) : Cell(node.number);
      case Op::kText:
        return std::string_view(texts[static_cast<std::size_t>(node.integer)]);
      case Op::kBool:
        return node.integer != 0;
      case Op::kOr:
      case Op::kAnd:
        return logic(node);
      case Op::kNot: {
        const auto truth = truth_of(at(node.a));
        return truth ? Cell(!*truth) : Cell(Missing{});
      }
      case Op::kEqual:
      case Op::kNotEqual:
      case Op::kLess:
      case Op::kLessEqual:
      case Op::kGreater:
      case Op::kGreaterEqual:
        return comparison(node);
      case Op::kIn:
        return membership(node);
      case Op::kAdd:
      case Op::kSubtract:
      case Op::kMultiply:
      case Op::kDivide:
      case Op::kModulo:
      case Op::kNegate:
      case Op::kAbs:
      case Op::kMin:
      case Op::kMax:
        return arithmetic(node);
      case Op::kContains:
      case Op::kStartsWith:
      case Op::kEndsWith:
        return text(node);
      case Op::kChoose: {
        const auto truth = truth_of(at(node.a));
        return truth ? at(*truth ? node.b : node.c) : Cell(Missing{});
      }
    }
    return Missing{};
  }

  // The side that decides alone decides, whatever the other one is.
  [[nodiscard]] Cell logic(const Node& node) const {
    const bool decides = node.op == Op::kOr;
    const auto left = truth_of(at(node.a));
    if (left && *left == decides) return decides;
    const auto right = truth_of(at(node.b));
    if (right && *right == decides) return decides;
    return left && right ? Cell(!decides) : Cell(Missing{});
  }

  [[nodiscard]] Cell comparison(const Node& node) const {
    const std::partial_ordering order = compare(at(node.a), at(node.b));
    if (order == std::partial_ordering::unordered) return Missing{};
    if (node.op == Op::kEqual) return order == 0;
    if (node.op == Op::kNotEqual) return order != 0;
    if (node.op == Op::kLess) return order < 0;
    if (node.op == Op::kLessEqual) return order <= 0;
    return node.op == Op::kGreater ? order > 0 : order >= 0;
  }

  // Missing only where no item could be compared.
  [[nodiscard]] Cell membership(const Node& node) const {
    const Cell wanted = at(node.a);
    const auto first = static_cast<std::size_t>(node.integer);
    const auto count = static_cast<std::size_t>(node.number);
    bool compared = count == 0;
    for (std::size_t i = first; i < first + count; ++i) {
      const std::partial_ordering order = compare(wanted, at(items[i]));
      if (order == 0) return true;
      compared = compared || order != std::partial_ordering::unordered;
    }
    return compared ? Cell(false) : Cell(Missing{});
  }

  [[nodiscard]] Cell arithmetic(const Node& node) const {
    const bool unary = node.op == Op::kNegate || node.op == Op::kAbs;
    const Cell left = at(node.a);
    const Cell right = unary ? left : at(node.b);
    const auto a = number_of(left);
    const auto b = number_of(right);
    if (!a || !b) return Missing{};
    if (node.op == Op::kMin || node.op == Op::kMax)
      return (compare(left, right) < 0) == (node.op == Op::kMin) ? left : right;
    const auto* integer = std::get_if<std::int64_t>(&left);
    if (unary && integer != nullptr && *integer != std::numeric_limits<std::int64_t>::min())
      return node.op == Op::kNegate || *integer < 0 ? -*integer : *integer;
    const double result = calculate(node.op, *a, *b);
    return std::isfinite(result) ? Cell(result) : Cell(Missing{});
  }

  static double calculate(Op op, double a, double b) {
    if (op == Op::kAdd) return a + b;
    if (op == Op::kSubtract) return a - b;
    if (op == Op::kMultiply) return a * b;
    if (op == Op::kDivide) return a / b;
    if (op == Op::kModulo) return std::fmod(a, b);
    return op == Op::kNegate ? -a : std::abs(a);
  }

  [[nodiscard]] Cell text(const Node& node) const {
    const Cell object = at(node.a);
    const Cell argument = at(node.b);
    const auto* whole = std::get_if<std::string_view>(&object);
    const auto* part = std::get_if<std::string_view>(&argument);
    if (whole == nullptr || part == nullptr) return Missing{};
    if (node.op == Op::kContains) return whole->find(*part) != std::string_view::npos;
    return node.op == Op::kStartsWith ? whole->starts_with(*part) : whole->ends_with(*part);
  }
};

Result<Expression> Expression::compile(std::string_view text) {
  if (text.size() > kMaxExpressionBytes)
    return Error{ErrorKind::kInvalid, "a condition has at most " + std::to_string(kMaxExpressionBytes) +
                                          " bytes, this one has " + std::to_string(text.size())};
  auto program = std::make_shared<Program>();
  if (auto parsed = parse(text, program->nodes, program->texts, program->items); !parsed) return parsed.error();
  return Expression(std::move(program));
}

std::optional<bool> Expression::evaluate(const telemetry::Value& value) const {
  const Evaluation evaluation{program_->nodes, program_->texts, program_->items, cell_of(value)};
  return truth_of(evaluation.at(static_cast<std::uint16_t>(program_->nodes.size() - 1)));
}

}  // namespace millrace::rules
