#include "point_sink.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include <simdjson.h>

#include "json_fault.hpp"

namespace millrace::telemetry {
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

bool holds_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
}

constexpr std::uint64_t kEachByte = 0x0101010101010101;
constexpr std::uint64_t kHighBits = 0x80 * kEachByte;

// Eight bytes at once. Below 0x20 the subtraction, at 0x7f the addition sets the high bit; a borrow or carry comes only
// out of a byte that is found anyhow.
bool plain_word(std::uint64_t word) {
  return (((word - 0x20 * kEachByte) | word | (word + kEachByte)) & kHighBits) == 0;
}

}  // namespace

bool is_plain_ascii(std::string_view text) {
  std::uint64_t word = 0;
  for (; text.size() >= sizeof(word); text.remove_prefix(sizeof(word))) {
    std::memcpy(&word, text.data(), sizeof(word));
    if (!plain_word(word)) return false;
  }
  word = 0x20 * kEachByte;
  if (!text.empty()) std::memcpy(&word, text.data(), text.size());
  return plain_word(word);
}

bool is_utf8(std::string_view text) {
  return is_plain_ascii(text) || simdjson::validate_utf8(text.data(), text.size());
}

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kShown = 64;
  std::size_t shown = std::min(name.size(), kShown);
  // Not within a character: the message stays UTF-8.
  while (shown < name.size() && shown > 0 && (static_cast<unsigned char>(name[shown]) & 0xC0U) == 0x80) --shown;
  return "'" + std::string(name.substr(0, shown)) + (shown < name.size() ? "…'" : "'");
}

void PointSink::begin(const DecodeOptions& options, Batch& batch) {
  options_ = options;
  batch_ = &batch;
  batch.event_time.reset();
  used_ = 0;
  error_.reset();
  prefix_.assign(options.metric_prefix);
  if (options.metric.empty()) return;
  prefix_.append(options.metric);
  std::replace(prefix_.end() - static_cast<std::ptrdiff_t>(options.metric.size()), prefix_.end(), '/', '.');
}

bool PointSink::check_prefix() {
  const std::string_view metric = options_.metric;
  if (metric.empty()) return true;
  if (metric.front() == '/' || metric.back() == '/' || metric.find("//") != std::string_view::npos)
    return fail(PayloadFault::kBadName, "a level of the metric in the topic or path is empty");
  return check_utf8_name(prefix_, metric);
}

bool PointSink::finish() {
  if (error_) return false;
  batch_->points.resize(used_);
  return used_ != 0 || fail(PayloadFault::kNoPoints, "the message holds no value");
}

bool PointSink::fail(PayloadFault fault, std::string message, std::optional<std::size_t> offset) {
  error_ = PayloadError{fault, std::move(message), offset, {}};
  return false;
}

bool PointSink::fail_in(std::size_t element) {
  error_ = in_element(element, *std::move(error_));
  return false;
}

bool PointSink::check_length(std::string_view name) {
  if (name.size() <= limits_.max_metric_bytes) return true;
  return fail(PayloadFault::kNameTooLong, "metric name " + in_quotes(name) + " is longer than " +
                                              std::to_string(limits_.max_metric_bytes) + " bytes");
}

bool PointSink::check_name(std::string_view name, std::string_view own) {
  if (own.empty()) return fail(PayloadFault::kBadName, "a metric name is empty");
  if (!check_length(name)) return false;
  if (!is_plain_ascii(own) && holds_control(own))
    return fail(PayloadFault::kBadName, "a metric name holds a control character");
  return true;
}

bool PointSink::check_utf8_name(std::string_view name, std::string_view own) {
  if (!is_utf8(own)) return fail(PayloadFault::kBadName, "a metric name is not UTF-8");
  return check_name(name, own);
}

Point* PointSink::next(std::string_view name) {
  if (used_ >= limits_.max_points) {
    fail(PayloadFault::kTooManyPoints, "more than " + std::to_string(limits_.max_points) + " points in one message");
    return nullptr;
  }
  if (used_ == batch_->points.size()) batch_->points.emplace_back();
  Point& point = batch_->points[used_++];
  point.metric.assign(name);
  point.time.reset();
  return &point;
}

bool PointSink::add(std::string_view name, double value) {
  if (!std::isfinite(value))
    return fail(PayloadFault::kNotFinite, "the value of " + in_quotes(name) + " is NaN or infinite");
  Point* point = next(name);
  if (point == nullptr) return false;
  point->value = value;
  return true;
}

bool PointSink::add(std::string_view name, std::int64_t value) {
  Point* point = next(name);
  if (point == nullptr) return false;
  point->value = value;
  return true;
}

bool PointSink::add_bool(std::string_view name, bool value) {
  Point* point = next(name);
  if (point == nullptr) return false;
  point->value = value;
  return true;
}

bool PointSink::add_text(std::string_view name, std::string_view text) {
  if (text.size() > limits_.max_text_bytes) {
    return fail(PayloadFault::kTextTooLong, "the value of " + in_quotes(name) + " is longer than " +
                                                std::to_string(limits_.max_text_bytes) + " bytes");
  }
  if (text.find('\0') != std::string_view::npos)
    return fail(PayloadFault::kBadText, "the value of " + in_quotes(name) + " holds U+0000");
  Point* point = next(name);
  if (point == nullptr) return false;
  if (auto* reused = std::get_if<std::string>(&point->value)) {
    reused->assign(text);
  } else {
    point->value.emplace<std::string>(text);
  }
  return true;
}

bool PointSink::add_json(std::string_view name, std::string text) {
  if (text.size() > limits_.max_text_bytes) {
    return fail(PayloadFault::kTextTooLong, "the value of " + in_quotes(name) + " is longer than " +
                                                std::to_string(limits_.max_text_bytes) + " bytes");
  }
  // PostgreSQL and most readers of JSON cannot hold an escaped NUL either.
  if (holds_escaped_nul(text)) return fail(PayloadFault::kBadText, "the value of " + in_quotes(name) + " holds U+0000");
  Point* point = next(name);
  if (point == nullptr) return false;
  point->value = Json{std::move(text)};
  return true;
}

void PointSink::set_time(std::size_t first, std::optional<TimeUs> time) {
  for (std::size_t i = first; i < used_; ++i) batch_->points[i].time = time;
}

bool PointSink::check_time(std::string_view field, TimeUs time) {
  if (time >= limits_.min_time && time < limits_.max_time) return true;
  // Years beyond 1 to 9999 have no such form.
  const TimeUs shown = std::clamp(time, TimeUs{-62135596800000000}, TimeUs{253402300799000000});
  return fail(PayloadFault::kTimeRange, in_quotes(field) + " (" + format_rfc3339(shown) + ") is not between " +
                                            format_rfc3339(limits_.min_time) + " and " +
                                            format_rfc3339(limits_.max_time));
}

}  // namespace millrace::telemetry
