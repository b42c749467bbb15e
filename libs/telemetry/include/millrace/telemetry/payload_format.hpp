#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace::telemetry {

/// What the bytes of a payload are (docs/protocols.md, "Payloads").
enum class PayloadFormat : std::uint8_t {
  kJson,       ///< Millrace's own JSON
  kCbor,       ///< the same shapes as CBOR (RFC 8949)
  kSenmlJson,  ///< RFC 8428 section 5
  kSenmlCbor,  ///< RFC 8428 section 6
  kProtobuf,   ///< telemetry.v1.Readings
  kText,       ///< one value as text; the topic or path names its metric
};

/// How protocols name a format.
struct PayloadFormatNames {
  PayloadFormat format = PayloadFormat::kJson;
  std::string_view media_type;       ///< MQTT 5 content type, HTTP Content-Type; the canonical one
  std::uint16_t coap = 0;            ///< CoAP Content-Format (RFC 7252 section 12.3)
  std::string_view topic_extension;  ///< behind `telemetry` or `status` in a topic; empty: none
};

/// Protocol Buffers have no registered CoAP number: this one is of the range for experiments (RFC 7252 section 12.3).
inline constexpr std::uint16_t kCoapProtobuf = 65001;

/// All formats, in the order of the enum. The extensions of SenML are those of RFC 8428 section 12.3.
inline constexpr std::array<PayloadFormatNames, 6> kPayloadFormats{{
    {PayloadFormat::kJson, "application/json", 50, ".json"},
    {PayloadFormat::kCbor, "application/cbor", 60, ".cbor"},
    {PayloadFormat::kSenmlJson, "application/senml+json", 110, ".senml"},
    {PayloadFormat::kSenmlCbor, "application/senml+cbor", 112, ".senmlc"},
    {PayloadFormat::kProtobuf, "application/protobuf", kCoapProtobuf, ".pb"},
    {PayloadFormat::kText, "text/plain", 0, ""},
}};

[[nodiscard]] constexpr const PayloadFormatNames& names_of(PayloadFormat format) {
  return kPayloadFormats[static_cast<std::size_t>(format)];
}

/// Case and parameters (`; charset=…`) do not matter; `application/x-protobuf` and `application/vnd.google.protobuf`
/// are the same as `application/protobuf`. None: not one of ours.
[[nodiscard]] std::optional<PayloadFormat> format_of_media_type(std::string_view type);
[[nodiscard]] std::optional<PayloadFormat> format_of_coap(std::uint32_t content_format);
/// `.cbor` and so on, dot included.
[[nodiscard]] std::optional<PayloadFormat> format_of_extension(std::string_view extension);

/// The format of a message: what it says itself (`media_type`, empty: nothing), else what is declared for the type of
/// its device, else what its topic says, else JSON. None: `media_type` is not one of ours.
[[nodiscard]] std::optional<PayloadFormat> choose_format(std::string_view media_type,
                                                         std::optional<PayloadFormat> of_device_type,
                                                         std::optional<PayloadFormat> of_topic);

/// What is understood, as one sentence for refusals.
inline constexpr std::string_view kFormatsTaken =
    "send application/json, application/cbor, application/senml+json, application/senml+cbor, application/protobuf or, "
    "where the topic or path names the metric, text/plain";

}  // namespace millrace::telemetry
