#include "cbor_json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include <simdjson.h>

#include "cbor_reader.hpp"
#include "json_fault.hpp"

namespace millrace::telemetry {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

/// Takes the items of CBOR and writes them as JSON. After a fault nothing more is taken.
class Transcoder {
 public:
  Transcoder(std::size_t max_depth, std::string& out) : max_depth_(max_depth), out_(out) {}

  void at(std::size_t offset) { offset_ = offset; }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const std::optional<PayloadError>& fault() const { return fault_; }
  void fail(PayloadFault fault, std::string_view what) {
    if (fault_) return;
    fault_ =
        PayloadError{fault, std::string(what) + " (byte " + std::to_string(offset_) + ")", std::optional(offset_), {}};
    // What is no CBOR is in an element only where that one has begun.
    const bool within = levels_.size() > 1 || (levels_.size() == 1 && fault != PayloadFault::kSyntax);
    if (within && !levels_.front().map) fault_ = in_element(levels_.front().taken, *std::move(fault_));
  }

  void number(std::string_view text) {
    if (!begin_item()) return;
    out_ += text;
    end_item();
  }
  void positive(std::uint64_t value) { number(std::to_string(value)); }
  // CBOR says -1 - value.
  void negative(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return fail(PayloadFault::kIntegerRange, "an integer is beyond the range of int64");
    number(std::to_string(-1 - static_cast<std::int64_t>(value)));
  }
  void real(double value) {
    if (!std::isfinite(value)) return fail(PayloadFault::kNotFinite, "NaN and infinities are not taken");
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    std::string text(digits.data(), end);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    number(text);
  }
  void text(std::string_view part) {
    if (fault_ || (!in_text_ && !begin_item(Item::kText))) return;
    if (!simdjson::validate_utf8(part.data(), part.size())) return fail(PayloadFault::kSyntax, "a text is not UTF-8");
    if (!in_text_) out_ += '"';
    append_escaped(part);
    if (in_text_) return;
    out_ += '"';
    end_item();
  }
  void text_in_parts() {
    if (!begin_item(Item::kText)) return;
    out_ += '"';
    in_text_ = true;
  }
  void open(bool map, std::optional<std::uint64_t> items) {
    if (!begin_item()) return;
    if (levels_.size() == max_depth_)
      return fail(PayloadFault::kTooDeep, "nested deeper than " + std::to_string(max_depth_) + " levels");
    // More items than that cannot come, each takes a byte; and two for a pair must not overflow.
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (items.value_or(0) > kMost) return fail(PayloadFault::kSyntax, "not CBOR: it ends too early");
    levels_.push_back({map, !items, items.value_or(0) * (map ? 2 : 1), 0});
    out_ += map ? '{' : '[';
    if (items == 0) close();
  }
  void end_of_open_item() {
    if (fault_) return;
    if (in_text_) {
      in_text_ = false;
      out_ += '"';
      return end_item();
    }
    const bool whole =
        !levels_.empty() && levels_.back().open_end && !(levels_.back().map && levels_.back().taken % 2 != 0);
    if (!whole) return fail(PayloadFault::kSyntax, "nothing can end here");
    close();
  }
  void tag(std::uint64_t number) {
    if (number != 0 && number != 1 && number != 55799)
      fail(PayloadFault::kShape, "tag " + std::to_string(number) + " has no meaning here");
    if (in_text_) fail(PayloadFault::kSyntax, "a text of parts holds something else");
  }

 private:
  enum class Item { kText, kOther };
  struct Level {
    bool map;
    bool open_end;        // ends with a break
    std::uint64_t items;  // keys and values, without open_end
    std::uint64_t taken;
  };

  bool begin_item(Item item = Item::kOther) {
    if (fault_) return false;
    if (in_text_) fail(PayloadFault::kSyntax, "a text of parts holds something else");
    if (!levels_.empty()) {
      const Level& level = levels_.back();
      const bool key = level.map && level.taken % 2 == 0;
      if (key && item != Item::kText) fail(PayloadFault::kShape, "a key is not a text");
      if (level.map && level.taken % 2 == 1) {
        out_ += ':';
      } else if (level.taken > 0) {
        out_ += ',';
      }
    }
    return !fault_;
  }
  void end_item() {
    if (levels_.empty()) {
      done_ = true;
      return;
    }
    Level& level = levels_.back();
    ++level.taken;
    if (!level.open_end && level.taken == level.items) close();
  }
  void close() {
    out_ += levels_.back().map ? '}' : ']';
    levels_.pop_back();
    end_item();
  }
  void append_escaped(std::string_view part) {
    for (const char c : part) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20) {
        out_.append("\\u00").append(1, kHexDigits[byte >> 4U]).append(1, kHexDigits[byte & 15U]);
      } else {
        if (c == '"' || c == '\\') out_ += '\\';
        out_ += c;
      }
    }
  }

  std::size_t max_depth_;
  std::string& out_;
  std::vector<Level> levels_;
  std::size_t offset_ = 0;
  bool in_text_ = false;
  bool done_ = false;
  std::optional<PayloadError> fault_;
};

void take(const CborItem& item, Transcoder& to) {
  using Kind = CborItem::Kind;
  switch (item.kind) {
    case Kind::kUnsigned:
      return to.positive(item.number);
    case Kind::kNegative:
      return to.negative(item.number);
    case Kind::kBytes:
    case Kind::kOpenBytes:
      return to.fail(PayloadFault::kShape, "a byte string has no place here");
    case Kind::kText:
      return to.text(item.text);
    case Kind::kOpenText:
      return to.text_in_parts();
    case Kind::kArray:
      return to.open(false, item.number);
    case Kind::kOpenArray:
      return to.open(false, std::nullopt);
    case Kind::kMap:
      return to.open(true, item.number);
    case Kind::kOpenMap:
      return to.open(true, std::nullopt);
    case Kind::kTag:
      return to.tag(item.number);
    case Kind::kReal:
      return to.real(item.real);
    case Kind::kBool:
      return to.number(item.number != 0 ? "true" : "false");
    case Kind::kNull:
      return to.number("null");
    case Kind::kBreak:
      return to.end_of_open_item();
  }
}

}  // namespace

std::optional<PayloadError> cbor_to_json(std::string_view cbor, std::size_t max_depth, std::string& out) {
  out.clear();
  Transcoder transcoder(max_depth, out);
  CborReader reader(cbor);
  CborItem item;
  while (!transcoder.done() && !transcoder.fault()) {
    transcoder.at(reader.offset());
    switch (reader.next(item)) {
      case CborReader::Step::kItem:
        take(item, transcoder);
        break;
      case CborReader::Step::kEnd:
        transcoder.fail(PayloadFault::kSyntax, "not CBOR: it ends too early");
        break;
      case CborReader::Step::kBad:
        transcoder.fail(PayloadFault::kSyntax, "not CBOR");
        break;
    }
  }
  transcoder.at(reader.offset());
  if (!transcoder.fault() && !reader.at_end()) transcoder.fail(PayloadFault::kSyntax, "not CBOR: it goes on");
  return transcoder.fault();
}

}  // namespace millrace::telemetry
