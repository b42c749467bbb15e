#pragma once

#include <string>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/telemetry/batch.hpp>

#include "bridge/bridge_entry.hpp"

namespace millrace::gateway {

/// The record of `topic` for a command that was seen on a broker. `id` names it over restarts.
[[nodiscard]] kafka::OutgoingRecord command_event(const std::string& topic, const BridgeEntry& entry,
                                                  const telemetry::IngestId& id);

}  // namespace millrace::gateway
