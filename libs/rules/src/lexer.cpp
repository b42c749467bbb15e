#include "lexer.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace millrace::rules {
namespace {

constexpr std::array<std::string_view, 20> kSymbols{"||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-",
                                                    "*",  "/",  "%",  "!",  "(",  ")",  "?", ":", ",", "."};
constexpr std::array<std::string_view, 2> kBrackets{"[", "]"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// One Unicode scalar value as UTF-8; U+0000 and surrogates are no text (libs/telemetry refuses them in readings).
bool append_utf8(std::uint32_t code, std::string& out) {
  if (code == 0 || (code >= 0xd800 && code < 0xe000)) return false;
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
  return true;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    std::vector<Token> tokens;
    for (;;) {
      while (at_ < source_.size() && (source_[at_] == ' ' || source_[at_] == '\t' || source_[at_] == '\n')) ++at_;
      Token token;
      token.column = at_ + 1;
      if (at_ == source_.size()) {
        tokens.push_back(std::move(token));
        return tokens;
      }
      if (const Status read = next(token); !read) return read.error();
      token.spelling = source_.substr(token.column - 1, at_ - (token.column - 1));
      tokens.push_back(std::move(token));
    }
  }

 private:
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  Status next(Token& token) {
    const char c = peek();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number(token);
    if (c == '\'' || c == '"') return text(token);
    if (is_letter(c)) {
      token.kind = Token::Kind::kName;
      while (is_letter(peek()) || is_digit(peek())) ++at_;
      return {};
    }
    return symbol(token);
  }

  Status symbol(Token& token) {
    const std::string_view rest = source_.substr(at_);
    const auto take = [&](std::string_view symbol) {
      if (!rest.starts_with(symbol)) return false;
      token.kind = Token::Kind::kSymbol;
      at_ += symbol.size();
      return true;
    };
    for (const std::string_view one : kSymbols) {
      if (take(one)) return {};
    }
    for (const std::string_view one : kBrackets) {
      if (take(one)) return {};
    }
    if (rest.front() == '=') return error_at(token.column, "\"=\" is no operator; equality is written \"==\"");
    return error_at(token.column, "this character has no meaning here");
  }

  Status number(Token& token) {
    token.kind = Token::Kind::kNumber;
    const char* const begin = source_.data() + at_;
    const char* const end = source_.data() + source_.size();
    const auto whole = std::from_chars(begin, end, token.integer);
    const auto real = std::from_chars(begin, end, token.number);
    if (real.ec != std::errc{} || !std::isfinite(token.number))
      return error_at(token.column, "this number is too large");
    token.is_integer = whole.ec == std::errc{} && whole.ptr == real.ptr;
    at_ += static_cast<std::size_t>(real.ptr - begin);
    if (is_letter(peek()) || peek() == '.')
      return error_at(at_ + 1, "a number ends here, but something is joined to it");
    return {};
  }

  Status text(Token& token) {
    token.kind = Token::Kind::kText;
    const char quote = source_[at_++];
    while (at_ < source_.size() && source_[at_] != quote) {
      const auto byte = static_cast<unsigned char>(source_[at_]);
      if (byte < 0x20) return error_at(at_ + 1, "a control character in a text; write it as an escape");
      if (source_[at_] == '\\') {
        if (const Status read = escape(token.text); !read) return read;
      } else {
        token.text += source_[at_++];
      }
    }
    if (at_ == source_.size()) return error_at(token.column, "this text has no closing quote");
    ++at_;
    return {};
  }

  Status escape(std::string& out) {
    const std::size_t column = at_ + 1;
    ++at_;
    switch (peek()) {
      case '\\':
      case '\'':
      case '"':
        out += peek();
        break;
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'r':
        out += '\r';
        break;
      case 'u': {
        std::uint32_t code = 0;
        constexpr std::size_t kDigits = 4;
        const std::string_view digits = source_.substr(at_ + 1, kDigits);
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (digits.size() != kDigits || read.ptr != digits.data() + kDigits || !append_utf8(code, out))
          return error_at(column, "\"\\u\" needs four hexadecimal digits of a character");
        at_ += kDigits;
        break;
      }
      default:
        return error_at(column, "an unknown escape; there are \\\\ \\' \\\" \\n \\t \\r \\uXXXX");
    }
    ++at_;
    return {};
  }

  std::string_view source_;
  std::size_t at_ = 0;
};

}  // namespace

Error error_at(std::size_t column, std::string_view what) {
  return {ErrorKind::kInvalid, "column " + std::to_string(column) + ": " + std::string(what)};
}

Result<std::vector<Token>> tokens_of(std::string_view source) { return Lexer(source).run(); }

}  // namespace millrace::rules
