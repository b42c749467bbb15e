#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/message.hpp"

namespace millrace::gateway {

/// Response codes as they stand on the wire (RFC 7252 section 12.1.2, RFC 7959 section 2.9, RFC 8132 section 5, RFC
/// 8516).
enum class CoapCode : std::uint8_t {
  kChanged = 0x44,
  kContinue = 0x5f,
  kBadRequest = 0x80,
  kUnauthorized = 0x81,
  kBadOption = 0x82,
  kForbidden = 0x83,
  kNotAcceptable = 0x86,
  kIncomplete = 0x88,
  kTooLarge = 0x8d,
  kUnsupportedFormat = 0x8f,
  kUnprocessable = 0x96,
  kTooManyRequests = 0x9d,
  kInternalError = 0xa0,
  kUnavailable = 0xa3,
  kTimeout = 0xa4,
};

/// 2 of 2.04.
[[nodiscard]] constexpr unsigned class_of(CoapCode code) { return static_cast<unsigned>(code) >> 5U; }

/// A Block1 option (RFC 7959 section 2.2).
struct CoapBlock {
  std::uint32_t number = 0;
  bool more = false;
  std::uint8_t size_exponent = 6;  ///< 0 to 6: 16 to 1,024 bytes

  [[nodiscard]] std::size_t size() const { return std::size_t{16} << size_exponent; }
  [[nodiscard]] std::size_t offset() const { return number * size(); }
  bool operator==(const CoapBlock&) const = default;
};

struct CoapAnswer {
  CoapCode code = CoapCode::kInternalError;
  std::string payload = {};              ///< JSON; empty: none
  std::uint32_t max_age_s = 0;           ///< 0: no Max-Age
  std::uint32_t size1 = 0;               ///< 0: no Size1
  std::optional<CoapBlock> block1 = {};  ///< of the request, echoed

  bool operator==(const CoapAnswer&) const = default;
};

/// The same members as HTTP's problem documents, so that a device reads one form; `extra` as of http::problem().
[[nodiscard]] CoapAnswer coap_problem(CoapCode code, std::string_view type, std::string_view title,
                                      std::string_view detail, std::string_view extra = {});

/// 5.03: nothing was taken, to be sent again after Max-Age.
[[nodiscard]] CoapAnswer coap_unavailable(std::string_view detail);

/// 4.13 with Size1.
[[nodiscard]] CoapAnswer coap_too_large(std::size_t most);

/// 4.29 with Max-Age.
[[nodiscard]] CoapAnswer coap_over_limit(const OverLimit& over);

/// What a message that was not taken is answered.
[[nodiscard]] CoapAnswer coap_refusal(const Error& error);

/// 5.04: it was produced, and nobody knows yet.
[[nodiscard]] CoapAnswer coap_unknown();

/// 2.04 at the deadline: Kafka has it, the database does not have it yet.
[[nodiscard]] CoapAnswer coap_pending(const telemetry::Receipt& receipt);

/// What a message that was taken is answered.
[[nodiscard]] CoapAnswer coap_answer(const Outcome& outcome);

}  // namespace millrace::gateway
