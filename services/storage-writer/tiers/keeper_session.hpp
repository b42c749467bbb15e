#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::writer {

/// What those who keep days share: of all sessions of a database one at a time has them, and each step is told before
/// its transaction by its name, and after it with "-done" behind it. Blocking; one thread.
class KeeperSession {
 public:
  using OnStep = std::function<void(std::string_view)>;
  KeeperSession(postgres::Connection& connection, OnStep on_step)
      : connection_(connection), on_step_(std::move(on_step)) {}

  /// False: another session has the days.
  [[nodiscard]] Result<bool> take();
  /// After take(). Closes the connection if need be: the lock ends with it.
  void give_back();

  [[nodiscard]] Result<postgres::Rows> step(std::string_view name, const std::string& sql,
                                            const postgres::Params& params);
  /// The last step found somebody at work on the tables: postponed, not failed.
  [[nodiscard]] bool was_lock_timeout() const { return connection_.last_error().sqlstate == "55P03"; }
  [[nodiscard]] postgres::Connection& connection() { return connection_; }

 private:
  postgres::Connection& connection_;
  OnStep on_step_;
};

}  // namespace millrace::writer
