#pragma once

#include <string>
#include <string_view>

namespace millrace::observability {

/// True for a W3C Trace Context `traceparent` of version 00 (W3C Recommendation, section 3.2.2): lower-case hex, trace
/// id and parent id not all zero.
[[nodiscard]] bool is_traceparent(std::string_view text);

/// A new sampled `traceparent` with random ids.
[[nodiscard]] std::string new_traceparent();

/// The trace id (32 hex digits) of a valid traceparent; empty otherwise.
[[nodiscard]] std::string_view trace_id(std::string_view traceparent);

}  // namespace millrace::observability
