#include "bridge/bridge_entry.hpp"

#include <array>
#include <cstddef>

namespace millrace::gateway {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kFixedBytes = 3 + sizeof(TimeUs);

constexpr std::array kTexts{&BridgeEntry::broker,        &BridgeEntry::tenant,     &BridgeEntry::device,
                            &BridgeEntry::metric_prefix, &BridgeEntry::topic,      &BridgeEntry::content_type,
                            &BridgeEntry::message_id,    &BridgeEntry::traceparent};

}  // namespace

void encode(const BridgeEntry& entry, std::string& out) {
  out.clear();
  out.push_back(kVersion);
  out.push_back(static_cast<char>(entry.use));
  out.push_back(static_cast<char>(entry.qos));
  const auto taken = static_cast<std::uint64_t>(entry.taken);
  for (unsigned i = 0; i < sizeof(taken); ++i) out.push_back(static_cast<char>((taken >> (8 * i)) & 0xff));
  for (const auto text : kTexts) {
    const std::string_view value = entry.*text;
    out.push_back(static_cast<char>(value.size() & 0xff));
    out.push_back(static_cast<char>((value.size() >> 8) & 0xff));
    out.append(value);
  }
  out.append(entry.payload);
}

Result<BridgeEntry> decode_bridge_entry(std::string_view bytes) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  if (bytes.size() < kFixedBytes || bytes[0] != kVersion) {
    return Error{ErrorKind::kCorrupt, "not an entry of this version of the bridge"};
  }
  BridgeEntry entry;
  if (byte(1) != static_cast<unsigned>(BridgeUse::kTelemetry) &&
      byte(1) != static_cast<unsigned>(BridgeUse::kCommand)) {
    return Error{ErrorKind::kCorrupt, "an entry of an unknown use"};
  }
  entry.use = static_cast<BridgeUse>(byte(1));
  entry.qos = byte(2);
  std::uint64_t taken = 0;
  for (unsigned i = 0; i < sizeof(taken); ++i) taken |= static_cast<std::uint64_t>(byte(3 + i)) << (8 * i);
  entry.taken = static_cast<TimeUs>(taken);
  bytes.remove_prefix(kFixedBytes);
  for (const auto text : kTexts) {
    if (bytes.size() < 2) return Error{ErrorKind::kCorrupt, "an entry that ends too early"};
    const std::size_t size = byte(0) | static_cast<std::size_t>(byte(1)) << 8;
    bytes.remove_prefix(2);
    if (bytes.size() < size) return Error{ErrorKind::kCorrupt, "an entry that ends too early"};
    entry.*text = bytes.substr(0, size);
    bytes.remove_prefix(size);
  }
  entry.payload = bytes;
  return entry;
}

}  // namespace millrace::gateway
