#include "pipe.hpp"

#include <cerrno>
#include <cstring>

#include <unistd.h>

namespace millrace::parquet_worker {

using archive_format::Frame;

Result<Frame> Pipe::receive() {
  for (;;) {
    auto frame = reader_.next();
    if (!frame) return frame.error();
    if (*frame) return **frame;
    const ssize_t got = ::read(in_, piece_.data(), piece_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{ErrorKind::kUnavailable, std::string("reading the pipe: ") + std::strerror(errno)};
    if (got == 0) return Error{ErrorKind::kUnavailable, "the caller closed the pipe in the middle of a request"};
    reader_.add({piece_.data(), static_cast<std::size_t>(got)});
  }
}

Status Pipe::send(archive_format::FrameType type, std::string_view payload) {
  std::string bytes;
  bytes.reserve(archive_format::kHeaderBytes + payload.size());
  archive_format::append_frame(bytes, type, payload);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t done = ::write(out_, rest.data(), rest.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return Error{ErrorKind::kUnavailable, std::string("writing the pipe: ") + std::strerror(errno)};
    rest.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

}  // namespace millrace::parquet_worker
