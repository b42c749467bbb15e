#include <algorithm>
#include <cmath>
#include <cstring>

#include <simdjson.h>

#include <millrace/telemetry/payload.hpp>

#include "cbor_json.hpp"
#include "json_fault.hpp"

namespace millrace::telemetry {
namespace {

namespace dom = simdjson::dom;
using Failure = std::optional<PayloadError>;

constexpr std::int64_t kMostSeconds = 100'000'000'000;     // 1e11: year 5138
constexpr std::int64_t kMostMillis = kMostSeconds * 1000;  // 1e14
constexpr std::int64_t kMostMicros = kMostMillis * 1000;   // 1e17

bool is_time_key(std::string_view key) { return key == "ts" || key == "timestamp" || key == "time"; }
bool is_reserved(std::string_view key) { return is_time_key(key) || key == "device_id"; }

PayloadError fault(PayloadFault kind, std::string message) { return {kind, std::move(message), {}, {}}; }

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kShown = 64;
  return "'" + std::string(name.substr(0, kShown)) + (name.size() > kShown ? "…'" : "'");
}

}  // namespace

std::string_view to_string(PayloadFault kind) {
  switch (kind) {
    case PayloadFault::kEmpty:
      return "empty";
    case PayloadFault::kTooLarge:
      return "too_large";
    case PayloadFault::kSyntax:
      return "syntax";
    case PayloadFault::kNotFinite:
      return "not_finite";
    case PayloadFault::kIntegerRange:
      return "integer_range";
    case PayloadFault::kTooDeep:
      return "too_deep";
    case PayloadFault::kTooManyPoints:
      return "too_many_points";
    case PayloadFault::kNoPoints:
      return "no_points";
    case PayloadFault::kShape:
      return "shape";
    case PayloadFault::kNameTooLong:
      return "name_too_long";
    case PayloadFault::kBadName:
      return "bad_name";
    case PayloadFault::kTextTooLong:
      return "text_too_long";
    case PayloadFault::kBadText:
      return "bad_text";
    case PayloadFault::kBadTime:
      return "bad_time";
    case PayloadFault::kTimeRange:
      return "time_range";
    case PayloadFault::kWrongDevice:
      return "wrong_device";
    case PayloadFault::kTooManyMetrics:
      return "too_many_metrics";
    case PayloadFault::kUnknownDevice:
      return "unknown_device";
  }
  return "syntax";
}

TimeUs time_from_number(std::int64_t number) {
  const std::int64_t magnitude = number == std::numeric_limits<std::int64_t>::min() ? kMostMicros : std::abs(number);
  if (magnitude < kMostSeconds) return number * kUsPerSecond;
  if (magnitude < kMostMillis) return number * 1000;
  if (magnitude < kMostMicros) return number;
  return number / 1000 - (number % 1000 < 0 ? 1 : 0);
}

std::optional<TimeUs> time_from_number(double number) {
  const double magnitude = std::fabs(number);
  if (!(magnitude < 9.2e18)) return std::nullopt;
  double scale = 1e-3;
  if (magnitude < static_cast<double>(kMostSeconds)) {
    scale = 1e6;
  } else if (magnitude < static_cast<double>(kMostMillis)) {
    scale = 1e3;
  } else if (magnitude < static_cast<double>(kMostMicros)) {
    scale = 1;
  }
  return std::llround(number * scale);
}

namespace {

// `\u0000` as an escape: a backslash that is escaped itself begins none.
bool holds_escaped_nul(std::string_view json) {
  for (auto at = json.find("\\u0000"); at != std::string_view::npos; at = json.find("\\u0000", at + 1)) {
    std::size_t slashes = 1;
    while (slashes <= at && json[at - slashes] == '\\') ++slashes;
    if (slashes % 2 == 1) return true;
  }
  return false;
}

}  // namespace

struct PayloadDecoder::Impl {
  explicit Impl(PayloadLimits given) : limits(given) {}

  Failure decode_json(std::string_view payload, const DecodeOptions& given, Batch& batch);
  Failure decode_cbor(std::string_view payload, const DecodeOptions& given, Batch& batch);
  [[nodiscard]] Failure check_size(std::string_view payload) const;
  Failure decode(std::string_view json, const DecodeOptions& given, Batch& batch);
  Failure message(dom::element element, std::optional<TimeUs>& time);
  Failure object(dom::object values, std::size_t prefix_length, bool reserved);
  Failure point(dom::element element);
  Failure reserved_member(std::string_view key, dom::element element, std::optional<TimeUs>& time) const;
  Failure time_of(std::string_view key, dom::element element, std::optional<TimeUs>& time) const;
  Failure check_name(std::string_view key) const;
  Failure check_text(std::string_view text, PayloadFault too_long) const;
  [[nodiscard]] dom::element parse(std::string_view payload, Failure& failure);

  PayloadLimits limits;
  dom::parser parser;
  std::string padded;
  std::string transcoded;  // CBOR as JSON
  std::string name;        // metric name under construction: prefix and the keys so far
  DecodeOptions options;
  Batch* out = nullptr;
  std::size_t used = 0;  // points filled; the vector keeps the rest for reuse
};

dom::element PayloadDecoder::Impl::parse(std::string_view payload, Failure& failure) {
  // simdjson refuses what reaches its bound; ours is the deepest level that is allowed.
  const std::size_t refused_depth = limits.max_depth + 1;
  if (parser.max_depth() != refused_depth || parser.capacity() < payload.size()) {
    const std::size_t capacity = std::max<std::size_t>(payload.size(), 4096);
    if (parser.allocate(capacity, refused_depth) != simdjson::SUCCESS) std::abort();
  }
  padded.resize(payload.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(padded.data(), payload.data(), payload.size());
  std::memset(padded.data() + payload.size(), 0, simdjson::SIMDJSON_PADDING);
  dom::element root;
  const auto code = parser.parse(padded.data(), payload.size(), false).get(root);
  if (code != simdjson::SUCCESS) {
    failure = explain_json_fault(payload, limits.max_depth, simdjson::error_message(code));
  }
  return root;
}

Failure PayloadDecoder::Impl::check_name(std::string_view key) const {
  if (key.empty()) return fault(PayloadFault::kBadName, "a metric name is empty");
  if (name.size() > limits.max_metric_bytes) {
    return fault(PayloadFault::kNameTooLong, "metric name " + in_quotes(name) + " is longer than " +
                                                 std::to_string(limits.max_metric_bytes) + " bytes");
  }
  const bool control = std::any_of(key.begin(), key.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
  if (control) return fault(PayloadFault::kBadName, "a metric name holds a control character");
  return {};
}

Failure PayloadDecoder::Impl::check_text(std::string_view text, PayloadFault too_long) const {
  if (text.size() > limits.max_text_bytes) {
    return fault(too_long, "the value of " + in_quotes(name) + " is longer than " +
                               std::to_string(limits.max_text_bytes) + " bytes");
  }
  if (text.find('\0') != std::string_view::npos) {
    return fault(PayloadFault::kBadText, "the value of " + in_quotes(name) + " holds U+0000");
  }
  return {};
}

Failure PayloadDecoder::Impl::point(dom::element element) {
  if (element.is_null()) return {};
  if (used == limits.max_points) {
    return fault(PayloadFault::kTooManyPoints,
                 "more than " + std::to_string(limits.max_points) + " points in one message");
  }
  if (used == out->points.size()) out->points.emplace_back();
  Point& target = out->points[used];
  switch (element.type()) {
    case dom::element_type::DOUBLE:
      target.value = double{element.get_double().value_unsafe()};
      break;
    case dom::element_type::INT64:
      target.value = std::int64_t{element.get_int64().value_unsafe()};
      break;
    case dom::element_type::UINT64:
      return fault(PayloadFault::kIntegerRange, "the value of " + in_quotes(name) + " is beyond the range of int64");
    case dom::element_type::BOOL:
      target.value = bool{element.get_bool().value_unsafe()};
      break;
    case dom::element_type::STRING: {
      const std::string_view text = element.get_string().value_unsafe();
      if (auto failure = check_text(text, PayloadFault::kTextTooLong)) return failure;
      if (auto* reused = std::get_if<std::string>(&target.value)) {
        reused->assign(text);
      } else {
        target.value.emplace<std::string>(text);
      }
      break;
    }
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT: {
      Json json{simdjson::minify(element)};
      if (auto failure = check_text(json.text, PayloadFault::kTextTooLong)) return failure;
      // PostgreSQL and most readers of JSON cannot hold an escaped NUL either.
      if (holds_escaped_nul(json.text)) {
        return fault(PayloadFault::kBadText, "the value of " + in_quotes(name) + " holds U+0000");
      }
      target.value = std::move(json);
      break;
    }
    case dom::element_type::NULL_VALUE:
      return {};
  }
  target.metric.assign(name);
  target.time.reset();
  ++used;
  return {};
}

Failure PayloadDecoder::Impl::object(dom::object values, std::size_t prefix_length, bool reserved) {
  for (const auto [key, element] : values) {
    if (reserved && is_reserved(key)) continue;
    name.resize(prefix_length);
    name.append(key);
    if (auto failure = check_name(key)) return failure;
    if (element.is_object()) {
      name += '.';
      if (auto failure = object(element.get_object().value_unsafe(), name.size(), false)) return failure;
    } else if (auto failure = point(element)) {
      return failure;
    }
  }
  return {};
}

Failure PayloadDecoder::Impl::time_of(std::string_view key, dom::element element, std::optional<TimeUs>& time) const {
  if (time) return fault(PayloadFault::kBadTime, "more than one time (" + in_quotes(key) + ")");
  switch (element.type()) {
    case dom::element_type::INT64:
      time = time_from_number(std::int64_t{element.get_int64().value_unsafe()});
      break;
    case dom::element_type::DOUBLE:
      time = time_from_number(double{element.get_double().value_unsafe()});
      break;
    case dom::element_type::STRING: {
      const auto parsed = parse_rfc3339(element.get_string().value_unsafe());
      if (!parsed) return fault(PayloadFault::kBadTime, in_quotes(key) + " is " + parsed.error().message);
      time = *parsed;
      break;
    }
    case dom::element_type::NULL_VALUE:
      return {};
    case dom::element_type::UINT64:
    case dom::element_type::BOOL:
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT:
      break;
  }
  if (!time) {
    return fault(PayloadFault::kBadTime, in_quotes(key) +
                                             " is neither an RFC 3339 time nor a number of seconds, milliseconds, "
                                             "microseconds or nanoseconds since 1970");
  }
  if (*time < limits.min_time || *time >= limits.max_time) {
    return fault(PayloadFault::kTimeRange,
                 in_quotes(key) + " (" +
                     format_rfc3339(std::clamp(*time, TimeUs{-62135596800000000}, TimeUs{253402300799000000})) +
                     ") is not between " + format_rfc3339(limits.min_time) + " and " + format_rfc3339(limits.max_time));
  }
  return {};
}

Failure PayloadDecoder::Impl::reserved_member(std::string_view key, dom::element element,
                                              std::optional<TimeUs>& time) const {
  if (is_time_key(key)) return time_of(key, element, time);
  if (key != "device_id") return {};
  std::string_view named;
  if (element.get_string().get(named) != simdjson::SUCCESS || named != options.device) {
    return fault(PayloadFault::kWrongDevice,
                 "device_id does not name the authenticated device " + in_quotes(options.device));
  }
  return {};
}

// One message of the shapes (a) or (b); its time goes to `time`.
Failure PayloadDecoder::Impl::message(dom::element element, std::optional<TimeUs>& time) {
  dom::object members;
  if (element.get_object().get(members) != simdjson::SUCCESS) {
    return fault(PayloadFault::kShape, "a message must be an object");
  }
  bool only_values = false;
  std::size_t others = 0;
  dom::object values;
  for (const auto [key, member] : members) {
    if (auto failure = reserved_member(key, member, time)) return failure;
    if (key == "values" && member.get_object().get(values) == simdjson::SUCCESS) {
      only_values = true;
    } else if (!is_reserved(key)) {
      ++others;
    }
  }
  name.assign(options.metric_prefix);
  if (only_values && others == 0) return object(values, name.size(), false);
  return object(members, name.size(), true);
}

Failure PayloadDecoder::Impl::check_size(std::string_view payload) const {
  if (payload.empty()) return fault(PayloadFault::kEmpty, "the payload is empty");
  if (payload.size() <= limits.max_bytes) return {};
  return fault(PayloadFault::kTooLarge, "the payload is larger than " + std::to_string(limits.max_bytes) + " bytes");
}

Failure PayloadDecoder::Impl::decode_json(std::string_view payload, const DecodeOptions& given, Batch& batch) {
  if (auto failure = check_size(payload)) return failure;
  return decode(payload, given, batch);
}

Failure PayloadDecoder::Impl::decode_cbor(std::string_view payload, const DecodeOptions& given, Batch& batch) {
  if (auto failure = check_size(payload)) return failure;
  if (auto failure = cbor_to_json(payload, limits.max_depth, transcoded)) return failure;
  return decode(transcoded, given, batch);
}

Failure PayloadDecoder::Impl::decode(std::string_view json, const DecodeOptions& given, Batch& batch) {
  Failure failure;
  const dom::element root = parse(json, failure);
  if (failure) return failure;
  options = given;
  out = &batch;
  used = 0;
  batch.event_time.reset();
  dom::array elements;
  if (root.get_array().get(elements) == simdjson::SUCCESS) {
    std::size_t index = 0;
    for (const dom::element element : elements) {
      std::optional<TimeUs> time;
      const std::size_t first = used;
      failure = message(element, time);
      if (failure) return in_element(index, *std::move(failure));
      for (std::size_t i = first; i < used; ++i) batch.points[i].time = time;
      ++index;
    }
  } else if (!root.is_object()) {
    return fault(PayloadFault::kShape, "a payload must be an object or an array of objects");
  } else if (auto wrong = message(root, batch.event_time)) {
    return wrong;
  }
  batch.points.resize(used);
  if (used == 0) return fault(PayloadFault::kNoPoints, "the message holds no value");
  return {};
}

PayloadDecoder::PayloadDecoder(PayloadLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
PayloadDecoder::~PayloadDecoder() = default;
PayloadDecoder::PayloadDecoder(PayloadDecoder&&) noexcept = default;

std::optional<PayloadError> PayloadDecoder::decode_json(std::string_view payload, const DecodeOptions& options,
                                                        Batch& batch) {
  return impl_->decode_json(payload, options, batch);
}

std::optional<PayloadError> PayloadDecoder::decode_cbor(std::string_view payload, const DecodeOptions& options,
                                                        Batch& batch) {
  return impl_->decode_cbor(payload, options, batch);
}

}  // namespace millrace::telemetry
