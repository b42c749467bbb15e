#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::postgres {

struct PoolOptions {
  ConnectOptions connect;
  std::size_t size = 4;  ///< connections at most; opened when first needed
  /// Runs on each new connection (SET, prepare); a failure closes it and fails the acquire.
  std::function<Status(Connection&)> on_open;
};

/// A fixed number of connections for blocking callers on their own threads. Thread-safe. A connection that broke is
/// replaced by the caller who gets its place. The pool must outlive its leases.
class Pool {
 public:
  /// A connection for one caller; goes back to the pool (rolled back if needed) at destruction.
  class Lease {
   public:
    Lease(Lease&&) noexcept;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    [[nodiscard]] Connection& operator*() const { return *connection_; }
    [[nodiscard]] Connection* operator->() const { return connection_.get(); }

   private:
    friend class Pool;
    Lease(Pool& pool, std::unique_ptr<Connection> connection);
    Pool* pool_;
    std::unique_ptr<Connection> connection_;
  };

  explicit Pool(PoolOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Waits for a place, then connects if needed, all before `deadline`, which then is also the deadline of the lease's
  /// calls (Connection::set_deadline changes it). kThrottled: no place in time; kUnavailable: no database.
  /// `interrupt` becomes the one of the lease (Connection::set_interrupt); the waiting for a place does not ask it.
  [[nodiscard]] Result<Lease> acquire(Clock::time_point deadline, std::function<bool()> interrupt = {});

  [[nodiscard]] std::size_t in_use() const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Impl;
  void give_back(std::unique_ptr<Connection> connection);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::postgres
