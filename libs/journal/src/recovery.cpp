#include "recovery.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

namespace millrace::journal {
namespace {

constexpr std::string_view kSuffix = ".journal";
constexpr std::size_t kChunkBytes = 1024 * 1024;

Result<std::vector<std::uint64_t>> numbers_in(const std::string& folder) {
  std::vector<std::uint64_t> numbers;
  std::error_code error;
  for (const auto& item : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = item.path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    std::uint64_t number = 0;
    const char* last = name.data() + name.size() - kSuffix.size();
    const auto [end, code] = std::from_chars(name.data(), last, number);
    if (code == std::errc{} && end == last && number > 0) numbers.push_back(number);
  }
  if (error) return Error{ErrorKind::kUnavailable, "cannot read " + folder + ": " + error.message()};
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

struct Body {
  std::size_t end = 0;
  std::uint64_t entries = 0;
  bool damaged = false;
};

// A torn tail is what an interrupted write leaves: an entry that goes beyond the end, or zeros (the length was on the
// disk, the bytes were not). Anything else that is no entry is damage.
bool is_torn(const Scanned& scanned, std::string_view rest, bool to_the_end) {
  if (scanned.kind == Scanned::Kind::kIncomplete) return true;
  if (to_the_end && scanned.size >= rest.size()) return true;
  return std::all_of(rest.begin(), rest.end(), [](char c) { return c == '\0'; });
}

Result<Body> scan_body(const File& file, std::size_t begin, std::size_t size) {
  Body body;
  body.end = begin;
  std::string chunk;
  while (body.end < size) {
    // An entry that does not fit into a chunk is read alone.
    std::size_t wanted = std::min(kChunkBytes, size - body.end);
    chunk.clear();
    if (auto read = file.read(body.end, wanted, chunk); !read.ok()) return read.error();
    std::string_view rest = chunk;
    Scanned scanned = scan_entry(rest);
    if (scanned.kind == Scanned::Kind::kIncomplete && scanned.size > wanted && body.end + scanned.size <= size) {
      chunk.clear();
      if (auto read = file.read(body.end, scanned.size, chunk); !read.ok()) return read.error();
      rest = chunk;
      scanned = scan_entry(rest);
    }
    const std::size_t before = body.end;
    while (scanned.kind == Scanned::Kind::kEntry) {
      ++body.entries;
      body.end += scanned.size;
      rest.remove_prefix(scanned.size);
      scanned = scan_entry(rest);
    }
    if (body.end != before && scanned.kind == Scanned::Kind::kIncomplete) continue;
    if (body.end == size) break;
    const bool to_the_end = body.end + rest.size() == size;
    body.damaged = !is_torn(scanned, rest, to_the_end);
    break;
  }
  return body;
}

}  // namespace

std::string file_path(const std::string& folder, std::uint64_t number) {
  char name[32];
  std::snprintf(name, sizeof(name), "/%012llu", static_cast<unsigned long long>(number));
  return folder + name + std::string(kSuffix);
}

void drop_file(const std::string& folder, std::uint64_t number, const FileState& state) {
  const std::string path = file_path(folder, number);
  std::error_code ignored;  // a file that stays is dropped by the next start
  if (state.damaged) {
    std::filesystem::rename(path, path + ".damaged", ignored);
  } else {
    std::filesystem::remove(path, ignored);
  }
}

Result<Recovery> recover(const std::string& folder, const Checkpoint& done) {
  auto numbers = numbers_in(folder);
  if (!numbers.ok()) return numbers.error();
  Recovery recovery;
  recovery.highest = done.file;
  for (const std::uint64_t number : *numbers) {
    recovery.highest = std::max(recovery.highest, number);
    FileState state;
    if (number < done.file) {
      drop_file(folder, number, state);
      continue;
    }
    const std::string path = file_path(folder, number);
    auto file = File::open(path, File::Mode::kRead);
    if (!file.ok()) return file.error();
    const auto size = file->size();
    if (!size.ok()) return size.error();
    std::string bytes;
    if (auto read = file->read(0, kFileHeaderBytes, bytes); !read.ok()) return read.error();
    const auto header = decode_header(bytes);
    if (!header.ok()) {
      state.damaged = *size > kFileHeaderBytes;
      if (state.damaged) recovery.found.damaged.push_back(path);
      recovery.found.torn_bytes += *size;
      drop_file(folder, number, state);
      continue;
    }
    const std::size_t begin =
        number == done.file ? std::max<std::size_t>(done.offset, kFileHeaderBytes) : kFileHeaderBytes;
    const auto body = begin <= *size ? scan_body(*file, begin, *size) : Result<Body>(Body{begin, 0, false});
    if (!body.ok()) return body.error();
    state.header = *header;
    state.size = body->end;
    state.damaged = body->damaged;
    if (state.damaged) recovery.found.damaged.push_back(path);
    recovery.found.entries += body->entries;
    recovery.found.torn_bytes += *size > body->end ? *size - body->end : 0;
    if (body->entries == 0) {
      drop_file(folder, number, state);
    } else {
      recovery.files.emplace(number, state);
    }
  }
  return recovery;
}

}  // namespace millrace::journal
