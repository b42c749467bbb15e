#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {

/// Replaces `out` by the JSON text that says the same as one CBOR item (RFC 8949 section 6.1): so that both formats
/// have one meaning, one set of limits and one decoder. Integers and doubles are kept exactly; a number that CBOR calls
/// a float stays one. undefined is null. Refused: byte strings, keys that are no text, tags other than 0, 1 (times) and
/// 55799, NaN and infinities, integers beyond int64, more than `max_depth` levels, anything behind the item. Offsets
/// are bytes of the CBOR. `out` is at most six times as large.
[[nodiscard]] std::optional<PayloadError> cbor_to_json(std::string_view cbor, std::size_t max_depth, std::string& out);

}  // namespace millrace::telemetry
