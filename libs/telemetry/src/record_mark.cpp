#include <millrace/base/digest.hpp>
#include <millrace/telemetry/record_mark.hpp>

namespace millrace::telemetry {

RecordMark mark_of(std::string_view value, const Batch& facts) { return {facts.ingest_id, crc32c(value)}; }

}  // namespace millrace::telemetry
