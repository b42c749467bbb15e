#include "protobuf_decoder.hpp"

#include <bit>

#include "protobuf_wire.hpp"

namespace millrace::telemetry {
namespace {

using Type = ProtobufWire::Type;

// The fields by number (readings.proto, telemetry.proto); a test compares them with the generated code.
namespace readings {
constexpr std::uint32_t kTime = 1;
constexpr std::uint32_t kDevice = 2;
constexpr std::uint32_t kPoints = 3;
}  // namespace readings
namespace fields {
constexpr std::uint32_t kMetric = 1;
constexpr std::uint32_t kValue = 2;
constexpr std::uint32_t kTime = 3;
}  // namespace fields
namespace kinds {
constexpr std::uint32_t kDouble = 1;
constexpr std::uint32_t kInteger = 2;
constexpr std::uint32_t kBool = 3;
constexpr std::uint32_t kText = 4;
constexpr std::uint32_t kJson = 5;
}  // namespace kinds

std::int64_t zigzag(std::uint64_t bits) { return static_cast<std::int64_t>(bits >> 1U ^ (~(bits & 1U) + 1U)); }

}  // namespace

bool ProtobufDecoder::cut(const char* at, std::string_view what) {
  const auto offset = static_cast<std::size_t>(at - begin_);
  return sink_->fail(
      PayloadFault::kSyntax,
      "not Protocol Buffers: " + std::string(what) + " is cut or malformed before byte " + std::to_string(offset),
      offset);
}

bool ProtobufDecoder::value(std::string_view bytes, Value& out) {
  ProtobufWire wire(bytes);
  while (wire.next()) {
    constexpr Type kTypes[] = {Type::kFixed64, Type::kVarint, Type::kVarint, Type::kBytes, Type::kBytes};
    if (wire.field > std::size(kTypes)) continue;  // of a later version
    if (wire.type != kTypes[wire.field - 1])
      return sink_->fail(PayloadFault::kShape, "field " + std::to_string(wire.field) + " of a value has another type");
    out = {wire.field, wire.bits, wire.bytes};
  }
  return !wire.broken() || cut(wire.at(), "a value");
}

bool ProtobufDecoder::add_json(std::string_view text) {
  if (text.size() > sink_->limits().max_text_bytes) {
    return sink_->fail(PayloadFault::kTextTooLong, "the value of " + in_quotes(name_) + " is longer than " +
                                                       std::to_string(sink_->limits().max_text_bytes) + " bytes");
  }
  const auto json = parser_.parse(text, *sink_);
  if (!json) {
    // Its place would be one within the text.
    auto inner = *sink_->take_error();
    return sink_->fail(inner.fault, "json_value of " + in_quotes(name_) + ": " + inner.message);
  }
  if (!json->is_array() && !json->is_object())
    return sink_->fail(PayloadFault::kShape, "json_value of " + in_quotes(name_) + " is neither array nor object");
  return sink_->add_json(name_, simdjson::minify(*json));
}

bool ProtobufDecoder::add(std::string_view metric, const Value& value) {
  name_.assign(sink_->prefix());
  name_ += metric;
  if (!sink_->check_utf8_name(name_, metric)) return false;
  switch (value.kind) {
    case kinds::kDouble:
      return sink_->add(name_, std::bit_cast<double>(value.bits));
    case kinds::kInteger:
      return sink_->add(name_, zigzag(value.bits));
    case kinds::kBool:
      return sink_->add_bool(name_, value.bits != 0);
    case kinds::kText:
      if (!is_utf8(value.text))
        return sink_->fail(PayloadFault::kBadText, "the value of " + in_quotes(name_) + " is not UTF-8");
      return sink_->add_text(name_, value.text);
    case kinds::kJson:
      return add_json(value.text);
    default:
      return sink_->fail(PayloadFault::kShape, "the point " + in_quotes(name_) + " has no value");
  }
}

bool ProtobufDecoder::point(std::string_view bytes) {
  ProtobufWire wire(bytes);
  std::string_view metric;
  Value found;
  std::optional<TimeUs> time;
  while (wire.next()) {
    if (wire.is(fields::kMetric, Type::kBytes)) {
      metric = wire.bytes;
    } else if (wire.is(fields::kValue, Type::kBytes)) {
      if (!value(wire.bytes, found)) return false;
    } else if (wire.is(fields::kTime, Type::kVarint)) {
      time = zigzag(wire.bits);
    } else if (wire.field <= fields::kTime) {
      return sink_->fail(PayloadFault::kShape, "field " + std::to_string(wire.field) + " of a point has another type");
    }
  }
  if (wire.broken()) return cut(wire.at(), "a point");
  if (time && !sink_->check_time("time_us", *time)) return false;
  if (!add(metric, found)) return false;
  if (time) sink_->set_time(sink_->size() - 1, time);
  return true;
}

bool ProtobufDecoder::decode(std::string_view bytes, PointSink& sink) {
  sink_ = &sink;
  begin_ = bytes.data();
  ProtobufWire wire(bytes);
  while (wire.next()) {
    if (wire.is(readings::kPoints, Type::kBytes)) {
      const std::size_t index = sink.size();
      if (!point(wire.bytes)) return sink.fail_in(index);
    } else if (wire.is(readings::kTime, Type::kVarint)) {
      sink.batch().event_time = zigzag(wire.bits);
      if (!sink.check_time("time_us", *sink.batch().event_time)) return false;
    } else if (wire.is(readings::kDevice, Type::kBytes)) {
      if (!wire.bytes.empty() && wire.bytes != sink.options().device) {
        return sink.fail(PayloadFault::kWrongDevice,
                         "device_id does not name the authenticated device " + in_quotes(sink.options().device));
      }
    } else if (wire.field <= readings::kPoints) {
      return sink.fail(PayloadFault::kShape, "field " + std::to_string(wire.field) + " of Readings has another type");
    }
  }
  return !wire.broken() || cut(wire.at(), "a field");
}

}  // namespace millrace::telemetry
