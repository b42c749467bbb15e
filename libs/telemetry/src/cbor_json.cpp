#include "cbor_json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include <cbor.h>
#include <simdjson.h>

#include "json_fault.hpp"

namespace millrace::telemetry {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

/// Takes the items of libcbor's stream decoder and writes them as JSON. After a fault nothing more is taken.
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

Transcoder& of(void* context) { return *static_cast<Transcoder*>(context); }

void refuse_bytes(void* context) { of(context).fail(PayloadFault::kShape, "a byte string has no place here"); }

cbor_callbacks make_callbacks() {
  cbor_callbacks to = cbor_empty_callbacks;
  to.uint8 = [](void* c, std::uint8_t value) { of(c).positive(value); };
  to.uint16 = [](void* c, std::uint16_t value) { of(c).positive(value); };
  to.uint32 = [](void* c, std::uint32_t value) { of(c).positive(value); };
  to.uint64 = [](void* c, std::uint64_t value) { of(c).positive(value); };
  to.negint8 = [](void* c, std::uint8_t value) { of(c).negative(value); };
  to.negint16 = [](void* c, std::uint16_t value) { of(c).negative(value); };
  to.negint32 = [](void* c, std::uint32_t value) { of(c).negative(value); };
  to.negint64 = [](void* c, std::uint64_t value) { of(c).negative(value); };
  to.byte_string_start = refuse_bytes;
  to.byte_string = [](void* c, cbor_data, std::size_t) { refuse_bytes(c); };
  to.string = [](void* c, cbor_data text, std::size_t size) {
    of(c).text({reinterpret_cast<const char*>(text), size});
  };
  to.string_start = [](void* c) { of(c).text_in_parts(); };
  to.indef_array_start = [](void* c) { of(c).open(false, std::nullopt); };
  to.array_start = [](void* c, std::size_t items) { of(c).open(false, items); };
  to.indef_map_start = [](void* c) { of(c).open(true, std::nullopt); };
  to.map_start = [](void* c, std::size_t pairs) { of(c).open(true, pairs); };
  to.tag = [](void* c, std::uint64_t number) { of(c).tag(number); };
  to.float2 = [](void* c, float value) { of(c).real(value); };
  to.float4 = [](void* c, float value) { of(c).real(value); };
  to.float8 = [](void* c, double value) { of(c).real(value); };
  to.undefined = [](void* c) { of(c).number("null"); };
  to.null = [](void* c) { of(c).number("null"); };
  to.boolean = [](void* c, bool value) { of(c).number(value ? "true" : "false"); };
  to.indef_break = [](void* c) { of(c).end_of_open_item(); };
  return to;
}

}  // namespace

std::optional<PayloadError> cbor_to_json(std::string_view cbor, std::size_t max_depth, std::string& out) {
  static const cbor_callbacks kCallbacks = make_callbacks();
  out.clear();
  Transcoder transcoder(max_depth, out);
  const auto* bytes = reinterpret_cast<cbor_data>(cbor.data());
  for (std::size_t at = 0; !transcoder.done();) {
    transcoder.at(at);
    const cbor_decoder_result step = cbor_stream_decode(bytes + at, cbor.size() - at, &kCallbacks, &transcoder);
    if (step.status == CBOR_DECODER_NEDATA) transcoder.fail(PayloadFault::kSyntax, "not CBOR: it ends too early");
    if (step.status == CBOR_DECODER_ERROR) transcoder.fail(PayloadFault::kSyntax, "not CBOR");
    if (transcoder.fault()) return transcoder.fault();
    at += step.read;
    transcoder.at(at);
    if (transcoder.done() && at != cbor.size()) transcoder.fail(PayloadFault::kSyntax, "not CBOR: it goes on");
  }
  return transcoder.fault();
}

}  // namespace millrace::telemetry
