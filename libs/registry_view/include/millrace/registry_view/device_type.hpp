#pragma once

#include <memory>
#include <string>

#include <millrace/telemetry/payload_format.hpp>

namespace millrace::telemetry {
class MessageSchema;
}

namespace millrace::registry_view {

/// What devices of a type send.
struct DeviceType {
  std::string name;
  telemetry::PayloadFormat format = telemetry::PayloadFormat::kJson;  ///< of messages that do not say it themselves
  /// What Protocol Buffers of its devices are; null: telemetry.v1.Readings.
  std::shared_ptr<const telemetry::MessageSchema> schema;
  /// Why the registered descriptor cannot be used here; empty: it can. Protocol Buffers of its devices cannot be read
  /// then.
  std::string problem = {};
};
/// Null: none.
using DeviceTypePtr = std::shared_ptr<const DeviceType>;

}  // namespace millrace::registry_view
