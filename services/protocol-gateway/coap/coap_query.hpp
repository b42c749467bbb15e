#pragma once

#include <span>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// The Uri-Query options that POST /v1/telemetry knows. Views point into the items; empty: not given.
struct CoapQuery {
  std::string_view device;       ///< `device@tenant`, without DTLS only
  std::string_view token;        ///< without DTLS only
  std::string_view message_id;   ///< `mid`: explicit id, 1 to 128 visible ASCII characters
  std::string_view traceparent;  ///< W3C trace context
  std::string_view ack;          ///< ack level
};

/// `items` as `name=value`, one for each option. kInvalid names a parameter that is unknown, empty, given twice or
/// malformed: a misspelt `mid` must not silently lose its meaning.
[[nodiscard]] Result<CoapQuery> parse_coap_query(std::span<const std::string_view> items);

}  // namespace millrace::gateway
