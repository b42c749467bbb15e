#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace millrace::tls {

/// Bounds how many TLS handshakes are under way at once, in the process and from one address: each costs about 50 KiB
/// until it is done or its time is over. Who finds no place waits in the line of its address, and addresses with a line
/// take turns, so that one of them does not keep the others out. Thread-safe; never blocks.
class HandshakeGate : public std::enable_shared_from_this<HandshakeGate> {
 public:
  struct Options {
    std::size_t most = 4'000;           ///< at once
    std::size_t most_of_address = 500;  ///< of these from one address
  };
  /// The right to one handshake; given back when the last copy goes.
  using Place = std::shared_ptr<const void>;

  class Waiter {
   public:
    virtual ~Waiter() = default;
    /// Called once, by enter() or by the thread that gives a place back, without any lock; must not throw. The place
    /// has to be kept beyond the call.
    virtual void on_place(Place place) = 0;
  };

  explicit HandshakeGate(const Options& options) : options_(options) {}

  /// `address`: as of owner_of_address(). A waiter that has died meanwhile is passed over.
  void enter(const std::string& address, const std::shared_ptr<Waiter>& waiter);

  struct Counts {
    std::size_t under_way = 0;
    std::size_t waiting = 0;  ///< with those that have died and were not passed over yet
  };
  [[nodiscard]] Counts counts() const;

 private:
  struct Line {
    std::size_t under_way = 0;
    std::deque<std::weak_ptr<Waiter>> waiting;
    bool in_turns = false;
  };

  [[nodiscard]] Place place_of(const std::string& address);
  void give_back(const std::string& address);
  void take_turn(const std::string& address, Line& line);
  [[nodiscard]] std::shared_ptr<Waiter> next(std::string& address);

  const Options options_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Line> lines_;  // those with a handshake or a waiter
  std::deque<std::string> turns_;                // addresses with a waiter and room for it
  Counts counts_;
};

}  // namespace millrace::tls
