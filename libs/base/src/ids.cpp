#include <cstdint>
#include <cstring>

#include <millrace/base/ids.hpp>

namespace millrace {
namespace {

bool is_id_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == ':' || c == '-';
}

// MurmurHash2, 32 bit, seed 0x9747b28c: org.apache.kafka.common.utils.Utils.murmur2.
std::uint32_t murmur2(std::string_view key) {
  constexpr std::uint32_t kM = 0x5bd1e995;
  std::size_t length = key.size();
  const char* data = key.data();
  std::uint32_t h = 0x9747b28cU ^ static_cast<std::uint32_t>(length);
  for (; length >= 4; data += 4, length -= 4) {
    std::uint32_t k = 0;
    std::memcpy(&k, data, 4);
    k *= kM;
    k ^= k >> 24;
    k *= kM;
    h = (h * kM) ^ k;
  }
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(data[i])); };
  if (length >= 3) h ^= byte(2) << 16;
  if (length >= 2) h ^= byte(1) << 8;
  if (length >= 1) h = (h ^ byte(0)) * kM;
  h ^= h >> 13;
  h *= kM;
  h ^= h >> 15;
  return h;
}

}  // namespace

bool is_valid_id(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdBytes || id.front() == '.') return false;
  for (const char c : id) {
    if (!is_id_char(c)) return false;
  }
  return true;
}

Status check_id(std::string_view what, std::string_view id) {
  if (is_valid_id(id)) return {};
  return Error{ErrorKind::kInvalid, std::string(what) + " must be 1 to 64 of A-Za-z0-9._:- and not start with '.'"};
}

std::string record_key(std::string_view tenant, std::string_view device) {
  std::string key;
  key.reserve(tenant.size() + 1 + device.size());
  key.append(tenant).append(1, '/').append(device);
  return key;
}

Result<std::pair<std::string_view, std::string_view>> parse_record_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos || !is_valid_id(key.substr(0, slash)) || !is_valid_id(key.substr(slash + 1))) {
    return Error{ErrorKind::kInvalid, "record key is not tenant/device"};
  }
  return std::pair{key.substr(0, slash), key.substr(slash + 1)};
}

int partition_of(std::string_view key, int partitions) {
  return static_cast<int>((murmur2(key) & 0x7fffffffU) % static_cast<std::uint32_t>(partitions));
}

}  // namespace millrace
