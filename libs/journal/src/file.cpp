#include "file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace::journal {

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

Error File::failed(std::string_view what) const {
  return Error{ErrorKind::kUnavailable, "cannot " + std::string(what) + " " + path_ + ": " + std::strerror(errno)};
}

Result<File> File::open(const std::string& path, Mode mode) {
  File file;
  file.path_ = path;
  int flags = O_CLOEXEC;
  if (mode == Mode::kRead) flags |= O_RDONLY;
  if (mode == Mode::kReadWrite) flags |= O_RDWR | O_CREAT;
  if (mode == Mode::kCreate) flags |= O_RDWR | O_CREAT | O_EXCL;
  file.fd_ = ::open(path.c_str(), flags, 0600);
  if (file.fd_ < 0) return file.failed("open");
  return file;
}

Result<std::size_t> File::size() const {
  struct stat status{};
  if (::fstat(fd_, &status) != 0) return failed("look at");
  return static_cast<std::size_t>(status.st_size);
}

Status File::read(std::size_t offset, std::size_t bytes, std::string& out) const {
  const std::size_t begin = out.size();
  out.resize(begin + bytes);
  std::size_t got = 0;
  while (got < bytes) {
    const ssize_t more = ::pread(fd_, out.data() + begin + got, bytes - got, static_cast<off_t>(offset + got));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) {
      out.resize(begin);
      return failed("read");
    }
    if (more == 0) break;
    got += static_cast<std::size_t>(more);
  }
  out.resize(begin + got);
  return {};
}

Status File::write(std::size_t offset, std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("write");
    offset += static_cast<std::size_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status File::truncate(std::size_t size) const {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return failed("shorten");
  return {};
}

Status File::sync() const {
  if (::fdatasync(fd_) != 0) return failed("sync");
  return {};
}

void File::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Status sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error{ErrorKind::kUnavailable, "cannot open " + folder + ": " + std::strerror(errno)};
  const int done = ::fsync(fd);
  ::close(fd);
  if (done != 0) return Error{ErrorKind::kUnavailable, "cannot sync " + folder + ": " + std::strerror(errno)};
  return {};
}

}  // namespace millrace::journal
