#include <cmath>
#include <cstdlib>
#include <limits>

#include <millrace/telemetry/payload.hpp>

#include "cbor_json.hpp"
#include "json_decoder.hpp"
#include "message_decoder.hpp"
#include "point_sink.hpp"
#include "protobuf_decoder.hpp"
#include "senml_cbor.hpp"
#include "senml_json.hpp"
#include "text_decoder.hpp"

namespace millrace::telemetry {
namespace {

constexpr std::int64_t kMostSeconds = 100'000'000'000;     // 1e11: year 5138
constexpr std::int64_t kMostMillis = kMostSeconds * 1000;  // 1e14
constexpr std::int64_t kMostMicros = kMostMillis * 1000;   // 1e17

}  // namespace

std::string_view to_string(PayloadFault kind) {
  switch (kind) {
    case PayloadFault::kEmpty:
      return "empty";
    case PayloadFault::kTooLarge:
      return "too_large";
    case PayloadFault::kSyntax:
      return "syntax";
    case PayloadFault::kNotFinite:
      return "not_finite";
    case PayloadFault::kIntegerRange:
      return "integer_range";
    case PayloadFault::kTooDeep:
      return "too_deep";
    case PayloadFault::kTooManyPoints:
      return "too_many_points";
    case PayloadFault::kNoPoints:
      return "no_points";
    case PayloadFault::kShape:
      return "shape";
    case PayloadFault::kNameTooLong:
      return "name_too_long";
    case PayloadFault::kBadName:
      return "bad_name";
    case PayloadFault::kTextTooLong:
      return "text_too_long";
    case PayloadFault::kBadText:
      return "bad_text";
    case PayloadFault::kBadTime:
      return "bad_time";
    case PayloadFault::kTimeRange:
      return "time_range";
    case PayloadFault::kWrongDevice:
      return "wrong_device";
    case PayloadFault::kTooManyMetrics:
      return "too_many_metrics";
    case PayloadFault::kUnsupported:
      return "unsupported";
    case PayloadFault::kUnknownFormat:
      return "unknown_format";
    case PayloadFault::kUnknownDevice:
      return "unknown_device";
  }
  return "syntax";
}

TimeUs time_from_number(std::int64_t number) {
  const std::int64_t magnitude = number == std::numeric_limits<std::int64_t>::min() ? kMostMicros : std::abs(number);
  if (magnitude < kMostSeconds) return number * kUsPerSecond;
  if (magnitude < kMostMillis) return number * 1000;
  if (magnitude < kMostMicros) return number;
  return number / 1000 - (number % 1000 < 0 ? 1 : 0);
}

std::optional<TimeUs> time_from_number(double number) {
  const double magnitude = std::fabs(number);
  if (!(magnitude < 9.2e18)) return std::nullopt;
  double scale = 1e-3;
  if (magnitude < static_cast<double>(kMostSeconds)) {
    scale = 1e6;
  } else if (magnitude < static_cast<double>(kMostMillis)) {
    scale = 1e3;
  } else if (magnitude < static_cast<double>(kMostMicros)) {
    scale = 1;
  }
  return std::llround(number * scale);
}

struct PayloadDecoder::Impl {
  explicit Impl(const PayloadLimits& limits) : sink(limits) {}

  [[nodiscard]] bool check_size(std::string_view payload);
  [[nodiscard]] bool decode(PayloadFormat format, std::string_view payload);
  [[nodiscard]] bool decode_cbor(std::string_view payload);

  PointSink sink;
  JsonDecoder json;
  SenmlJsonDecoder senml_json;
  SenmlCborDecoder senml_cbor;
  ProtobufDecoder protobuf;
  MessageDecoder message;
  std::string transcoded;  // CBOR as JSON
};

bool PayloadDecoder::Impl::check_size(std::string_view payload) {
  const std::size_t most = sink.limits().max_bytes;
  if (payload.empty()) return sink.fail(PayloadFault::kEmpty, "the payload is empty");
  if (payload.size() <= most) return true;
  return sink.fail(PayloadFault::kTooLarge, "the payload is larger than " + std::to_string(most) + " bytes");
}

bool PayloadDecoder::Impl::decode_cbor(std::string_view payload) {
  auto error = cbor_to_json(payload, sink.limits().max_depth, transcoded);
  if (!error) return json.decode(transcoded, sink);
  const auto element = error->element;
  sink.fail(error->fault, std::move(error->message), error->offset);
  return sink.place(element);
}

bool PayloadDecoder::Impl::decode(PayloadFormat format, std::string_view payload) {
  if (!check_size(payload) || !sink.check_prefix()) return false;
  if (format == PayloadFormat::kText) return decode_text(payload, sink);
  sink.open_prefix();
  switch (format) {
    case PayloadFormat::kCbor:
      return decode_cbor(payload);
    case PayloadFormat::kSenmlJson:
      return senml_json.decode(payload, sink);
    case PayloadFormat::kSenmlCbor:
      return senml_cbor.decode(payload, sink);
    case PayloadFormat::kProtobuf:
      if (sink.options().schema != nullptr) return message.decode(payload, *sink.options().schema, json, sink);
      return protobuf.decode(payload, sink);
    case PayloadFormat::kJson:
    case PayloadFormat::kText:
      break;
  }
  return json.decode(payload, sink);
}

PayloadDecoder::PayloadDecoder(PayloadLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
PayloadDecoder::~PayloadDecoder() = default;
PayloadDecoder::PayloadDecoder(PayloadDecoder&&) noexcept = default;

std::optional<PayloadError> PayloadDecoder::decode(PayloadFormat format, std::string_view payload,
                                                   const DecodeOptions& options, Batch& batch) {
  impl_->sink.begin(options, batch);
  if (impl_->decode(format, payload) && impl_->sink.finish()) return std::nullopt;
  return impl_->sink.take_error();
}

}  // namespace millrace::telemetry
