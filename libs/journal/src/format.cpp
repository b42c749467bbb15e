#include <algorithm>
#include <cstring>

#include <millrace/base/digest.hpp>
#include <millrace/journal/format.hpp>

namespace millrace::journal {
namespace {

constexpr std::string_view kMagic = "MRJ1";

template <typename T>
void put(std::string& out, T number) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
}

template <typename T>
T get(std::string_view bytes, std::size_t at) {
  T number = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    number |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[at + i])) << (8 * i));
  }
  return number;
}

}  // namespace

std::string encode_header(const FileHeader& header) {
  std::string out(kMagic);
  out.append(reinterpret_cast<const char*>(header.run.data()), header.run.size());
  put(out, header.first_counter);
  put(out, crc32c(out));
  return out;
}

Result<FileHeader> decode_header(std::string_view bytes) {
  if (bytes.size() < kFileHeaderBytes) return Error{ErrorKind::kCorrupt, "the file is shorter than its header"};
  constexpr std::size_t kCrcAt = kFileHeaderBytes - sizeof(std::uint32_t);
  if (!bytes.starts_with(kMagic)) return Error{ErrorKind::kCorrupt, "the file does not begin as a journal does"};
  if (get<std::uint32_t>(bytes, kCrcAt) != crc32c(bytes.substr(0, kCrcAt))) {
    return Error{ErrorKind::kCorrupt, "the checksum of the file's header is wrong"};
  }
  FileHeader header;
  std::memcpy(header.run.data(), bytes.data() + kMagic.size(), header.run.size());
  header.first_counter = get<std::uint64_t>(bytes, kMagic.size() + header.run.size());
  return header;
}

void encode_entry(std::string_view body, std::string& out) {
  const std::size_t begin = out.size();
  put(out, std::uint32_t{0});
  put(out, static_cast<std::uint32_t>(body.size()));
  out.append(body);
  const std::uint32_t crc = crc32c(std::string_view(out).substr(begin + sizeof(std::uint32_t)));
  for (std::size_t i = 0; i < sizeof(crc); ++i) out[begin + i] = static_cast<char>((crc >> (8 * i)) & 0xff);
}

Scanned scan_entry(std::string_view bytes) {
  Scanned scanned;
  if (bytes.size() < kEntryOverhead) return scanned;
  const auto length = get<std::uint32_t>(bytes, sizeof(std::uint32_t));
  if (length == 0 || length > kMaxBodyBytes) {
    scanned.kind = Scanned::Kind::kBroken;
    return scanned;
  }
  scanned.size = kEntryOverhead + length;
  if (bytes.size() < scanned.size) return scanned;
  const std::string_view checked = bytes.substr(sizeof(std::uint32_t), sizeof(std::uint32_t) + length);
  if (get<std::uint32_t>(bytes, 0) != crc32c(checked)) {
    scanned.kind = Scanned::Kind::kBroken;
    return scanned;
  }
  scanned.kind = Scanned::Kind::kEntry;
  scanned.body = bytes.substr(kEntryOverhead, length);
  return scanned;
}

std::string encode_checkpoint(const Checkpoint& checkpoint) {
  std::string out;
  put(out, checkpoint.generation);
  put(out, checkpoint.file);
  put(out, checkpoint.offset);
  put(out, checkpoint.counter);
  put(out, crc32c(out));
  return out;
}

Checkpoint decode_checkpoints(std::string_view bytes) {
  Checkpoint newest;
  for (std::size_t at = 0; at <= kCheckpointSlotBytes; at += kCheckpointSlotBytes) {
    if (bytes.size() < at + kCheckpointBytes) break;
    const std::string_view slot = bytes.substr(at, kCheckpointBytes);
    constexpr std::size_t kCrcAt = kCheckpointBytes - sizeof(std::uint32_t);
    if (get<std::uint32_t>(slot, kCrcAt) != crc32c(slot.substr(0, kCrcAt))) continue;
    const Checkpoint found{get<std::uint64_t>(slot, 0), get<std::uint64_t>(slot, 8), get<std::uint64_t>(slot, 16),
                           get<std::uint64_t>(slot, 24)};
    if (found.generation > newest.generation) newest = found;
  }
  return newest;
}

}  // namespace millrace::journal
