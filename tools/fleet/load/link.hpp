// One device's way to the gateway. The transport and the protocol are in the derived classes. All links belong to one
// thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include <netinet/in.h>

#include "load/device.hpp"
#include "load/outcome.hpp"
#include "load/wire.hpp"

namespace millrace::fleet {

struct LinkContext {
  int epoll = -1;
  const Readings* readings = nullptr;
  Outcome* outcome = nullptr;
  std::size_t window = 200;  ///< messages without answer per connection
  int qos = 1;
  in_addr source{};             ///< TCP connects from it, unless it is 0
  bool finishing = false;       ///< nothing more is made: find out what the server has
  std::size_t setting_up = 0;   ///< connections from their first SYN until messages may flow
  std::string message_id_base;  ///< HTTP Idempotency-Key, MQTT message-id and CoAP mid are this plus the index
  WireOptions mqtt_wire;        ///< what MQTT goes over
  std::int64_t now_ns = 0;      ///< steady clock, renewed once per turn of the loop
};

inline constexpr std::int64_t kNsPerMs = 1'000'000;

class Link {
 public:
  Link(LinkContext& context, std::size_t index, const Device& device)
      : context_(context), index_(index), device_(device) {}
  virtual ~Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// A new message, to be sent as soon as the window allows.
  void add(const Message& message) { backlog_.push_back(message); }
  /// What epoll reported.
  virtual void on_ready(std::uint32_t events) = 0;
  /// Sends what may be sent. After add() and on_ready().
  virtual void flush() = 0;
  /// Every 10 ms or so: connects when it is time, gives up on a server that says nothing.
  virtual void on_tick() = 0;
  /// Ends the connection politely.
  virtual void close_politely() = 0;

  [[nodiscard]] std::size_t waiting() const { return backlog_.size(); }
  [[nodiscard]] virtual std::size_t in_flight() const = 0;
  [[nodiscard]] virtual bool up() const = 0;
  [[nodiscard]] std::size_t index() const { return index_; }
  bool dirty = false;  ///< in the loop's list of links to flush

 protected:
  Message take_backlog() {
    const Message message = backlog_.front();
    backlog_.pop_front();
    return message;
  }

  LinkContext& context_;
  const std::size_t index_;
  const Device& device_;
  std::deque<Message> backlog_;
};

}  // namespace millrace::fleet
