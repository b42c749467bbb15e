#include "decode_type.hpp"

#include <millrace/telemetry/message_schema.hpp>

namespace millrace::registry_view {
namespace {

using telemetry::PayloadFormat;

Result<PayloadFormat> format_of(registry::v1::PayloadFormat format) {
  switch (static_cast<int>(format)) {
    case registry::v1::PAYLOAD_FORMAT_JSON:
      return PayloadFormat::kJson;
    case registry::v1::PAYLOAD_FORMAT_CBOR:
      return PayloadFormat::kCbor;
    case registry::v1::PAYLOAD_FORMAT_SENML_JSON:
      return PayloadFormat::kSenmlJson;
    case registry::v1::PAYLOAD_FORMAT_SENML_CBOR:
      return PayloadFormat::kSenmlCbor;
    case registry::v1::PAYLOAD_FORMAT_PROTOBUF:
      return PayloadFormat::kProtobuf;
    case registry::v1::PAYLOAD_FORMAT_TEXT:
      return PayloadFormat::kText;
    default:
      return Error{ErrorKind::kInvalid, "unknown payload format"};
  }
}

}  // namespace

Result<DeviceTypePtr> read_type(const registry::v1::DeviceTypeEntry& entry) {
  const auto format = format_of(entry.format());
  if (!format.ok()) return format.error();
  auto type = std::make_shared<DeviceType>(DeviceType{entry.type(), *format, nullptr});
  if (!entry.descriptor_set().empty()) {
    auto schema = telemetry::MessageSchema::build(entry.descriptor_set(), entry.message());
    if (schema.ok()) {
      type->schema = std::move(*schema);
    } else {
      type->problem = schema.error().message;
    }
  }
  return DeviceTypePtr(std::move(type));
}

}  // namespace millrace::registry_view
