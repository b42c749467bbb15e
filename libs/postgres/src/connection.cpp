#include <array>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <poll.h>

#include <millrace/postgres/connection.hpp>

#include "connection_impl.hpp"

namespace millrace::postgres {
namespace {

struct ConninfoDeleter {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

// Keyword/value arrays: the URL expands first (expand_dbname), what follows overrides it.
struct Keywords {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  void add(const char* key, const char* value) {
    keys.push_back(key);
    values.push_back(value);
  }
};

// The user's own `options` in the URL stay; ours are put behind them.
std::string session_options(const ConnectOptions& options) {
  std::string text;
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, ConninfoDeleter> parsed{PQconninfoParse(options.url.c_str(), &error)};
  PQfreemem(error);
  for (const PQconninfoOption* o = parsed.get(); o != nullptr && o->keyword != nullptr; ++o) {
    if (std::string_view{o->keyword} == "options" && o->val != nullptr) text = o->val;
  }
  if (options.statement_timeout.count() > 0) {
    text += " -c statement_timeout=" + std::to_string(options.statement_timeout.count());
  }
  // The planner guesses high for arrays and functions; compiling takes longer than any statement of ours.
  text += " -c jit=off";
  text += " -c idle_in_transaction_session_timeout=" + std::to_string(options.idle_in_transaction_timeout.count());
  if (!options.search_path.empty()) text += " -c search_path=" + options.search_path;
  // A client that vanished without a word must not hold its locks until the next midnight.
  text += " -c tcp_user_timeout=15000 -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";
  return text;
}

bool wait_connect(PGconn* connection, PostgresPollingStatusType state, Clock::time_point until) {
  pollfd socket{PQsocket(connection), static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  if (left.count() <= 0) return false;
  const int ready = ::poll(&socket, 1, static_cast<int>(left.count()));
  return ready != 0;
}

void ignore_notice(void*, const PGresult*) {}

}  // namespace

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::open(const ConnectOptions& options) {
  const std::string session = session_options(options);
  Keywords words;
  words.add("dbname", options.url.c_str());
  words.add("application_name", options.application_name.c_str());
  words.add("client_encoding", "UTF8");
  words.add("options", session.c_str());
  words.add("keepalives_idle", "5");
  words.add("keepalives_interval", "5");
  words.add("keepalives_count", "3");
  words.add("tcp_user_timeout", "15000");
  words.add(nullptr, nullptr);
  const auto until = Clock::now() + options.connect_timeout;
  ConnectionHandle handle{PQconnectStartParams(words.keys.data(), words.values.data(), 1)};
  if (!handle) return Error{ErrorKind::kInternal, "database: out of memory"};
  const auto refused = [&](const char* why) {
    std::string message = why == nullptr ? PQerrorMessage(handle.get()) : why;
    while (!message.empty() && message.back() == '\n') message.pop_back();
    return Error{ErrorKind::kUnavailable, "cannot connect to the database: " + message};
  };
  if (PQstatus(handle.get()) == CONNECTION_BAD) return refused(nullptr);
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED) return refused(nullptr);
    if (!wait_connect(handle.get(), state, until)) return refused("no answer in time");
    state = PQconnectPoll(handle.get());
  }
  if (PQsetnonblocking(handle.get(), 1) != 0) return refused(nullptr);
  PQsetNoticeReceiver(handle.get(), ignore_notice, nullptr);
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->handle = std::move(handle);
  return std::unique_ptr<Connection>(new Connection(std::move(impl)));
}

void Connection::set_deadline(std::optional<Clock::time_point> deadline) { impl_->deadline = deadline; }

void Connection::set_interrupt(std::function<bool()> interrupt) { impl_->interrupt = std::move(interrupt); }

Result<Rows> Connection::exec(std::string_view sql, const Params& params) {
  if (auto ready = impl_->start_call(); !ready) return ready.error();
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
  std::vector<Oid> types;
  for (const auto& value : params.values_) {
    values.push_back(value.is_null ? nullptr : value.bytes.c_str());
    lengths.push_back(static_cast<int>(value.bytes.size()));
    formats.push_back(value.format);
    types.push_back(value.oid);
  }
  const std::string text(sql);
  auto result = impl_->sent(PQsendQueryParams(impl_->handle.get(), text.c_str(), static_cast<int>(values.size()),
                                              types.data(), values.data(), lengths.data(), formats.data(), 1));
  if (!result) return result.error();
  Rows rows;
  rows.impl_->result = std::move(*result);
  return rows;
}

Status Connection::script(std::string_view sql) {
  if (auto ready = impl_->start_call(); !ready) return ready;
  const std::string text(sql);
  auto result = impl_->sent(PQsendQuery(impl_->handle.get(), text.c_str()));
  if (!result) return result.error();
  return {};
}

Status Connection::prepare(const std::string& name, std::string_view sql) {
  if (auto ready = impl_->start_call(); !ready) return ready;
  const std::string text(sql);
  auto result = impl_->sent(PQsendPrepare(impl_->handle.get(), name.c_str(), text.c_str(), 0, nullptr));
  if (!result) return result.error();
  return {};
}

Result<Rows> Connection::exec_prepared(const std::string& name, const Params& params) {
  if (auto ready = impl_->start_call(); !ready) return ready.error();
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
  for (const auto& value : params.values_) {
    values.push_back(value.is_null ? nullptr : value.bytes.c_str());
    lengths.push_back(static_cast<int>(value.bytes.size()));
    formats.push_back(value.format);
  }
  auto result = impl_->sent(PQsendQueryPrepared(impl_->handle.get(), name.c_str(), static_cast<int>(values.size()),
                                                values.data(), lengths.data(), formats.data(), 1));
  if (!result) return result.error();
  Rows rows;
  rows.impl_->result = std::move(*result);
  return rows;
}

Result<std::int64_t> Connection::copy_in(std::string_view copy_statement, std::string_view bytes) {
  if (auto ready = impl_->start_call(); !ready) return ready.error();
  const auto until = impl_->call_deadline();
  const std::string text(copy_statement);
  if (PQsendQuery(impl_->handle.get(), text.c_str()) == 0) return impl_->broken("sending");
  auto started = impl_->finish_call(until);
  if (!started) return started.error();
  if (PQresultStatus(started->get()) != PGRES_COPY_IN)
    return Error{ErrorKind::kInternal, "not a COPY FROM STDIN: " + text};
  if (auto sent = impl_->send_copy(bytes, until); !sent) return sent.error();
  auto done = impl_->finish_call(until);
  if (!done) return done.error();
  return std::strtoll(PQcmdTuples(done->get()), nullptr, 10);
}

Status Connection::begin() { return script("BEGIN"); }

Status Connection::commit() {
  if (auto ready = impl_->start_call(); !ready) return ready;
  auto result = impl_->sent(PQsendQuery(impl_->handle.get(), "COMMIT"));
  if (!result) {
    if (usable() && !in_transaction()) return result.error();  // the server refused and rolled back (deferred checks)
    if (usable()) rollback();
    return Error{ErrorKind::kUnknownOutcome, "the commit may or may not have happened: " + result.error().message};
  }
  // COMMIT of an aborted transaction "succeeds" as a rollback.
  if (std::string_view{PQcmdStatus(result->get())} != "COMMIT") {
    return Error{ErrorKind::kInternal, "database: commit of an aborted transaction"};
  }
  return {};
}

void Connection::rollback() {
  if (!usable() || !in_transaction()) return;
  const ServerError kept = impl_->last_error;
  if (!script("ROLLBACK")) impl_->handle.reset();
  impl_->last_error = kept;
}

bool Connection::usable() const { return impl_->handle && PQstatus(impl_->handle.get()) == CONNECTION_OK; }

bool Connection::in_transaction() const {
  return impl_->handle && PQtransactionStatus(impl_->handle.get()) != PQTRANS_IDLE;
}

void Connection::close() { impl_->handle.reset(); }
const ServerError& Connection::last_error() const { return impl_->last_error; }
int Connection::server_version() const { return impl_->handle ? PQserverVersion(impl_->handle.get()) : 0; }
int Connection::backend_pid() const { return impl_->handle ? PQbackendPID(impl_->handle.get()) : 0; }

Result<Transaction> Transaction::begin(Connection& connection) {
  if (auto begun = connection.begin(); !begun) return begun.error();
  return Transaction{connection};
}

Transaction::Transaction(Transaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}

Transaction::~Transaction() {
  if (connection_ != nullptr) connection_->rollback();
}

Status Transaction::commit() { return std::exchange(connection_, nullptr)->commit(); }

Result<std::unique_ptr<Connection>> open_with_backoff(const ConnectOptions& options, Backoff backoff,
                                                      const std::stop_token& stop,
                                                      const std::function<void(const Error&)>& on_failure) {
  std::mutex mutex;
  std::condition_variable_any wake;
  for (;;) {
    auto connection = Connection::open(options);
    if (connection) return connection;
    if (on_failure) on_failure(connection.error());
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, backoff.next(), [] { return false; });
    if (stop.stop_requested()) return Error{ErrorKind::kUnavailable, "stopped while connecting to the database"};
  }
}

namespace {
std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out + quote;
}
}  // namespace

std::string quote_identifier(std::string_view text) { return quoted(text, '"'); }
std::string quote_literal(std::string_view text) { return quoted(text, '\''); }

}  // namespace millrace::postgres
