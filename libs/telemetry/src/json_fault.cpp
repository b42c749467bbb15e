#include "json_fault.hpp"

#include <optional>

#include <nlohmann/json.hpp>

namespace millrace::telemetry {
namespace {

using nlohmann::json;

// Accepts everything and remembers where the parser stopped.
class FaultFinder : public nlohmann::json_sax<json> {
 public:
  explicit FaultFinder(std::size_t max_depth) : max_depth_(max_depth) {}

  bool null() override { return begin_value(); }
  bool boolean(bool) override { return begin_value(); }
  bool number_integer(number_integer_t) override { return begin_value(); }
  bool number_unsigned(number_unsigned_t) override { return begin_value(); }
  bool number_float(number_float_t, const string_t& text) override {
    begin_value();
    // An integer that fits neither signed nor unsigned 64 bits arrives here as a float.
    if (text.find_first_of(".eE") == std::string::npos) integer_range_ = true;
    return !integer_range_;
  }
  bool string(string_t&) override { return begin_value(); }
  bool binary(binary_t&) override { return begin_value(); }
  bool start_object(std::size_t) override { return begin_value() && ++depth_ <= max_depth_; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override {
    begin_value();
    if (depth_ == 0) in_array_ = true;
    return ++depth_ <= max_depth_;
  }
  bool end_array() override { return --depth_, true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    found_ = true;
    position_ = position;
    // 406: number overflow (https://json.nlohmann.me/home/exceptions/).
    overflow_ = error.id == 406;
    return false;
  }

  [[nodiscard]] bool found() const { return found_; }
  [[nodiscard]] bool overflow() const { return overflow_; }
  [[nodiscard]] bool integer_range() const { return integer_range_; }
  [[nodiscard]] bool too_deep() const { return depth_ > max_depth_; }
  [[nodiscard]] std::size_t position() const { return position_; }
  /// In which element of the outermost array it stopped; nothing: in none, or between two.
  [[nodiscard]] std::optional<std::size_t> element() const {
    if (!in_array_) return std::nullopt;
    if (depth_ > 1 || integer_range_) return elements_ - 1;
    return overflow_ ? std::optional(elements_) : std::nullopt;  // of a number that was not given to us
  }

 private:
  bool begin_value() {
    if (in_array_ && depth_ == 1) ++elements_;
    return true;
  }

  std::size_t max_depth_;
  std::size_t depth_ = 0;
  std::size_t position_ = 0;
  std::size_t elements_ = 0;  // begun
  bool in_array_ = false;     // the outermost value is one
  bool found_ = false;
  bool overflow_ = false;
  bool integer_range_ = false;
};

bool names_not_finite(std::string_view payload, std::size_t offset) {
  // The parser stops inside the word; look at where it began.
  constexpr std::string_view kWords[] = {"NaN", "nan", "Infinity", "infinity", "Inf", "inf"};
  const std::size_t begin = payload.find_last_of(":,[ \t\r\n", offset < payload.size() ? offset : payload.size() - 1);
  std::string_view word = payload.substr(begin == std::string_view::npos ? 0 : begin + 1);
  if (word.starts_with('-') || word.starts_with('+')) word.remove_prefix(1);
  for (const std::string_view candidate : kWords) {
    if (word.starts_with(candidate)) return true;
  }
  return false;
}

// What a finder that has stopped says.
PayloadError error_of(const FaultFinder& finder, std::string_view payload, std::size_t max_depth,
                      std::string_view fallback) {
  if (finder.too_deep()) {
    return {PayloadFault::kTooDeep, "nested deeper than " + std::to_string(max_depth) + " levels", {}, {}};
  }
  if (finder.integer_range()) return {PayloadFault::kIntegerRange, "an integer is beyond the range of int64", {}, {}};
  if (!finder.found()) return {PayloadFault::kSyntax, "not JSON: " + std::string(fallback), {}, {}};
  // nlohmann counts bytes read, from 1; the last one read is the one that cannot stand there.
  const std::size_t offset = finder.position() == 0 ? 0 : finder.position() - 1;
  if (finder.overflow()) return {PayloadFault::kNotFinite, "a number is beyond the range of double", offset, {}};
  if (names_not_finite(payload, offset)) {
    return {
        PayloadFault::kNotFinite, "NaN and Infinity are not JSON (byte " + std::to_string(offset) + ")", offset, {}};
  }
  if (offset >= payload.size()) {
    return {PayloadFault::kSyntax,
            "not JSON: the text ends too early (byte " + std::to_string(payload.size()) + ")",
            payload.size(),
            {}};
  }
  return {PayloadFault::kSyntax, "not JSON at byte " + std::to_string(offset), offset, {}};
}

}  // namespace

PayloadError in_element(std::size_t index, PayloadError error) {
  error.element = index;
  error.message = "element " + std::to_string(index) + ": " + error.message;
  return error;
}

PayloadError explain_json_fault(std::string_view payload, std::size_t max_depth, std::string_view fallback) {
  FaultFinder finder(max_depth);
  json::sax_parse(payload.begin(), payload.end(), &finder);
  PayloadError error = error_of(finder, payload, max_depth, fallback);
  const auto element = finder.element();
  return element ? in_element(*element, std::move(error)) : error;
}

}  // namespace millrace::telemetry
