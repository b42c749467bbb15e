#include "json_decoder.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "json_fault.hpp"

namespace millrace::telemetry {
namespace {

namespace dom = simdjson::dom;

bool is_time_key(std::string_view key) { return key == "ts" || key == "timestamp" || key == "time"; }
bool is_reserved(std::string_view key) { return is_time_key(key) || key == "device_id"; }

}  // namespace

std::optional<dom::element> JsonParser::parse(std::string_view json, PointSink& sink) {
  // simdjson refuses what reaches its bound; ours is the deepest level that is allowed.
  const std::size_t refused_depth = sink.limits().max_depth + 1;
  if (parser_.max_depth() != refused_depth || parser_.capacity() < json.size()) {
    const std::size_t capacity = std::max<std::size_t>(json.size(), 4096);
    if (parser_.allocate(capacity, refused_depth) != simdjson::SUCCESS) std::abort();
  }
  padded_.resize(json.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(padded_.data(), json.data(), json.size());
  std::memset(padded_.data() + json.size(), 0, simdjson::SIMDJSON_PADDING);
  dom::element root;
  const auto code = parser_.parse(padded_.data(), json.size(), false).get(root);
  if (code == simdjson::SUCCESS) return root;
  PayloadError error = explain_json_fault(json, sink.limits().max_depth, simdjson::error_message(code));
  const auto element = error.element;
  sink.fail(error.fault, std::move(error.message), error.offset);
  sink.place(element);
  return std::nullopt;
}

bool JsonDecoder::point(dom::element element) {
  switch (element.type()) {
    case dom::element_type::DOUBLE:
      return sink_->add(name_, double{element.get_double().value_unsafe()});
    case dom::element_type::INT64:
      return sink_->add(name_, std::int64_t{element.get_int64().value_unsafe()});
    case dom::element_type::UINT64:
      return sink_->fail(PayloadFault::kIntegerRange,
                         "the value of " + in_quotes(name_) + " is beyond the range of int64");
    case dom::element_type::BOOL:
      return sink_->add_bool(name_, bool{element.get_bool().value_unsafe()});
    case dom::element_type::STRING:
      return sink_->add_text(name_, element.get_string().value_unsafe());
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT:
      return sink_->add_json(name_, simdjson::minify(element));
    case dom::element_type::NULL_VALUE:
      return true;
  }
  return true;
}

bool JsonDecoder::object(dom::object values, std::size_t prefix_length, bool reserved) {
  for (const auto [key, element] : values) {
    if (reserved && is_reserved(key)) continue;
    name_.resize(prefix_length);
    name_.append(key);
    if (!sink_->check_name(name_, key)) return false;
    if (element.is_object()) {
      name_ += '.';
      if (!object(element.get_object().value_unsafe(), name_.size(), false)) return false;
    } else if (!point(element)) {
      return false;
    }
  }
  return true;
}

bool JsonDecoder::time_of(std::string_view key, dom::element element, std::optional<TimeUs>& time) {
  if (time) return sink_->fail(PayloadFault::kBadTime, "more than one time (" + in_quotes(key) + ")");
  switch (element.type()) {
    case dom::element_type::INT64:
      time = time_from_number(std::int64_t{element.get_int64().value_unsafe()});
      break;
    case dom::element_type::DOUBLE:
      time = time_from_number(double{element.get_double().value_unsafe()});
      break;
    case dom::element_type::STRING: {
      const auto parsed = parse_rfc3339(element.get_string().value_unsafe());
      if (!parsed) return sink_->fail(PayloadFault::kBadTime, in_quotes(key) + " is " + parsed.error().message);
      time = *parsed;
      break;
    }
    case dom::element_type::NULL_VALUE:
      return true;
    case dom::element_type::UINT64:
    case dom::element_type::BOOL:
    case dom::element_type::ARRAY:
    case dom::element_type::OBJECT:
      break;
  }
  if (time) return sink_->check_time(key, *time);
  return sink_->fail(PayloadFault::kBadTime,
                     in_quotes(key) +
                         " is neither an RFC 3339 time nor a number of seconds, milliseconds, microseconds or "
                         "nanoseconds since 1970");
}

bool JsonDecoder::reserved_member(std::string_view key, dom::element element, std::optional<TimeUs>& time) {
  if (is_time_key(key)) return time_of(key, element, time);
  if (key != "device_id") return true;
  std::string_view named;
  if (element.get_string().get(named) == simdjson::SUCCESS && named == sink_->options().device) return true;
  return sink_->fail(PayloadFault::kWrongDevice,
                     "device_id does not name the authenticated device " + in_quotes(sink_->options().device));
}

// One message of the shapes (a) or (b); its time goes to `time`.
bool JsonDecoder::message(dom::element element, std::optional<TimeUs>& time) {
  dom::object members;
  if (element.get_object().get(members) != simdjson::SUCCESS)
    return sink_->fail(PayloadFault::kShape, "a message must be an object");
  bool only_values = false;
  std::size_t others = 0;
  dom::object values;
  for (const auto [key, member] : members) {
    if (!reserved_member(key, member, time)) return false;
    if (key == "values" && member.get_object().get(values) == simdjson::SUCCESS) {
      only_values = true;
    } else if (!is_reserved(key)) {
      ++others;
    }
  }
  name_.assign(sink_->prefix());
  if (only_values && others == 0) return object(values, name_.size(), false);
  return object(members, name_.size(), true);
}

bool JsonDecoder::elements(dom::array elements) {
  std::size_t index = 0;
  for (const dom::element element : elements) {
    std::optional<TimeUs> time;
    const std::size_t first = sink_->size();
    if (!message(element, time)) return sink_->fail_in(index);
    sink_->set_time(first, time);
    ++index;
  }
  return true;
}

bool JsonDecoder::decode(std::string_view json, PointSink& sink) {
  sink_ = &sink;
  const auto root = parser_.parse(json, sink);
  if (!root) return false;
  dom::array all;
  if (root->get_array().get(all) == simdjson::SUCCESS) return elements(all);
  if (!root->is_object()) return sink.fail(PayloadFault::kShape, "a payload must be an object or an array of objects");
  return message(*root, sink.batch().event_time);
}

}  // namespace millrace::telemetry
