#pragma once

#include <millrace/mqtt/protocol.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::gateway {

constexpr telemetry::Protocol protocol_of(mqtt::Version version) {
  return version == mqtt::Version::k5 ? telemetry::Protocol::kMqtt5 : telemetry::Protocol::kMqtt311;
}

}  // namespace millrace::gateway
