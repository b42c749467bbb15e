#pragma once

#include <memory>
#include <optional>
#include <string>

#include <libpq-fe.h>

#include <millrace/postgres/connection.hpp>

namespace millrace::postgres {

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultHandle = std::unique_ptr<PGresult, ResultDeleter>;

struct ConnectionDeleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using ConnectionHandle = std::unique_ptr<PGconn, ConnectionDeleter>;

struct Rows::Impl {
  ResultHandle result;
};

/// libpq in non-blocking mode under a deadline.
struct Connection::Impl {
  ConnectOptions options;
  ConnectionHandle handle;
  std::optional<Clock::time_point> deadline;
  std::function<bool()> interrupt;
  bool interrupted = false;  // by it, in the call that is under way
  ServerError last_error;

  [[nodiscard]] Clock::time_point call_deadline() const {
    return deadline ? *deadline : Clock::now() + options.call_timeout;
  }

  /// Forgets the error of the call before; an Error if the connection is gone.
  [[nodiscard]] Status start_call();
  /// After PQsend…: sends everything and collects the last result (or the first failed one, or the one that starts a
  /// COPY).
  [[nodiscard]] Result<ResultHandle> finish_call(Clock::time_point until);
  [[nodiscard]] Result<ResultHandle> sent(int sent_ok);
  [[nodiscard]] Status flush(Clock::time_point until);
  /// Waits for the socket; false at the deadline or once the interrupt says so.
  [[nodiscard]] bool wait(short events, Clock::time_point until);
  [[nodiscard]] bool wait_for_socket(short events, Clock::time_point until) const;
  /// At the deadline or the interrupt: asks the server to cancel and waits a second for its answer; closes the
  /// connection if none comes.
  Error give_up();
  /// Reads what libpq says about a broken connection and closes it.
  Error broken(const std::string& doing);
  /// Keeps the server's error and makes an Error of it.
  Error failed(const PGresult* result);
  /// The next message of a COPY TO STDOUT; empty at its end.
  [[nodiscard]] Result<std::string_view> receive_copy(Clock::time_point until);
  /// Reads on to the end of a COPY TO STDOUT that was cancelled; false: not by then.
  [[nodiscard]] bool skip_copy(Clock::time_point until);
  /// What receive_copy() gave last.
  struct CopyMessageDeleter {
    void operator()(char* message) const { PQfreemem(message); }
  };
  std::unique_ptr<char, CopyMessageDeleter> copy_message;
  [[nodiscard]] Status send_copy(std::string_view bytes, Clock::time_point until);
};

}  // namespace millrace::postgres
