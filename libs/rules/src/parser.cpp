#include <array>
#include <optional>

#include "lexer.hpp"
#include "program.hpp"

namespace millrace::rules {
namespace {

// What is known of an operand before a reading is there: `value` may be anything.
enum class Type : std::uint8_t { kAny, kNumber, kText, kBool };

struct Operand {
  std::uint16_t node = 0;
  Type type = Type::kAny;
  std::size_t column = 1;
};

constexpr std::string_view name_of(Type type) {
  constexpr std::array<std::string_view, 4> kNames{"a value", "a number", "a text", "a truth value"};
  return kNames.at(static_cast<std::size_t>(type));
}

constexpr int kComparison = 3;  // weaker: of truth values; stronger: of numbers

struct Infix {
  std::string_view symbol;
  int strength;  // stronger binds first; as in CEL
  Op op;
};
constexpr std::array kInfix{
    Infix{"||", 1, Op::kOr},
    Infix{"&&", 2, Op::kAnd},
    Infix{"==", kComparison, Op::kEqual},
    Infix{"!=", kComparison, Op::kNotEqual},
    Infix{"<=", kComparison, Op::kLessEqual},
    Infix{">=", kComparison, Op::kGreaterEqual},
    Infix{"<", kComparison, Op::kLess},
    Infix{">", kComparison, Op::kGreater},
    Infix{"in", kComparison, Op::kIn},
    Infix{"+", 4, Op::kAdd},
    Infix{"-", 4, Op::kSubtract},
    Infix{"*", 5, Op::kMultiply},
    Infix{"/", 5, Op::kDivide},
    Infix{"%", 5, Op::kModulo},
};

struct Function {
  std::string_view name;
  Op op;
  int arguments;
};
constexpr std::array kFunctions{Function{"abs", Op::kAbs, 1}, Function{"min", Op::kMin, 2},
                                Function{"max", Op::kMax, 2}};
constexpr std::array kMethods{Function{"contains", Op::kContains, 1}, Function{"startsWith", Op::kStartsWith, 1},
                              Function{"endsWith", Op::kEndsWith, 1}};

// A Pratt parser: expression(strength) takes everything that binds at least so strongly.
class Parser {
 public:
  Parser(const std::vector<Token>& tokens, std::vector<Node>& nodes, std::vector<std::string>& texts,
         std::vector<std::uint16_t>& items)
      : tokens_(tokens), nodes_(nodes), texts_(texts), items_(items) {}

  Status run() {
    auto root = choice();
    if (!root) return root.error();
    if (now().kind != Token::Kind::kEnd)
      return error_at(now().column, "expected an operator or the end, not \"" + std::string(now().spelling) + "\"");
    return expect(*root, Type::kBool, "a condition must be true or false; this is");
  }

 private:
  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] bool at_symbol(std::string_view symbol) const {
    return (now().kind == Token::Kind::kSymbol || now().kind == Token::Kind::kName) && now().spelling == symbol;
  }
  bool skip(std::string_view symbol) {
    if (!at_symbol(symbol)) return false;
    ++at_;
    return true;
  }
  Status need(std::string_view symbol) {
    if (skip(symbol)) return {};
    return error_at(now().column, "expected \"" + std::string(symbol) + "\"");
  }

  static Status expect(const Operand& operand, Type type, std::string_view what) {
    if (operand.type == type || operand.type == Type::kAny) return {};
    return error_at(operand.column, std::string(what) + " " + std::string(name_of(operand.type)));
  }

  Result<Operand> make(const Node& node, Type type, std::size_t column) {
    if (nodes_.size() >= kMaxExpressionNodes)
      return error_at(column, "the condition is too long: more than " + std::to_string(kMaxExpressionNodes) +
                                  " operands and operators");
    nodes_.push_back(node);
    return Operand{static_cast<std::uint16_t>(nodes_.size() - 1), type, column};
  }

  // a ? b : c, the weakest of all, right-associative.
  Result<Operand> choice() {
    const Depth depth(*this);
    if (!depth.ok()) return too_deep();
    auto condition = expression(1);
    if (!condition || !at_symbol("?")) return condition;
    const std::size_t column = now().column;
    if (auto fits = expect(*condition, Type::kBool, "before \"?\" stands a condition; this is"); !fits)
      return fits.error();
    ++at_;
    auto yes = choice();
    if (!yes) return yes;
    if (auto met = need(":"); !met) return met.error();
    auto no = choice();
    if (!no) return no;
    if (yes->type != no->type && yes->type != Type::kAny && no->type != Type::kAny)
      return error_at(no->column, "both sides of \":\" must be of one type");
    return make({.op = Op::kChoose, .a = condition->node, .b = yes->node, .c = no->node},
                yes->type == Type::kAny ? no->type : yes->type, column);
  }

  Result<Operand> expression(int strength) {
    const Depth depth(*this);
    if (!depth.ok()) return too_deep();
    const std::size_t first = at_;
    std::size_t middle = 0;  // what stands behind a comparison that `left` ends with
    auto left = prefix();
    while (left) {
      const Infix* infix = infix_here();
      if (infix == nullptr || infix->strength < strength) return left;
      const std::size_t column = now().column;
      if (middle != 0 && is_ordering(*infix)) return chained(first, middle);
      middle = infix->strength == kComparison ? at_ + 1 : 0;
      ++at_;
      left = infix->op == Op::kIn ? list(*left, column) : join(*left, *infix, column);
    }
    return left;
  }

  static bool is_ordering(const Infix& infix) {
    return infix.strength == kComparison && infix.op != Op::kEqual && infix.op != Op::kNotEqual && infix.op != Op::kIn;
  }

  // `1 < value < 5`, at the second comparison: what was meant takes two.
  Error chained(std::size_t first, std::size_t middle) {
    const std::size_t second = at_++;
    const std::string symbol(tokens_[second].spelling);
    std::string what = "\"" + symbol + "\" compares numbers or texts; before it stands a truth value";
    if (auto right = expression(kComparison + 1))
      what += ". Write " + source(first, second) + " && " + source(middle, second) + ' ' + symbol + ' ' +
              source(second + 1, at_);
    return error_at(tokens_[second].column, what);
  }

  // What was written from one token up to another.
  [[nodiscard]] std::string source(std::size_t from, std::size_t to) const {
    const std::string_view last = tokens_[to - 1].spelling;
    const char* begin = tokens_[from].spelling.data();
    return {begin, static_cast<std::size_t>(last.data() + last.size() - begin)};
  }

  [[nodiscard]] const Infix* infix_here() const {
    for (const Infix& one : kInfix) {
      if (at_symbol(one.symbol)) return &one;
    }
    return nullptr;
  }

  Result<Operand> join(const Operand& left, const Infix& infix, std::size_t column) {
    auto right = expression(infix.strength + 1);
    if (!right) return right;
    Type result = Type::kBool;
    Status fits;
    if (infix.strength < kComparison) {
      fits = both(left, *right, Type::kBool, infix.symbol);
    } else if (infix.strength > kComparison) {
      fits = both(left, *right, Type::kNumber, infix.symbol);
      result = Type::kNumber;
    } else {
      fits = comparable(left, *right, infix, column);
    }
    if (!fits) return fits.error();
    return make({.op = infix.op, .a = left.node, .b = right->node}, result, column);
  }

  static Status both(const Operand& left, const Operand& right, Type type, std::string_view symbol) {
    const std::string what = "\"" + std::string(symbol) + "\" needs " + std::string(name_of(type)) + "; this is";
    if (auto fits = expect(left, type, what); !fits) return fits;
    return expect(right, type, what);
  }

  static Status comparable(const Operand& left, const Operand& right, const Infix& infix, std::size_t column) {
    const bool ordered = is_ordering(infix);
    for (const Operand& one : {left, right}) {
      if (ordered && one.type == Type::kBool)
        return error_at(one.column,
                        "\"" + std::string(infix.symbol) + "\" compares numbers or texts; this is a truth value");
    }
    if (left.type == right.type || left.type == Type::kAny || right.type == Type::kAny) return {};
    return error_at(column, "\"" + std::string(infix.symbol) + "\" compares " + std::string(name_of(left.type)) +
                                " with " + std::string(name_of(right.type)));
  }

  // value in [1, 2, 3]
  Result<Operand> list(const Operand& left, std::size_t column) {
    if (auto met = need("["); !met) return met.error();
    std::vector<std::uint16_t> found;
    while (!at_symbol("]")) {
      if (!found.empty()) {
        if (auto met = need(","); !met) return met.error();
      }
      auto item = expression(4);
      if (!item) return item;
      if (left.type != item->type && left.type != Type::kAny && item->type != Type::kAny)
        return error_at(item->column, "an item of the list must be " + std::string(name_of(left.type)));
      found.push_back(item->node);
    }
    ++at_;
    const auto first = static_cast<std::int64_t>(items_.size());
    items_.insert(items_.end(), found.begin(), found.end());
    return make({.op = Op::kIn, .a = left.node, .integer = first, .number = static_cast<double>(found.size())},
                Type::kBool, column);
  }

  Result<Operand> prefix() {
    const std::size_t column = now().column;
    if (at_symbol("!") || at_symbol("-")) {
      const Depth depth(*this);
      if (!depth.ok()) return too_deep();
      const bool negate = at_symbol("-");
      ++at_;
      auto operand = prefix();
      if (!operand) return operand;
      const Type type = negate ? Type::kNumber : Type::kBool;
      if (auto fits =
              expect(*operand, type, negate ? "\"-\" needs a number; this is" : "\"!\" needs a truth value; this is");
          !fits)
        return fits.error();
      if (negate && nodes_[operand->node].op == Op::kNumber) return negative(*operand, column);
      return make({.op = negate ? Op::kNegate : Op::kNot, .a = operand->node}, type, column);
    }
    auto operand = primary();
    while (operand && skip(".")) operand = method(*operand);
    return operand;
  }

  // A negative literal, which stays whole if it is.
  Result<Operand> negative(const Operand& literal, std::size_t column) {
    Node& node = nodes_[literal.node];
    node.integer = -node.integer;
    node.number = -node.number;
    return Operand{literal.node, Type::kNumber, column};
  }

  Result<Operand> primary() {
    const Token& token = now();
    switch (token.kind) {
      case Token::Kind::kNumber:
        ++at_;
        return make(
            {.op = Op::kNumber, .integer = token.integer, .number = token.number, .is_integer = token.is_integer},
            Type::kNumber, token.column);
      case Token::Kind::kText:
        ++at_;
        texts_.push_back(token.text);
        return make({.op = Op::kText, .integer = static_cast<std::int64_t>(texts_.size() - 1)}, Type::kText,
                    token.column);
      case Token::Kind::kName:
        return name();
      case Token::Kind::kSymbol:
        if (skip("(")) {
          auto inside = choice();
          if (!inside) return inside;
          if (auto met = need(")"); !met) return met.error();
          return inside;
        }
        break;
      case Token::Kind::kEnd:
        break;
    }
    return error_at(token.column, "expected value, a number, a text or \"(\"");
  }

  Result<Operand> name() {
    const Token& token = now();
    ++at_;
    if (token.spelling == "value") return make({.op = Op::kValue}, Type::kAny, token.column);
    if (token.spelling == "true" || token.spelling == "false")
      return make({.op = Op::kBool, .integer = token.spelling == "true" ? 1 : 0}, Type::kBool, token.column);
    for (const Function& one : kFunctions) {
      if (token.spelling == one.name) return call(one, token.column);
    }
    return error_at(token.column, "\"" + std::string(token.spelling) +
                                      "\" is not known; there are value, true, false, abs(), min(), max()");
  }

  Result<Operand> call(const Function& function, std::size_t column) {
    if (auto met = need("("); !met) return met.error();
    std::array<Operand, 2> arguments;
    for (int i = 0; i < function.arguments; ++i) {
      if (i > 0) {
        if (auto met = need(","); !met) return met.error();
      }
      auto argument = choice();
      if (!argument) return argument;
      if (auto fits = expect(*argument, Type::kNumber, std::string(function.name) + "() needs a number; this is");
          !fits)
        return fits.error();
      arguments.at(static_cast<std::size_t>(i)) = *argument;
    }
    if (auto met = need(")"); !met) return met.error();
    return make({.op = function.op, .a = arguments[0].node, .b = arguments[1].node}, Type::kNumber, column);
  }

  Result<Operand> method(const Operand& object) {
    const Token& token = now();
    for (const Function& one : kMethods) {
      if (!at_symbol(one.name)) continue;
      if (auto fits = expect(object, Type::kText, std::string(one.name) + "() is asked of a text; this is"); !fits)
        return fits.error();
      ++at_;
      if (auto met = need("("); !met) return met.error();
      auto argument = choice();
      if (!argument) return argument;
      if (auto fits = expect(*argument, Type::kText, std::string(one.name) + "() needs a text; this is"); !fits)
        return fits.error();
      if (auto met = need(")"); !met) return met.error();
      return make({.op = one.op, .a = object.node, .b = argument->node}, Type::kBool, token.column);
    }
    return error_at(token.column, "expected contains(), startsWith() or endsWith()");
  }

  // Counts how deep the parser stands in itself: no text can make it or the evaluation overflow the stack.
  class Depth {
   public:
    explicit Depth(Parser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Depth() { --parser_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    [[nodiscard]] bool ok() const { return parser_.depth_ <= 2 * kMaxExpressionDepth; }

   private:
    Parser& parser_;
  };
  [[nodiscard]] Error too_deep() const { return error_at(now().column, "nested too deep"); }

  const std::vector<Token>& tokens_;
  std::vector<Node>& nodes_;
  std::vector<std::string>& texts_;
  std::vector<std::uint16_t>& items_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Status parse(std::string_view source, std::vector<Node>& nodes, std::vector<std::string>& texts,
             std::vector<std::uint16_t>& items) {
  const auto tokens = tokens_of(source);
  if (!tokens) return tokens.error();
  return Parser(*tokens, nodes, texts, items).run();
}

}  // namespace millrace::rules
