#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::telemetry {

/// Bounds on what a device may send; the defaults are the contract of docs/protocols.md.
struct PayloadLimits {
  std::size_t max_bytes = 256 * 1024;
  std::size_t max_points = 1000;
  /// Nesting of objects and arrays, the outermost is 1. In JSON an empty one is not counted.
  std::size_t max_depth = 16;
  std::size_t max_metric_bytes = 128;
  std::size_t max_text_bytes = 32 * 1024;  ///< one text or JSON value
  TimeUs min_time = 0;                     ///< 1970-01-01
  TimeUs max_time = 4102444800'000000;     ///< 2100-01-01, exclusive
};

/// Why a payload is refused. Closed set: metric label, `reason` of the dead letter, part of the problem's type.
enum class PayloadFault {
  kEmpty,
  kTooLarge,
  kSyntax,        ///< not JSON (or CBOR); the offset is the first byte that cannot stand there
  kNotFinite,     ///< NaN, Infinity or a number beyond double
  kIntegerRange,  ///< an integer beyond int64
  kTooDeep,
  kTooManyPoints,
  kNoPoints,  ///< valid JSON without a single value
  kShape,     ///< neither an object nor an array of objects
  kNameTooLong,
  kBadName,  ///< empty, or a control character in it
  kTextTooLong,
  kBadText,  ///< NUL
  kBadTime,  ///< `ts` is no time
  kTimeRange,
  kWrongDevice,     ///< `device_id` names somebody else
  kTooManyMetrics,  ///< the tenant has no room for a further metric name
  kUnknownDevice,   ///< not said by a decoder: a bridged message of a device that is not in the registry, or disabled
};
inline constexpr std::size_t kPayloadFaults = 18;

/// `empty`, `too_large`, `syntax` ...: stable.
[[nodiscard]] std::string_view to_string(PayloadFault fault);

struct PayloadError {
  PayloadFault fault = PayloadFault::kSyntax;
  std::string message;                 ///< one sentence with the limit, the name or the place
  std::optional<std::size_t> offset;   ///< byte, kSyntax and kNotFinite
  std::optional<std::size_t> element;  ///< index within an array of messages, where the fault lies in one of them
};

struct DecodeOptions {
  std::string_view device;         ///< authenticated device; `device_id` in the payload must name it
  std::string_view metric_prefix;  ///< put before each metric name, `status.` for the status topic
};

/// Media type of payloads for decode_cbor().
inline constexpr std::string_view kCborContentType = "application/cbor";

/// Decodes Millrace's own JSON (docs/protocols.md): (a) a flat object, nested objects flattened with `.`, arrays kept
/// as JSON, null skipped, `device_id` and `timestamp`/`ts`/`time` reserved; (b) {"ts":…,"values":{…}}; (c) an array of
/// (a) and (b). Validates everything that could be turned down later. One thread at a time; keeps its buffers between
/// calls.
class PayloadDecoder {
 public:
  explicit PayloadDecoder(PayloadLimits limits = {});
  ~PayloadDecoder();
  PayloadDecoder(PayloadDecoder&&) noexcept;

  /// Fills `batch.points` and `batch.event_time` (a time that holds for the whole message); leaves the rest alone. An
  /// error leaves points unspecified. All or nothing: one bad element refuses the message.
  [[nodiscard]] std::optional<PayloadError> decode_json(std::string_view payload, const DecodeOptions& options,
                                                        Batch& batch);

  /// The same shapes in CBOR (RFC 8949): what a payload means and what is refused is as in JSON. Keys are texts, byte
  /// strings are refused, tags 0 and 1 (times) are passed over.
  [[nodiscard]] std::optional<PayloadError> decode_cbor(std::string_view payload, const DecodeOptions& options,
                                                        Batch& batch);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A number of seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by magnitude: below 1e11
/// seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Exact for integers.
[[nodiscard]] TimeUs time_from_number(std::int64_t number);
/// The same for a number with a fraction; none if it is not finite or out of range.
[[nodiscard]] std::optional<TimeUs> time_from_number(double number);

}  // namespace millrace::telemetry
