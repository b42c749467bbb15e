#include <algorithm>

#include <millrace/telemetry/payload_format.hpp>

namespace millrace::telemetry {
namespace {

bool equal_without_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

template <typename Matches>
std::optional<PayloadFormat> find_format(const Matches& matches) {
  const auto* const found = std::find_if(kPayloadFormats.begin(), kPayloadFormats.end(), matches);
  if (found == kPayloadFormats.end()) return std::nullopt;
  return found->format;
}

}  // namespace

std::optional<PayloadFormat> format_of_media_type(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  while (type.starts_with(' ') || type.starts_with('\t')) type.remove_prefix(1);
  for (const std::string_view other : {"application/x-protobuf", "application/vnd.google.protobuf"}) {
    if (equal_without_case(type, other)) return PayloadFormat::kProtobuf;
  }
  return find_format([type](const PayloadFormatNames& names) { return equal_without_case(type, names.media_type); });
}

std::optional<PayloadFormat> format_of_coap(std::uint32_t content_format) {
  return find_format([content_format](const PayloadFormatNames& names) { return names.coap == content_format; });
}

std::optional<PayloadFormat> format_of_extension(std::string_view extension) {
  if (extension.empty()) return std::nullopt;
  return find_format([extension](const PayloadFormatNames& names) { return names.topic_extension == extension; });
}

std::optional<PayloadFormat> choose_format(std::string_view media_type, std::optional<PayloadFormat> of_device_type,
                                           std::optional<PayloadFormat> of_topic) {
  if (!media_type.empty()) return format_of_media_type(media_type);
  if (of_device_type) return of_device_type;
  return of_topic.value_or(PayloadFormat::kJson);
}

}  // namespace millrace::telemetry
