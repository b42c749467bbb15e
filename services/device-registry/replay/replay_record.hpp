#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::registry {

/// What goes into `telemetry` again.
struct ReplayMessage {
  telemetry::Batch batch;
  std::vector<std::int32_t> untimed;  ///< indexes of its points whose time the platform stamped
};

/// The dead points of a record, with the times that the store would have given them (a point without a time of its own:
/// ingest time + its index) and without what would make the record a copy of the first one. `points` are indexes of the
/// record's points; empty: all. kPrecondition: the record has no such point. Pure.
[[nodiscard]] Result<ReplayMessage> replay_message(telemetry::Batch record, std::span<const std::int32_t> points,
                                                   const telemetry::Receipt& dead_letter,
                                                   const telemetry::Receipt& source, const telemetry::IngestId& id);

/// The same with the points of a corrected payload in place of the dead ones. `corrected` has its points and event
/// time; one without a time gets `record.ingest_time` + its index. kPrecondition: it has no points. Pure.
[[nodiscard]] Result<ReplayMessage> corrected_message(telemetry::Batch record, const telemetry::Batch& corrected,
                                                      const telemetry::Receipt& dead_letter,
                                                      const telemetry::Receipt& source, const telemetry::IngestId& id);

}  // namespace millrace::registry
