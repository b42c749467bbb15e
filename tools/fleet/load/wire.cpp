#include "load/wire.hpp"

#include <array>
#include <cerrno>

#include <sys/socket.h>

namespace millrace::fleet {
namespace {

constexpr unsigned kBinary = 2;
constexpr unsigned kClose = 8;
constexpr unsigned kPing = 9;
constexpr unsigned kPong = 10;
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kMaskBytes = 4;
constexpr std::size_t kMostAnswerBytes = 16 * 1024;

/// A frame of a server (RFC 6455 section 5.2): not masked.
struct Frame {
  unsigned opcode = 0;
  std::string_view payload;
  std::size_t size = 0;
};

std::optional<Frame> first_frame(std::string_view bytes) {
  const auto at = [&](std::size_t index) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[index])); };
  if (bytes.size() < 2) return std::nullopt;
  std::size_t length = at(1) & 0x7F;
  std::size_t head = 2;
  const std::size_t extended = length == 127 ? 8 : (length == 126 ? 2 : 0);
  if (extended > 0) {
    if (bytes.size() < head + extended) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < extended; ++i) length = length << 8 | at(head + i);
    head += extended;
  }
  if (bytes.size() - head < length) return std::nullopt;
  return Frame{static_cast<unsigned>(at(0) & 0x0F), bytes.substr(head, length), head + length};
}

}  // namespace

bool Wire::start(int descriptor) {
  descriptor_ = descriptor;
  received_.clear();
  framed_.clear();
  secured_ = asked_ = upgraded_ = wants_write_ = false;
  session_.reset();
  if (!options_.tls) return true;
  auto session = tls::Session::connect(descriptor, *options_.tls, options_.server_name, ticket_);
  if (!session.ok()) return false;
  session_.emplace(std::move(session).value());
  return true;
}

Wire::Progress Wire::open() {
  if (session_ && !secured_) {
    const tls::Step step = session_->handshake();
    wants_write_ = step.kind == tls::Step::Kind::kWantWrite;
    if (wants_write_ || step.kind == tls::Step::Kind::kWantRead) return Progress::kWaiting;
    if (step.kind != tls::Step::Kind::kDone) return Progress::kBroken;
    secured_ = true;
  }
  return options_.web_socket && !upgraded_ ? upgrade() : Progress::kDone;
}

Wire::Progress Wire::upgrade() {
  if (!asked_) {
    asked_ = true;
    framed_ = "GET /mqtt HTTP/1.1\r\nHost: " + options_.server_name +
              "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: bWlsbHJhY2UtZmxlZXQhIQ==\r\n\r\n";
  }
  if (write_bytes(framed_) == Progress::kBroken) return Progress::kBroken;
  const Progress read = read_bytes(received_);
  const std::size_t end = received_.find("\r\n\r\n");
  if (end == std::string::npos) {
    return read == Progress::kBroken || received_.size() > kMostAnswerBytes ? Progress::kBroken : Progress::kWaiting;
  }
  if (!received_.starts_with("HTTP/1.1 101 ")) return Progress::kBroken;
  received_.erase(0, end + 4);
  upgraded_ = true;
  return Progress::kDone;
}

Wire::Progress Wire::receive(std::string& input) {
  if (!options_.web_socket) return read_bytes(input);
  const Progress read = read_bytes(received_);
  return read == Progress::kBroken ? read : take_frames(input);
}

Wire::Progress Wire::take_frames(std::string& input) {
  std::string_view left = received_;
  while (const auto frame = first_frame(left)) {
    left.remove_prefix(frame->size);
    if (frame->opcode == kClose) return Progress::kBroken;
    if (frame->opcode == kPing) put_frame(kPong, frame->payload);
    if (frame->opcode <= kBinary) input += frame->payload;
  }
  received_.erase(0, received_.size() - left.size());
  return Progress::kWaiting;
}

Wire::Progress Wire::send(std::string& output) {
  if (!options_.web_socket) return write_bytes(output);
  if (!output.empty() && framed_.empty()) {
    put_frame(kBinary, output);
    output.clear();
  }
  return write_bytes(framed_);
}

// RFC 6455 section 5.3: a client masks; the mask guards proxies against scripts, which are not here.
void Wire::put_frame(unsigned opcode, std::string_view payload) {
  framed_.push_back(static_cast<char>(0x80 | opcode));
  const std::size_t size = payload.size();
  const std::size_t extended = size < 126 ? 0 : (size < 65536 ? 2 : 8);
  framed_.push_back(static_cast<char>(0x80 | (extended == 0 ? size : (extended == 2 ? 126 : 127))));
  for (std::size_t i = extended; i-- > 0;) framed_.push_back(static_cast<char>(size >> (8 * i) & 0xFF));
  framed_.append(kMaskBytes, '\0');
  framed_ += payload;
}

Wire::Progress Wire::read_bytes(std::string& input) {
  thread_local std::array<char, kReadBytes> buffer;
  for (;;) {
    if (session_) {
      const tls::Step step = session_->read(buffer.data(), buffer.size());
      if (step.kind == tls::Step::Kind::kWantRead || step.kind == tls::Step::Kind::kWantWrite) break;
      if (step.kind != tls::Step::Kind::kDone) return Progress::kBroken;
      input.append(buffer.data(), step.bytes);
      continue;
    }
    const ssize_t size = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) return Progress::kBroken;
    input.append(buffer.data(), static_cast<std::size_t>(size));
  }
  if (session_) {
    if (auto fresh = session_->ticket()) ticket_ = std::move(fresh);
  }
  return Progress::kWaiting;
}

Wire::Progress Wire::write_bytes(std::string& output) {
  std::size_t written = 0;
  wants_write_ = false;
  while (written < output.size() && !wants_write_) {
    const char* from = output.data() + written;
    const std::size_t left = output.size() - written;
    if (session_) {
      const tls::Step step = session_->write(from, left);
      wants_write_ = step.kind == tls::Step::Kind::kWantWrite;
      if (step.kind == tls::Step::Kind::kWantRead) break;
      if (!wants_write_ && step.kind != tls::Step::Kind::kDone) return Progress::kBroken;
      written += step.bytes;
      continue;
    }
    const ssize_t size = ::send(descriptor_, from, left, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    wants_write_ = size < 0 && errno == EAGAIN;
    if (size < 0 && !wants_write_) return Progress::kBroken;
    if (size > 0) written += static_cast<std::size_t>(size);
  }
  output.erase(0, written);
  return output.empty() ? Progress::kDone : Progress::kWaiting;
}

}  // namespace millrace::fleet
