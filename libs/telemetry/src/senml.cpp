#include "senml.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>

namespace millrace::telemetry {
namespace {

using Field = SenmlField;

constexpr std::array<std::string_view, kSenmlFields> kLabels{"bs", "bv", "bu", "bt", "bn", "bver", "n", "u",
                                                             "v",  "vs", "vb", "s",  "t",  "ut",   "vd"};
constexpr std::int64_t kVersion = 10;                     // of RFC 8428
constexpr std::int64_t kRelativeBelow = 1 << 28;          // seconds, section 4.5.3
constexpr std::int64_t kMostSeconds = 4'000'000'000'000;  // the sum of two is a time in us
constexpr std::string_view kSumSuffix = ".sum";

constexpr std::uint32_t bits() { return 0; }
template <typename... More>
constexpr std::uint32_t bits(Field first, More... more) {
  return 1U << static_cast<unsigned>(first) | bits(more...);
}
constexpr std::uint32_t kBase =
    bits(Field::kBaseSum, Field::kBaseValue, Field::kBaseUnit, Field::kBaseTime, Field::kBaseName, Field::kVersion);
constexpr std::uint32_t kValues = bits(Field::kValue, Field::kText, Field::kBool, Field::kData);

constexpr std::array<bool, 256> letters_and_digits() {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = table[c + 32] = true;
  return table;
}
constexpr std::array<bool, 256> with(std::array<bool, 256> table, std::string_view more) {
  for (const char c : more) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kFirstOfName = letters_and_digits();
constexpr std::array<bool, 256> kOfName = with(kFirstOfName, "-:./_");  // section 4.5.1
constexpr std::array<bool, 256> kBase64Url = with(kFirstOfName, "-_");

bool consists_of(const std::array<bool, 256>& table, std::string_view text) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return table[static_cast<unsigned char>(c)]; });
}

// How much of a name says which device it is: `{device}` or `urn:dev:{type}:{device}` (RFC 9039), and the separator.
std::size_t device_part(std::string_view name, std::string_view device) {
  constexpr std::string_view kUrn = "urn:dev:";
  const auto end_at = [&](std::size_t begin) -> std::size_t {
    const std::string_view rest = name.substr(begin);
    if (device.empty() || !rest.starts_with(device)) return 0;
    if (rest.size() == device.size()) return name.size();
    const char after = rest[device.size()];
    return after == ':' || after == '/' || after == '_' ? begin + device.size() + 1 : 0;
  };
  if (const std::size_t end = end_at(0); end != 0 || !name.starts_with(kUrn)) return end;
  const std::size_t colon = name.find(':', kUrn.size());
  return colon == std::string_view::npos ? 0 : end_at(colon + 1);
}

std::string quoted(Field field) { return "'" + std::string(to_string(field)) + "'"; }

}  // namespace

std::string_view to_string(SenmlField field) { return kLabels[static_cast<std::size_t>(field)]; }

std::optional<SenmlField> senml_field(std::string_view label) {
  const auto* const found = std::find(kLabels.begin(), kLabels.end(), label);
  if (found == kLabels.end()) return std::nullopt;
  return static_cast<Field>(found - kLabels.begin());
}

SenmlType type_of(SenmlField field) {
  switch (field) {
    case Field::kBaseName:
    case Field::kBaseUnit:
    case Field::kName:
    case Field::kUnit:
    case Field::kText:
      return SenmlType::kText;
    case Field::kBool:
      return SenmlType::kBool;
    case Field::kData:
      return SenmlType::kData;
    case Field::kBaseSum:
    case Field::kBaseValue:
    case Field::kBaseTime:
    case Field::kVersion:
    case Field::kValue:
    case Field::kSum:
    case Field::kTime:
    case Field::kUpdateTime:
      break;
  }
  return SenmlType::kNumber;
}

void base64url(std::string_view bytes, std::string& out) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  out.clear();
  std::uint32_t gathered = 0;
  unsigned held = 0;
  for (const char c : bytes) {
    gathered = gathered << 8U | static_cast<unsigned char>(c);
    for (held += 8; held >= 6; held -= 6) out += kDigits[gathered >> (held - 6) & 63U];
  }
  if (held > 0) out += kDigits[gathered << (6 - held) & 63U];
}

void SenmlResolver::begin(PointSink& sink) {
  sink_ = &sink;
  record_ = 0;
  base_ = {};
  base_time_ = 0;
  resolved_.clear();
  base_size_ = 0;
  units_.clear();
  several_units_ = false;
}

bool SenmlResolver::claim(SenmlRecord& record, SenmlField field) {
  const std::uint32_t bit = bits(field);
  if ((record.has & bit) != 0) return sink_->fail(PayloadFault::kShape, quoted(field) + " stands twice in one record");
  record.has |= bit;
  return true;
}

bool SenmlResolver::wrong_type(SenmlField field) {
  constexpr std::array<std::string_view, 4> kTypes{"a number", "a text", "true or false",
                                                   "data (in JSON: base64url without padding)"};
  return sink_->fail(PayloadFault::kShape,
                     quoted(field) + " must be " + std::string(kTypes[static_cast<std::size_t>(type_of(field))]));
}

bool SenmlResolver::set_number(SenmlRecord& record, SenmlField field, const SenmlNumber& number) {
  if (type_of(field) != SenmlType::kNumber) return wrong_type(field);
  if (!claim(record, field)) return false;
  if (!number.integer && !std::isfinite(number.real))
    return sink_->fail(PayloadFault::kNotFinite, quoted(field) + " is NaN or infinite");
  switch (field) {
    case Field::kBaseSum:
      record.base_sum = number;
      break;
    case Field::kBaseValue:
      record.base_value = number;
      break;
    case Field::kBaseTime:
      record.base_time = number;
      break;
    case Field::kVersion:
      record.version = number;
      break;
    case Field::kValue:
      record.value = number;
      break;
    case Field::kSum:
      record.sum = number;
      break;
    case Field::kTime:
      record.time = number;
      break;
    case Field::kUpdateTime:
    case Field::kBaseUnit:
    case Field::kBaseName:
    case Field::kName:
    case Field::kUnit:
    case Field::kText:
    case Field::kBool:
    case Field::kData:
      break;
  }
  return true;
}

bool SenmlResolver::set_text(SenmlRecord& record, SenmlField field, std::string_view text) {
  const SenmlType type = type_of(field);
  if (type != SenmlType::kText && type != SenmlType::kData) return wrong_type(field);
  if (!claim(record, field)) return false;
  // A last digit alone would hold 6 of 8 bits (RFC 4648 section 5).
  if (type == SenmlType::kData && (text.size() % 4 == 1 || !consists_of(kBase64Url, text))) return wrong_type(field);
  if (field == Field::kBaseName) {
    record.base_name = text;
  } else if (field == Field::kBaseUnit) {
    record.base_unit = text;
  } else if (field == Field::kName) {
    record.name = text;
  } else if (field == Field::kUnit) {
    record.unit = text;
  } else if (field == Field::kText) {
    record.text = text;
  } else {
    record.data = text;
  }
  return true;
}

bool SenmlResolver::set_bool(SenmlRecord& record, SenmlField field, bool value) {
  if (type_of(field) != SenmlType::kBool) return wrong_type(field);
  record.flag = value;
  return claim(record, field);
}

bool SenmlResolver::pass_over(std::string_view label) {
  if (!label.ends_with('_')) return true;
  return sink_->fail(PayloadFault::kUnsupported,
                     "the field " + in_quotes(label) + " must be understood (RFC 8428 section 4.4) and is not");
}

bool SenmlResolver::to_us(SenmlField field, const SenmlNumber& number, TimeUs& out) {
  if (std::fabs(number.as_real()) >= static_cast<double>(kMostSeconds))
    return sink_->fail(PayloadFault::kTimeRange, quoted(field) + " is too large for a time in seconds");
  out = number.integer ? number.whole * kUsPerSecond : std::llround(number.real * static_cast<double>(kUsPerSecond));
  return true;
}

bool SenmlResolver::take_base_name(std::string_view name) {
  if (!consists_of(kOfName, name)) {
    return sink_->fail(PayloadFault::kBadName,
                       "'bn' " + in_quotes(name) + " holds another character than A-Za-z0-9-:./_");
  }
  resolved_.assign(name);
  base_size_ = name.size();
  return true;
}

bool SenmlResolver::take_base(const SenmlRecord& record) {
  base_.has |= record.has & kBase;
  if (record.holds(Field::kVersion) && (!record.version.integer || record.version.whole > kVersion)) {
    return sink_->fail(PayloadFault::kUnsupported, "'bver' is not a version up to " + std::to_string(kVersion));
  }
  if (record.holds(Field::kBaseSum)) base_.base_sum = record.base_sum;
  if (record.holds(Field::kBaseValue)) base_.base_value = record.base_value;
  if (record.holds(Field::kBaseUnit)) base_.base_unit = record.base_unit;
  if (record.holds(Field::kBaseTime) && !to_us(Field::kBaseTime, record.base_time, base_time_)) return false;
  return !record.holds(Field::kBaseName) || take_base_name(record.base_name);
}

// Where the name is that of the device alone, the unit tells its measurements apart (RFC 8428 section 5.1.3).
bool SenmlResolver::name_by_unit(std::string_view unit) {
  if (unit.empty()) {
    return sink_->fail(PayloadFault::kBadName,
                       "the name is empty or the device's own: 'n' or at least a unit must name the measurement");
  }
  metric_ += unit;
  return sink_->check_utf8_name(metric_, unit);
}

// metric_: the prefix, and the name behind what only says which device it is.
bool SenmlResolver::resolve_name(const SenmlRecord& record) {
  if (!consists_of(kOfName, record.name)) {
    return sink_->fail(PayloadFault::kBadName,
                       "'n' " + in_quotes(record.name) + " holds another character than A-Za-z0-9-:./_");
  }
  resolved_.resize(base_size_);
  resolved_ += record.name;
  const std::string_view whole = resolved_;
  if (!whole.empty() && !kFirstOfName[static_cast<unsigned char>(whole.front())])
    return sink_->fail(PayloadFault::kBadName, "the name " + in_quotes(whole) + " begins with none of A-Za-z0-9");
  const std::string_view own = whole.substr(device_part(whole, sink_->options().device));
  metric_.assign(sink_->prefix());
  if (own.empty()) return name_by_unit(record.holds(Field::kUnit) ? record.unit : base_.base_unit);
  metric_ += own;
  return sink_->check_length(metric_);
}

bool SenmlResolver::resolve_time(const SenmlRecord& record, std::optional<TimeUs>& time) {
  TimeUs sum = base_time_;
  if (record.holds(Field::kTime)) {
    TimeUs own = 0;
    if (!to_us(Field::kTime, record.time, own)) return false;
    sum += own;
  }
  if (sum == 0) return true;  // "now": stamped on arrival like every reading without a time
  time = sum < kRelativeBelow * kUsPerSecond ? sink_->options().now + sum : sum;
  return sink_->check_time(record.holds(Field::kTime) ? "t" : "bt", *time);
}

bool SenmlResolver::add_number(std::string_view field, const SenmlNumber* own, const SenmlNumber* base) {
  static constexpr SenmlNumber kZero;
  const SenmlNumber& a = own == nullptr ? kZero : *own;
  const SenmlNumber& b = base == nullptr ? kZero : *base;
  if (!a.integer || !b.integer) {
    const double sum = a.as_real() + b.as_real();
    if (std::isfinite(sum)) return sink_->add(metric_, sum);
    return sink_->fail(PayloadFault::kNotFinite, std::string(field) + " with its base is beyond the range of double");
  }
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a.whole, b.whole, &sum)) return sink_->add(metric_, sum);
  return sink_->fail(PayloadFault::kIntegerRange, std::string(field) + " with its base is beyond the range of int64");
}

bool SenmlResolver::add_values(const SenmlRecord& record) {
  const std::uint32_t values = record.has & kValues;
  if ((values & (values - 1)) != 0)
    return sink_->fail(PayloadFault::kShape, "more than one of 'v', 'vs', 'vb' and 'vd' in one record");
  const SenmlNumber* base = base_.holds(Field::kBaseValue) ? &base_.base_value : nullptr;
  const SenmlNumber* base_sum = base_.holds(Field::kBaseSum) ? &base_.base_sum : nullptr;
  const bool has_sum = record.holds(Field::kSum) || base_sum != nullptr;
  bool added = true;
  if (record.holds(Field::kText)) {
    added = (is_utf8(record.text) || sink_->fail(PayloadFault::kBadText, "'vs' is not UTF-8")) &&
            sink_->add_text(metric_, record.text);
  } else if (record.holds(Field::kBool)) {
    added = sink_->add_bool(metric_, record.flag);
  } else if (record.holds(Field::kData)) {
    added = sink_->add_text(metric_, record.data);
  } else if (record.holds(Field::kValue) || (base != nullptr && !has_sum)) {
    added = add_number("'v'", record.holds(Field::kValue) ? &record.value : nullptr, base);
  } else if (!has_sum) {
    return sink_->fail(PayloadFault::kShape,
                       "a record without a value: one of 'v', 'vs', 'vb', 'vd' and 's' is needed");
  }
  if (!added || !has_sum) return added;
  metric_ += kSumSuffix;
  return sink_->check_length(metric_) && add_number("'s'", record.holds(Field::kSum) ? &record.sum : nullptr, base_sum);
}

// The unit is not stored: two under one name would be one series of two things.
void SenmlResolver::remember_unit(std::string_view unit, std::size_t first) {
  if (unit.empty()) return;
  if (!units_.empty() && units_.back().unit != unit) several_units_ = true;
  for (std::size_t point = first; point < sink_->size(); ++point) units_.push_back({point, record_, unit});
}

bool SenmlResolver::take(const SenmlRecord& record) {
  const bool taken = [&] {
    if ((record.has & kBase) != 0 && !take_base(record)) return false;
    if ((record.has & ~kBase) == 0) return true;  // base values for the records behind it
    std::optional<TimeUs> time;
    if (!resolve_name(record) || !resolve_time(record, time)) return false;
    const std::size_t first = sink_->size();
    if (!add_values(record)) return false;
    if (time) sink_->set_time(first, time);
    remember_unit(record.holds(Field::kUnit) ? record.unit : base_.base_unit, first);
    return true;
  }();
  if (!taken) return sink_->fail_in(record_);
  ++record_;
  return true;
}

bool SenmlResolver::finish() {
  if (!several_units_) return true;
  std::unordered_map<std::string_view, std::string_view> unit_of;
  for (const PointUnit& point : units_) {
    const std::string_view metric = sink_->batch().points[point.point].metric;
    const auto [known, fresh] = unit_of.emplace(metric, point.unit);
    if (fresh || known->second == point.unit) continue;
    sink_->fail(PayloadFault::kShape, in_quotes(metric) + " comes with the units " + in_quotes(known->second) +
                                          " and " + in_quotes(point.unit) +
                                          ": each measurement needs a name of its own");
    return sink_->fail_in(point.record);
  }
  return true;
}

}  // namespace millrace::telemetry
