#include <millrace/telemetry/v1/telemetry.pb.h>
#include <millrace/telemetry/value_proto.hpp>

namespace millrace::telemetry {

void to_proto(const Value& value, v1::Value& out) {
  switch (value.index()) {
    case 0:
      out.set_double_value(std::get<0>(value));
      break;
    case 1:
      out.set_int_value(std::get<1>(value));
      break;
    case 2:
      out.set_bool_value(std::get<2>(value));
      break;
    case 3:
      out.set_string_value(std::get<3>(value));
      break;
    default:
      out.set_json_value(std::get<4>(value).text);
      break;
  }
}

bool from_proto(const v1::Value& value, Value& out) {
  switch (value.kind_case()) {
    case v1::Value::kDoubleValue:
      out = value.double_value();
      return true;
    case v1::Value::kIntValue:
      out = std::int64_t{value.int_value()};
      return true;
    case v1::Value::kBoolValue:
      out = value.bool_value();
      return true;
    case v1::Value::kStringValue:
      out = value.string_value();
      return true;
    case v1::Value::kJsonValue:
      out = Json{value.json_value()};
      return true;
    case v1::Value::KIND_NOT_SET:
      return false;
  }
  return false;
}

}  // namespace millrace::telemetry
