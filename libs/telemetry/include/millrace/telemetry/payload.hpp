#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/payload_format.hpp>

namespace millrace::telemetry {

class MessageSchema;

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
  kSyntax,        ///< not JSON (CBOR, Protocol Buffers); the offset is the first byte that cannot stand there
  kNotFinite,     ///< NaN, Infinity or a number beyond double
  kIntegerRange,  ///< an integer beyond int64
  kTooDeep,
  kTooManyPoints,
  kNoPoints,  ///< well-formed, without a single value
  kShape,     ///< well-formed, but not what the format says: neither an object nor an array of objects, a field of
              ///< another type, a record without a value ...
  kNameTooLong,
  kBadName,  ///< empty, or a control character in it
  kTextTooLong,
  kBadText,  ///< NUL, or not UTF-8 where the form does not say it
  kBadTime,  ///< `ts` is no time
  kTimeRange,
  kWrongDevice,     ///< `device_id` names somebody else
  kTooManyMetrics,  ///< the tenant has no room for a further metric name
  kUnsupported,     ///< a version or a must-understand extension of the format that is not known here
  kUnknownFormat,   ///< the content type is none of ours
  kUnknownDevice,   ///< not said by a decoder: a bridged message of a device that is not in the registry, or disabled
};
inline constexpr std::size_t kPayloadFaults = 20;

/// `empty`, `too_large`, `syntax` ...: stable.
[[nodiscard]] std::string_view to_string(PayloadFault fault);

struct PayloadError {
  PayloadFault fault = PayloadFault::kSyntax;
  std::string message;                ///< one sentence with the limit, the name or the place
  std::optional<std::size_t> offset;  ///< byte, kSyntax and kNotFinite
  std::optional<std::size_t>
      element;  ///< index of the message, record or point, where the fault lies in one of several
};

struct DecodeOptions {
  std::string_view device;         ///< authenticated device; `device_id` in the payload must name it
  std::string_view metric_prefix;  ///< put before each metric name, `status.` for the status topic
  /// What a topic or path names behind that, its levels apart by `/` (in the name of the metric by `.`). kText needs
  /// it: it is the metric; in the other formats the names go on behind it, as in a nested object.
  std::string_view metric = {};
  TimeUs now = 0;  ///< what SenML's relative times are added to
  /// What kProtobuf is; null: telemetry.v1.Readings. Must live as long as the call.
  const MessageSchema* schema = nullptr;
};

/// Decodes payloads of every format into points and validates everything that could be turned down later: bounded
/// before memory is spent, all or nothing (one bad element refuses the message). docs/protocols.md describes the
/// formats. One thread at a time; keeps its buffers between calls.
class PayloadDecoder {
 public:
  explicit PayloadDecoder(PayloadLimits limits = {});
  ~PayloadDecoder();
  PayloadDecoder(PayloadDecoder&&) noexcept;

  /// Fills `batch.points` and `batch.event_time` (a time that holds for the whole message); leaves the rest alone. An
  /// error leaves points unspecified.
  [[nodiscard]] std::optional<PayloadError> decode(PayloadFormat format, std::string_view payload,
                                                   const DecodeOptions& options, Batch& batch);

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
