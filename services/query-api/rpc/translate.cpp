#include "rpc/translate.hpp"

namespace millrace::query_api {

void fill(const telemetry::Value& value, millrace::telemetry::v1::Value& out) {
  if (const auto* number = std::get_if<double>(&value)) return out.set_double_value(*number);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return out.set_int_value(*integer);
  if (const auto* flag = std::get_if<bool>(&value)) return out.set_bool_value(*flag);
  if (const auto* text = std::get_if<std::string>(&value)) return out.set_string_value(*text);
  out.set_json_value(std::get<telemetry::Json>(value).text);
}

}  // namespace millrace::query_api
