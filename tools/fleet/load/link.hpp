// One device's connection: connects, is lost, comes back with jittered back-off, for ever. The protocol is in the
// derived classes. All links belong to one thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include <netinet/in.h>

#include <millrace/base/backoff.hpp>

#include "load/device.hpp"
#include "load/outcome.hpp"

namespace millrace::fleet {

struct LinkContext {
  int epoll = -1;
  const Readings* readings = nullptr;
  Outcome* outcome = nullptr;
  std::size_t window = 200;  ///< messages without answer per connection
  int qos = 1;
  std::string message_id_base;  ///< HTTP Idempotency-Key and MQTT message-id are this plus the index
  std::int64_t now_ns = 0;      ///< steady clock, renewed once per turn of the loop
};

inline constexpr std::int64_t kNsPerMs = 1'000'000;

class Link {
 public:
  Link(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server);
  virtual ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// A new message, to be sent as soon as the window allows.
  void add(const Message& message) { backlog_.push_back(message); }
  /// What epoll reported.
  void on_ready(std::uint32_t events);
  /// Sends what may be sent. After add() and on_ready().
  void flush();
  /// Every 10 ms or so: connects when it is time, gives up on a server that says nothing.
  void on_tick();
  /// Ends the connection politely.
  void close_politely();

  [[nodiscard]] std::size_t waiting() const { return backlog_.size(); }
  [[nodiscard]] virtual std::size_t in_flight() const = 0;
  [[nodiscard]] bool up() const { return state_ == State::kUp; }
  [[nodiscard]] std::size_t index() const { return index_; }
  bool dirty = false;  ///< in the loop's list of links to flush

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
  Message take_backlog();

  LinkContext& context_;
  const std::size_t index_;
  const Device& device_;
  std::deque<Message> backlog_;
  std::string out_;
  State state_ = State::kDown;
  std::int64_t heard_ns_ = 0;
  std::int64_t wrote_ns_ = 0;

 private:
  void connect();
  void opened();
  void read();
  void write();
  void watch(bool writable);

  sockaddr_in server_;
  int fd_ = -1;
  bool watching_writable_ = false;
  std::string in_;
  std::int64_t retry_ns_ = 0;
  std::int64_t connect_by_ns_ = 0;
  Backoff backoff_{std::chrono::milliseconds(100), std::chrono::milliseconds(3000)};
};

}  // namespace millrace::fleet
