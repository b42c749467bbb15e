#pragma once

#include <millrace/telemetry/batch.hpp>

namespace millrace::telemetry {

namespace v1 {
class Value;  // of telemetry.pb.h, which only those who call these need
}

/// Replaces `out`.
void to_proto(const Value& value, v1::Value& out);

/// False if no kind is set: encode() never makes such a value.
[[nodiscard]] bool from_proto(const v1::Value& value, Value& out);

}  // namespace millrace::telemetry
