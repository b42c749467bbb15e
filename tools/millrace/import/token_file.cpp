#include "import/token_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <millrace/base/ids.hpp>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

constexpr std::string_view kHeader = "device,token";
constexpr std::size_t kBuffer = 64 * 1024;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kTokenBytes = 24;

CommandError file_error(const std::filesystem::path& path, const std::string& what) {
  return CommandError(what + " " + path.string() + ": " + std::strerror(errno));
}

void write_all(int descriptor, std::string_view text, const std::filesystem::path& path, const std::string& what) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw file_error(path, what);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void sync_folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw file_error(folder, "folder");
  const bool synced = ::fsync(descriptor) == 0;
  ::close(descriptor);
  if (!synced) throw file_error(folder, "folder");
}

}  // namespace

TokenFile::TokenFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor_ < 0) throw file_error(path_, "tokens file");
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) fail("another import writes it", "wait for its end");
    read_lines();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

TokenFile::~TokenFile() { ::close(descriptor_); }

void TokenFile::fail(const std::string& why, const std::string& next) const {
  throw CommandError("tokens file " + path_.string() + ": " + why, next);
}

void TokenFile::read_lines() {
  std::vector<char> buffer(kBuffer);
  std::string rest;
  std::size_t number = 0;
  off_t complete = 0;
  for (;;) {
    const ssize_t size = ::read(descriptor_, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) throw file_error(path_, "tokens file");
    if (size == 0) break;
    rest.append(buffer.data(), static_cast<std::size_t>(size));
    std::size_t begin = 0;
    for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
      take_line(std::string_view(rest).substr(begin, end - begin), ++number);
      begin = end + 1;
    }
    complete += static_cast<off_t>(begin);
    rest.erase(0, begin);
    if (rest.size() > kBuffer) fail("it is no tokens file", "name another with --tokens");
  }
  if (::ftruncate(descriptor_, complete) != 0 || ::lseek(descriptor_, complete, SEEK_SET) < 0)
    throw file_error(path_, "tokens file");
  if (number == 0) write_all(descriptor_, std::string(kHeader) + '\n', path_, "tokens file");
}

void TokenFile::take_line(std::string_view line, std::size_t number) {
  if (number == 1 && line == kHeader) return;
  const std::size_t comma = line.find(',');
  const bool good =
      number > 1 && comma != std::string_view::npos && is_valid_id(line.substr(0, comma)) && comma + 1 < line.size();
  if (!good) {
    fail("line " + std::to_string(number) + " is not `device,token`",
         "it must be new or of an earlier import: name another with --tokens");
  }
  devices_.insert(line.substr(0, comma));
}

void TokenFile::add(std::string_view device, std::string_view token) {
  waiting_.append(device).append(",").append(token).append("\n");
  if (waiting_.size() >= kBuffer) flush();
}

void TokenFile::flush() {
  write_all(descriptor_, waiting_, path_, "tokens file");
  waiting_.clear();
}

void TokenFile::sync() {
  flush();
  if (::fsync(descriptor_) != 0) throw file_error(path_, "tokens file");
}

ImportSecret::ImportSecret(const std::filesystem::path& tokens) : path_(tokens.string() + ".secret") {
  if (std::ifstream in(path_); in) {
    std::string text;
    in >> text;
    const auto bytes = from_hex(text);
    if (!bytes.ok() || bytes->size() != kSecretBytes)
      throw CommandError("file " + path_.string() + " is not the secret of an import");
    secret_ = *bytes;
    taken_up_ = true;
    return;
  }
  secret_ = random_bytes(kSecretBytes);
  // Under another name until it is complete: a half written one would be neither taken up nor drawn anew.
  const std::filesystem::path unfinished = path_.string() + ".new";
  const int descriptor = ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) throw file_error(unfinished, "file");
  try {
    write_all(descriptor, to_hex(secret_) + '\n', unfinished, "file");
    if (::fsync(descriptor) != 0) throw file_error(unfinished, "file");
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);
  if (::rename(unfinished.c_str(), path_.c_str()) != 0) throw file_error(path_, "file");
  sync_folder_of(path_);
}

std::string ImportSecret::token_of(std::string_view tenant, std::string_view device) const {
  const Sha256 digest = hmac_sha256(secret_, record_key(tenant, device));
  return "mt_" + to_base64url(bytes_of(digest).substr(0, kTokenBytes));
}

void ImportSecret::remove() const {
  std::error_code ignored;  // one that stays does no harm
  std::filesystem::remove(path_, ignored);
}

}  // namespace millrace::cli
