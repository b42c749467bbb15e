#include "connection_impl.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

#include <poll.h>

namespace millrace::postgres {
namespace {

constexpr std::chrono::milliseconds kCancelGrace{1'000};
constexpr std::chrono::milliseconds kInterruptPeriod{20};

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string{} : std::string{text};
}

std::string trimmed(const char* text) {
  std::string out = text == nullptr ? "" : text;
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

bool is_failure(ExecStatusType status) {
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR;
}

bool starts_copy(ExecStatusType status) {
  return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

// PQcancel opens a connection of its own and waits for the server to close it, without any time limit: a server that
// hangs would hold the caller. So it runs beside, and the caller waits only for what the cancelled statement answers.
void cancel_beside(PGconn* connection) {
  PGcancel* cancel = PQgetCancel(connection);
  if (cancel == nullptr) return;
  std::thread([cancel] {
    std::array<char, 256> error{};
    PQcancel(cancel, error.data(), static_cast<int>(error.size()));
    PQfreeCancel(cancel);
  }).detach();
}

}  // namespace

Status Connection::Impl::start_call() {
  last_error = {};
  interrupted = false;
  if (!handle) return Error{ErrorKind::kUnavailable, "the database connection is closed"};
  return {};
}

bool Connection::Impl::wait(short events, Clock::time_point until) {
  if (!interrupt) return wait_for_socket(events, until);
  for (;;) {
    const auto next_look = Clock::now() + kInterruptPeriod;
    if (wait_for_socket(events, std::min(until, next_look))) return true;
    if (interrupt()) {
      interrupted = true;
      return false;
    }
    if (until <= next_look) return false;
  }
}

bool Connection::Impl::wait_for_socket(short events, Clock::time_point until) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    pollfd socket{PQsocket(handle.get()), events, 0};
    const int ready = ::poll(&socket, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
    if (ready > 0) return true;
    if (ready == 0 && left.count() <= 0) return false;
    if (ready < 0 && errno != EINTR) return true;  // libpq reports what is wrong with the socket
  }
}

Status Connection::Impl::flush(Clock::time_point until) {
  for (;;) {
    const int rest = PQflush(handle.get());
    if (rest == 0) return {};
    if (rest < 0) return broken("sending");
    if (!wait(POLLIN | POLLOUT, until)) return give_up();
    // The server may be stuck in sending to us: reading keeps both sides moving.
    if (PQconsumeInput(handle.get()) == 0) return broken("receiving");
  }
}

Result<ResultHandle> Connection::Impl::sent(int sent_ok) {
  if (sent_ok == 0) return broken("sending");
  return finish_call(call_deadline());
}

Result<ResultHandle> Connection::Impl::finish_call(Clock::time_point until) {
  if (auto flushed = flush(until); !flushed) return flushed.error();
  ResultHandle kept;
  for (;;) {
    while (PQisBusy(handle.get()) != 0) {
      if (!wait(POLLIN, until)) return give_up();
      if (PQconsumeInput(handle.get()) == 0) return broken("receiving");
    }
    ResultHandle next{PQgetResult(handle.get())};
    if (!next) break;
    if (starts_copy(PQresultStatus(next.get()))) return next;
    if (!kept || !is_failure(PQresultStatus(kept.get()))) kept = std::move(next);
  }
  if (!kept) return broken("waiting for an answer");
  if (is_failure(PQresultStatus(kept.get()))) return failed(kept.get());
  return kept;
}

bool Connection::Impl::skip_copy(Clock::time_point until) {
  for (;;) {
    char* message = nullptr;
    const int size = PQgetCopyData(handle.get(), &message, 1);
    copy_message.reset(message);
    if (size == -1) return true;
    if (size < -1) return false;
    if (size == 0 && (!wait_for_socket(POLLIN, until) || PQconsumeInput(handle.get()) == 0)) return false;
    if (Clock::now() > until) return false;
  }
}

Error Connection::Impl::give_up() {
  cancel_beside(handle.get());
  const auto until = Clock::now() + kCancelGrace;
  bool answered = false;
  for (;;) {
    if (PQflush(handle.get()) < 0 || PQconsumeInput(handle.get()) == 0) break;
    if (PQisBusy(handle.get()) != 0) {
      if (!wait_for_socket(POLLIN, until)) break;
      continue;
    }
    ResultHandle result{PQgetResult(handle.get())};
    if (!result) {
      answered = true;
      break;
    }
    if (PQresultStatus(result.get()) == PGRES_COPY_OUT) {
      if (!skip_copy(until)) break;
      continue;
    }
    if (starts_copy(PQresultStatus(result.get()))) break;  // half a COPY cannot be ended in time
  }
  last_error.sqlstate = answered ? "57014" : "";
  last_error.message = answered ? "cancelled at the deadline" : "no answer by the deadline";
  if (!answered) handle.reset();
  if (interrupted) {
    last_error.message = "cancelled: nobody waits for the answer";
    return Error{ErrorKind::kUnknownOutcome, "database: " + last_error.message};
  }
  return Error{ErrorKind::kUnavailable, "database: " + last_error.message};
}

Error Connection::Impl::broken(const std::string& doing) {
  last_error.sqlstate.clear();
  last_error.message = handle ? trimmed(PQerrorMessage(handle.get())) : "closed";
  // What the server said before it hung up (57P01 and the like) waits as a result.
  if (handle) {
    while (PQisBusy(handle.get()) == 0) {
      const ResultHandle result{PQgetResult(handle.get())};
      if (!result) break;
      if (is_failure(PQresultStatus(result.get()))) last_error.sqlstate = field(result.get(), PG_DIAG_SQLSTATE);
      if (starts_copy(PQresultStatus(result.get()))) break;
    }
  }
  handle.reset();
  return Error{ErrorKind::kUnavailable, "database connection lost while " + doing + ": " + last_error.message};
}

Error Connection::Impl::failed(const PGresult* result) {
  last_error.sqlstate = field(result, PG_DIAG_SQLSTATE);
  last_error.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  if (last_error.message.empty()) last_error.message = trimmed(PQresultErrorMessage(result));
  last_error.detail = field(result, PG_DIAG_MESSAGE_DETAIL);
  last_error.context = field(result, PG_DIAG_CONTEXT);
  last_error.constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
  last_error.copy_line = copy_line_of(last_error.context);
  if (PQstatus(handle.get()) == CONNECTION_BAD) handle.reset();
  std::string message = "database: " + last_error.message;
  if (!last_error.sqlstate.empty()) message += " (" + last_error.sqlstate + ")";
  if (!last_error.detail.empty()) message += ": " + last_error.detail;
  return Error{error_kind_of(last_error.sqlstate), std::move(message)};
}

Result<std::string_view> Connection::Impl::receive_copy(Clock::time_point until) {
  for (;;) {
    char* message = nullptr;
    const int size = PQgetCopyData(handle.get(), &message, 1);
    copy_message.reset(message);
    if (size > 0) return std::string_view(message, static_cast<std::size_t>(size));
    if (size == -1) return std::string_view{};
    if (size < 0) return broken("copying");
    if (!wait(POLLIN, until)) return give_up();
    if (PQconsumeInput(handle.get()) == 0) return broken("receiving");
  }
}

Status Connection::Impl::send_copy(std::string_view bytes, Clock::time_point until) {
  // Chunks keep libpq's send buffer small: in non-blocking mode it would copy everything before the first byte leaves.
  constexpr std::size_t kChunk = 256 * 1024;
  while (!bytes.empty()) {
    const std::string_view chunk = bytes.substr(0, kChunk);
    const int put = PQputCopyData(handle.get(), chunk.data(), static_cast<int>(chunk.size()));
    if (put < 0) return broken("copying");
    if (put == 1) bytes.remove_prefix(chunk.size());
    if (auto flushed = flush(until); !flushed) return flushed;
  }
  for (;;) {
    const int ended = PQputCopyEnd(handle.get(), nullptr);
    if (ended == 1) return {};
    if (ended < 0) return broken("copying");
    if (auto flushed = flush(until); !flushed) return flushed;
  }
}

}  // namespace millrace::postgres
