#include "senml_cbor.hpp"

#include <charconv>
#include <limits>
#include <vector>

namespace millrace::telemetry {
namespace {

using Kind = CborItem::Kind;
using Step = CborReader::Step;

constexpr std::uint64_t kDecimalFraction = 4;    // RFC 8949 section 3.4.4
constexpr std::uint64_t kSelfDescribed = 55799;  // section 3.4.6

}  // namespace

bool SenmlCborDecoder::fail(PayloadFault fault, std::string_view what) {
  return sink_->fail(fault, std::string(what) + " (byte " + std::to_string(item_at_) + ")", item_at_);
}

bool SenmlCborDecoder::next(CborItem& item) {
  item_at_ = reader_.offset();
  switch (reader_.next(item)) {
    case Step::kItem:
      return true;
    case Step::kEnd:
      return fail(PayloadFault::kSyntax, "not CBOR: it ends too early");
    case Step::kBad:
      break;
  }
  return fail(PayloadFault::kSyntax, "not CBOR");
}

// The tag that says "this is CBOR" means nothing more.
bool SenmlCborDecoder::next_untagged(CborItem& item) {
  do {
    if (!next(item)) return false;
  } while (item.kind == Kind::kTag && item.number == kSelfDescribed);
  return true;
}

bool SenmlCborDecoder::integer(const CborItem& item, std::int64_t& out) {
  if (item.number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return fail(PayloadFault::kIntegerRange, "an integer is beyond the range of int64");
  out = static_cast<std::int64_t>(item.number);
  if (item.kind == Kind::kNegative) out = -1 - out;
  return true;
}

// [exponent, mantissa], rounded once, to the nearest double; a whole number stays one.
bool SenmlCborDecoder::decimal_fraction(SenmlNumber& out) {
  CborItem item;
  if (!next(item)) return false;
  std::int64_t parts[2] = {};
  if (item.kind != Kind::kArray || item.number != 2)
    return fail(PayloadFault::kShape, "a decimal fraction is an array of exponent and mantissa");
  for (std::int64_t& part : parts) {
    if (!next(item)) return false;
    if (item.kind != Kind::kUnsigned && item.kind != Kind::kNegative)
      return fail(PayloadFault::kShape,
                  "the exponent and the mantissa of a decimal fraction must be integers of 64 bits");
    if (!integer(item, part)) return false;
  }
  if (parts[0] == 0) {
    out = {true, parts[1], 0};
    return true;
  }
  const std::string text = std::to_string(parts[1]) + "e" + std::to_string(parts[0]);
  out = {false, 0, 0};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out.real);
  if (read.ec == std::errc{}) return true;
  if (parts[0] > 0 && parts[1] != 0)
    return fail(PayloadFault::kNotFinite, "a decimal fraction is beyond the range of double");
  out.real = 0;  // too small to be told from it
  return true;
}

bool SenmlCborDecoder::value_of(SenmlField field, SenmlRecord& out) {
  CborItem item;
  if (!next(item)) return false;
  SenmlNumber number;
  switch (item.kind) {
    case Kind::kUnsigned:
    case Kind::kNegative:
      return integer(item, number.whole) && resolver_.set_number(out, field, number);
    case Kind::kReal:
      return resolver_.set_number(out, field, {false, 0, item.real});
    case Kind::kText:
      // Data are bytes here.
      return type_of(field) == SenmlType::kData ? resolver_.wrong_type(field)
                                                : resolver_.set_text(out, field, item.text);
    case Kind::kBytes:
      if (type_of(field) != SenmlType::kData) return resolver_.wrong_type(field);
      base64url(item.text, data_);
      return resolver_.set_text(out, field, data_);
    case Kind::kBool:
      return resolver_.set_bool(out, field, item.number != 0);
    case Kind::kTag:
      if (item.number != kDecimalFraction) break;
      return decimal_fraction(number) && resolver_.set_number(out, field, number);
    case Kind::kArray:
    case Kind::kMap:
    case Kind::kNull:
    case Kind::kOpenBytes:
    case Kind::kOpenText:
    case Kind::kOpenArray:
    case Kind::kOpenMap:
    case Kind::kBreak:
      break;
  }
  return resolver_.wrong_type(field);
}

// Passes over one item, whatever it holds: an extension's value.
bool SenmlCborDecoder::skip() {
  struct Level {
    std::uint64_t left;  // items; of an open one: those taken, so that a map ends behind a value
    bool open;
    bool map;
  };
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  std::vector<Level> levels;
  CborItem item;
  do {
    if (!next(item)) return false;
    const bool map = item.kind == Kind::kMap || item.kind == Kind::kOpenMap;
    const bool open = item.kind >= Kind::kOpenBytes && item.kind <= Kind::kOpenMap;
    if (item.kind == Kind::kTag) continue;
    if (item.kind == Kind::kBreak) {
      const bool ends = !levels.empty() && levels.back().open && !(levels.back().map && levels.back().left % 2 != 0);
      if (!ends) return fail(PayloadFault::kSyntax, "nothing can end here");
      levels.pop_back();
    } else if (open || ((map || item.kind == Kind::kArray) && item.number != 0)) {
      if (levels.size() + 2 >= sink_->limits().max_depth)
        return fail(PayloadFault::kTooDeep,
                    "nested deeper than " + std::to_string(sink_->limits().max_depth) + " levels");
      if (!open && item.number > kMost) return fail(PayloadFault::kSyntax, "not CBOR: it ends too early");
      levels.push_back({open ? 0 : item.number * (map ? 2 : 1), open, map});
      continue;
    }
    // An item is complete, and with it perhaps those around it.
    while (!levels.empty()) {
      Level& level = levels.back();
      if (level.open) {
        ++level.left;
        break;
      }
      if (--level.left != 0) break;
      levels.pop_back();
    }
  } while (!levels.empty() || item.kind == Kind::kTag);
  return true;
}

bool SenmlCborDecoder::field(const CborItem& label, SenmlRecord& out) {
  if (label.kind == Kind::kText) {
    const auto known = senml_field(label.text);
    if (known) return value_of(*known, out);
    return resolver_.pass_over(label.text) && skip();
  }
  std::int64_t number = 0;
  if (label.kind != Kind::kUnsigned && label.kind != Kind::kNegative)
    return fail(PayloadFault::kShape, "a label is neither an integer nor a text");
  if (!integer(label, number)) return false;
  constexpr auto kBeyond = kSenmlFirstLabel + static_cast<std::int64_t>(kSenmlFields);
  if (number < kSenmlFirstLabel || number >= kBeyond) return skip();
  return value_of(static_cast<SenmlField>(number - kSenmlFirstLabel), out);
}

bool SenmlCborDecoder::record(const CborItem& head, SenmlRecord& out) {
  const bool open = head.kind == Kind::kOpenMap;
  if (!open && head.kind != Kind::kMap) return fail(PayloadFault::kShape, "a record must be a map");
  CborItem label;
  for (std::uint64_t left = head.number; open || left > 0; --left) {
    if (!next(label)) return false;
    if (open && label.kind == Kind::kBreak) return true;
    if (!field(label, out)) return false;
  }
  return true;
}

bool SenmlCborDecoder::records(std::uint64_t count, bool open) {
  CborItem head;
  for (std::size_t index = 0; open || index < count; ++index) {
    if (!next(head)) return false;
    if (open && head.kind == Kind::kBreak) return true;
    SenmlRecord one;
    if (!record(head, one)) return sink_->fail_in(index);
    if (!resolver_.take(one)) return false;
  }
  return true;
}

bool SenmlCborDecoder::decode(std::string_view cbor, PointSink& sink) {
  sink_ = &sink;
  reader_ = CborReader(cbor);
  resolver_.begin(sink);
  CborItem pack;
  if (!next_untagged(pack)) return false;
  const bool open = pack.kind == Kind::kOpenArray;
  if (!open && pack.kind != Kind::kArray) return fail(PayloadFault::kShape, "a SenML pack is an array of records");
  if (!records(pack.number, open) || !resolver_.finish()) return false;
  item_at_ = reader_.offset();
  return reader_.at_end() || fail(PayloadFault::kSyntax, "not CBOR: it goes on");
}

}  // namespace millrace::telemetry
