#include "message_json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include <millrace/base/digest.hpp>

namespace millrace::telemetry {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::Message;
using pb::Reflection;

namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::int64_t kFirstSecond = -62135596800;  // of the year 1
constexpr std::int64_t kLastSecond = 253402300799;   // of the year 9999

/// Names stand with each value, so the JSON may be larger than the message; a message that can be stored is not.
constexpr std::size_t kMostGrowth = 8;

}  // namespace

// A value in a message: of a field, or one of several.
struct MessageJson::Place {
  const Message& message;
  const FieldDescriptor& field;
  int index = -1;

  template <typename One, typename Many>
  [[nodiscard]] auto get(One one, Many many) const {
    const Reflection& reflection = *message.GetReflection();
    return index < 0 ? (reflection.*one)(message, &field) : (reflection.*many)(message, &field, index);
  }
  [[nodiscard]] const Message& inner() const {
    const Reflection& reflection = *message.GetReflection();
    return index < 0 ? reflection.GetMessage(message, &field) : reflection.GetRepeatedMessage(message, &field, index);
  }
  [[nodiscard]] const std::string& bytes(std::string& scratch) const {
    const Reflection& reflection = *message.GetReflection();
    return index < 0 ? reflection.GetStringReference(message, &field, &scratch)
                     : reflection.GetRepeatedStringReference(message, &field, index, &scratch);
  }
};

MessageJson::MessageJson(const MessageSchema::Impl& schema, PointSink& sink, std::string& out)
    : schema_(schema), sink_(sink), out_(out), most_(kMostGrowth * sink.limits().max_bytes) {}

bool MessageJson::write(const Message& message) { return object(message); }

bool MessageJson::bounded() {
  if (out_.size() <= most_) return true;
  return sink_.fail(PayloadFault::kTooLarge,
                    "the message is larger than " + std::to_string(most_) + " bytes when its fields are named");
}

void MessageJson::key(std::string_view name) {
  if (out_.back() != '{') out_ += ',';
  out_ += '"';
  out_ += name;
  out_ += "\":";
}

bool MessageJson::text(std::string_view text) {
  out_ += '"';
  if (is_plain_ascii(text) && text.find_first_of("\"\\") == std::string_view::npos) {
    out_.append(text) += '"';
    return true;
  }
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out_.append("\\u00").append(1, kHexDigits[byte >> 4U]).append(1, kHexDigits[byte & 15U]);
    } else {
      if (c == '"' || c == '\\') out_ += '\\';
      out_ += c;
    }
  }
  out_ += '"';
  return true;
}

template <typename Integer>
bool MessageJson::integer(Integer value) {
  std::array<char, 24> digits;
  out_.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
  return true;
}

bool MessageJson::real(double value, const FieldDescriptor& field) {
  if (!std::isfinite(value)) {
    return sink_.fail(PayloadFault::kNotFinite, "the value of " + in_quotes(field.full_name()) + " is NaN or infinite");
  }
  std::array<char, 32> digits;
  const std::string_view text(
      digits.data(),
      static_cast<std::size_t>(std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr - digits.data()));
  out_ += text;
  if (text.find_first_of(".e") == std::string_view::npos) out_ += ".0";
  return true;
}

bool MessageJson::timestamp(const Message& time, const FieldDescriptor& field) {
  const pb::Descriptor& type = *time.GetDescriptor();
  const std::int64_t seconds = time.GetReflection()->GetInt64(time, type.FindFieldByNumber(1));
  const std::int32_t nanos = time.GetReflection()->GetInt32(time, type.FindFieldByNumber(2));
  if (seconds < kFirstSecond || seconds > kLastSecond || nanos < 0 || nanos > 999'999'999) {
    return sink_.fail(PayloadFault::kBadTime, "the value of " + in_quotes(field.full_name()) +
                                                  " is no time: its seconds must lie in the years 1 to 9999, its nanos "
                                                  "in 0 to 999999999");
  }
  return text(format_rfc3339(seconds * kUsPerSecond + nanos / 1000));
}

bool MessageJson::enum_name(const Place& place) {
  const int number = place.get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue);
  const pb::EnumValueDescriptor* named = place.field.enum_type()->FindValueByNumber(number);
  return named == nullptr ? integer(number) : text(named->name());
}

bool MessageJson::message_value(const Place& place) {
  const Message& inner = place.inner();
  const pb::Descriptor& type = *place.field.message_type();
  if (type.well_known_type() == pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED) return object(inner);
  if (is_timestamp(type)) return timestamp(inner, place.field);
  const FieldDescriptor* wrapped = wrapped_value(type);
  return wrapped == nullptr ? object(inner) : value({inner, *wrapped});
}

bool MessageJson::value(const Place& place) {
  switch (place.field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return integer(place.get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
    case FieldDescriptor::CPPTYPE_INT64:
      return integer(place.get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
    case FieldDescriptor::CPPTYPE_UINT32:
      return integer(place.get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
    case FieldDescriptor::CPPTYPE_UINT64:
      return integer(place.get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return real(place.get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble), place.field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return real(place.get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat), place.field);
    case FieldDescriptor::CPPTYPE_BOOL:
      out_ += place.get(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false";
      return true;
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_name(place);
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      const std::string& bytes = place.bytes(scratch);
      return text(place.field.type() == FieldDescriptor::TYPE_BYTES ? to_base64(bytes) : bytes);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message_value(place);
  }
  return true;
}

bool MessageJson::list(const Message& message, const FieldDescriptor& field) {
  const int size = message.GetReflection()->FieldSize(message, &field);
  out_ += '[';
  for (int i = 0; i < size; ++i) {
    if (i != 0) out_ += ',';
    if (!value({message, field, i}) || !bounded()) return false;
  }
  out_ += ']';
  return true;
}

bool MessageJson::map(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<std::pair<std::string, const Message*>> entries;
  const std::size_t begin = out_.size();
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    if (!value({entry, *field.message_type()->map_key()})) return false;
    // A key that is a number is the text of it.
    const bool quoted = out_[begin] == '"';
    entries.emplace_back(quoted ? out_.substr(begin) : '"' + out_.substr(begin) + '"', &entry);
    out_.resize(begin);
  }
  // In memory they have no order, and the points of a message have one.
  std::sort(entries.begin(), entries.end());
  out_ += '{';
  for (const auto& [name, entry] : entries) {
    if (out_.back() != '{') out_ += ',';
    out_.append(name).append(1, ':');
    if (!value({*entry, *field.message_type()->map_value()}) || !bounded()) return false;
  }
  out_ += '}';
  return true;
}

bool MessageJson::field(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  if (field.is_repeated() ? reflection.FieldSize(message, &field) == 0 : !reflection.HasField(message, &field))
    return true;
  key(&field == schema_.time ? "ts" : field.name());
  if (field.is_map()) return map(message, field);
  if (field.is_repeated()) return list(message, field);
  return value({message, field}) && bounded();
}

bool MessageJson::object(const Message& message) {
  const pb::Descriptor& type = *message.GetDescriptor();
  out_ += '{';
  for (int i = 0; i < type.field_count(); ++i) {
    if (!field(message, *type.field(i))) return false;
  }
  out_ += '}';
  return bounded();
}

}  // namespace millrace::telemetry
