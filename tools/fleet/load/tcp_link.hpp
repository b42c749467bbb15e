// A connection over TCP, or over TLS and WebSocket on it: connects, is lost, comes back with jittered back-off, for
// ever. The protocol is in the derived classes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <netinet/in.h>

#include <millrace/base/backoff.hpp>

#include "load/link.hpp"

namespace millrace::fleet {

class TcpLink : public Link {
 public:
  TcpLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
          const WireOptions& wire);
  ~TcpLink() override;

  void on_ready(std::uint32_t events) override;
  void flush() override;
  void on_tick() override;
  void close_politely() override;
  [[nodiscard]] bool up() const override { return state_ == State::kUp; }

 protected:
  enum class State : std::uint8_t { kDown, kConnecting, kOpen, kUp };

  /// TCP is there: write what begins the conversation, and call set_up() when messages may flow.
  virtual void on_open() = 0;
  /// Takes what it can from the front of `input`; false: the connection is no longer of use.
  virtual bool on_bytes(std::string_view& input) = 0;
  /// The connection is gone; what had no answer is to be sent again.
  virtual void on_lost() = 0;
  /// Puts messages into out_ while the window allows.
  virtual void pump() = 0;
  virtual void on_goodbye() {}
  /// False: the server has been silent for too long.
  virtual bool alive() = 0;

  void set_up();
  /// Drops the connection; the next one comes after the back-off, or after `least_ms` if that is more.
  void lose(std::int64_t least_ms = 0);

  std::string out_;
  State state_ = State::kDown;
  std::int64_t heard_ns_ = 0;
  std::int64_t wrote_ns_ = 0;

 private:
  void connect();
  [[nodiscard]] bool opening(std::uint32_t events);
  void opened();
  void read();
  void read_wire();
  void take(std::string_view input);
  void write();
  void watch(bool writable);
  bool bind_source();
  void end_setting_up();

  sockaddr_in server_;
  int fd_ = -1;
  std::optional<Wire> wire_;  // none: plain TCP
  bool wire_started_ = false;
  bool watching_writable_ = false;
  bool setting_up_ = false;
  std::string in_;
  std::int64_t retry_ns_ = 0;
  std::int64_t connect_by_ns_ = 0;
  Backoff backoff_{std::chrono::milliseconds(100), std::chrono::milliseconds(3000)};
};

}  // namespace millrace::fleet
