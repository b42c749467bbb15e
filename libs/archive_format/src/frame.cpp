#include <charconv>
#include <cstdio>
#include <cstdlib>

#include <millrace/archive_format/frame.hpp>

#include "little_endian.hpp"

namespace millrace::archive_format {
namespace {

constexpr std::uint32_t kMostFields = 256;

/// Takes a counted text off the front; false where it is cut.
bool take_text(std::string_view& rest, std::string& text) {
  if (rest.size() < 4) return false;
  const auto size = load_little_endian<std::uint32_t>(rest);
  rest.remove_prefix(4);
  if (rest.size() < size) return false;
  text.assign(rest.substr(0, size));
  rest.remove_prefix(size);
  return true;
}

void append_text(std::string& out, std::string_view text) {
  append_little_endian(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

}  // namespace

void append_frame(std::string& out, FrameType type, std::string_view payload) {
  if (payload.size() > kMostPayload) {
    std::fprintf(stderr, "fault: a frame of %zu bytes\n", payload.size());
    std::abort();
  }
  append_little_endian(out, static_cast<std::uint32_t>(payload.size()));
  out += static_cast<char>(kVersion);
  out += static_cast<char>(type);
  out.append(2, '\0');
  out += payload;
}

void FrameReader::add(std::string_view bytes) {
  buffer_.erase(0, taken_);
  taken_ = 0;
  buffer_ += bytes;
}

Result<std::optional<Frame>> FrameReader::next() {
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  if (rest.size() < kHeaderBytes) return std::optional<Frame>{};
  const auto size = load_little_endian<std::uint32_t>(rest);
  const auto version = static_cast<std::uint8_t>(rest[4]);
  const auto type = static_cast<std::uint8_t>(rest[5]);
  if (version != kVersion) {
    return Error{ErrorKind::kInvalid, "a frame of version " + std::to_string(version) +
                                          ", this program speaks version " + std::to_string(kVersion) +
                                          ": parquet-worker and its caller must be of one release"};
  }
  if (type < static_cast<std::uint8_t>(FrameType::kRequest) || type > static_cast<std::uint8_t>(FrameType::kBytes))
    return Error{ErrorKind::kInvalid, "a frame of the unknown type " + std::to_string(type)};
  if (size > kMostPayload) {
    return Error{ErrorKind::kInvalid,
                 "a frame of " + std::to_string(size) + " bytes; the limit is " + std::to_string(kMostPayload)};
  }
  if (rest.size() - kHeaderBytes < size) return std::optional<Frame>{};
  taken_ += kHeaderBytes + size;
  return std::optional<Frame>{Frame{static_cast<FrameType>(type), rest.substr(kHeaderBytes, size)}};
}

std::string encode_fields(const Fields& fields) {
  std::string out;
  append_little_endian(out, static_cast<std::uint32_t>(fields.size()));
  for (const auto& [name, value] : fields) {
    append_text(out, name);
    append_text(out, value);
  }
  return out;
}

Result<Fields> decode_fields(std::string_view payload) {
  const Error cut{ErrorKind::kInvalid, "a list of fields that is cut"};
  if (payload.size() < 4) return cut;
  const auto count = load_little_endian<std::uint32_t>(payload);
  payload.remove_prefix(4);
  if (count > kMostFields) {
    return Error{ErrorKind::kInvalid, std::to_string(count) + " fields; the limit is " + std::to_string(kMostFields)};
  }
  Fields fields;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string name;
    std::string value;
    if (!take_text(payload, name) || !take_text(payload, value)) return cut;
    fields.insert_or_assign(std::move(name), std::move(value));
  }
  if (!payload.empty()) return cut;
  return fields;
}

std::string_view text_of(const Fields& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string_view{} : std::string_view(found->second);
}

std::optional<std::int64_t> integer_of(const Fields& fields, std::string_view name) {
  const std::string_view text = text_of(fields, name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace millrace::archive_format
