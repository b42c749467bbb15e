#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/backoff.hpp>
#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/sqlstate.hpp>

namespace millrace::postgres {

using Clock = std::chrono::steady_clock;

struct ConnectOptions {
  std::string url;                                   ///< libpq URI or key/value string; secrets stay in here
  std::string application_name = "millrace";         ///< shown in pg_stat_activity
  std::chrono::milliseconds connect_timeout{5'000};  ///< for the whole way to a ready session
  std::chrono::milliseconds call_timeout{10'000};    ///< for each call without a deadline of its own
  /// Server-side statement_timeout of the session; 0: none. A backend that lost its client ends by it.
  std::chrono::milliseconds statement_timeout{60'000};
  /// Server-side: a session that says nothing for so long inside a transaction is ended, so that a client that hangs
  /// (a stopped process, a paused machine) does not keep its locks from the one that takes over.
  std::chrono::milliseconds idle_in_transaction_timeout{5'000};
  std::string search_path;  ///< empty: the server's default
};

/// Parameters $1, $2, … of one statement. Scalars go as text and take the type the statement gives them; bytea,
/// timestamptz and arrays go binary with their own type. Holds copies. At most 65,535 (protocol 3.0, Bind).
class Params {
 public:
  Params& null();
  Params& text(std::string_view value);
  Params& integer(std::int64_t value);
  Params& float8(
      double value);  ///< shortest text that reads back the same; NaN and infinities as PostgreSQL spells them
  Params& boolean(bool value);  // NOLINT: the value, not a mode
  Params& bytea(std::string_view bytes);
  Params& timestamptz(TimeUs value);
  Params& optional_text(const std::optional<std::string>& value);
  Params& int2_array(std::span<const std::int16_t> values);
  Params& int4_array(std::span<const std::int32_t> values);
  Params& int8_array(std::span<const std::int64_t> values);
  Params& float8_array(std::span<const double> values);
  Params& timestamptz_array(std::span<const TimeUs> values);
  Params& text_array(std::span<const std::string> values);
  /// Arrays with holes: an empty optional is NULL.
  Params& float8_array(std::span<const std::optional<double>> values);
  Params& int2_array(std::span<const std::optional<std::int16_t>> values);
  Params& text_array(std::span<const std::optional<std::string>> values);
  [[nodiscard]] std::size_t size() const { return values_.size(); }

 private:
  friend class Connection;
  struct Value {
    std::string bytes;
    unsigned oid = 0;  // 0: as the statement says
    int format = 0;    // 0 text, 1 binary
    bool is_null = false;
  };
  std::vector<Value> values_;
};

/// One row of a binary COPY … TO STDOUT. Fields are decoded as those of Rows; asking a NULL or another type ends the
/// process. Views live during the callback.
class CopyFields {
 public:
  static constexpr int kMost = 16;

  /// False: `bytes` are not one row of at most kMost fields.
  [[nodiscard]] bool parse(std::string_view bytes);

  [[nodiscard]] int size() const { return size_; }
  [[nodiscard]] bool is_null(int column) const { return fields_[index(column)].data() == nullptr; }
  [[nodiscard]] std::int64_t integer(int column) const;  ///< int2, int4, int8
  [[nodiscard]] double float8(int column) const;
  [[nodiscard]] bool boolean(int column) const;
  [[nodiscard]] TimeUs timestamptz(int column) const;
  [[nodiscard]] std::string_view text(int column) const;

 private:
  [[nodiscard]] std::size_t index(int column) const;
  [[nodiscard]] std::string_view field(int column, std::size_t bytes) const;

  std::array<std::string_view, kMost> fields_{};
  int size_ = 0;
};

/// The rows of one answer. The accessors decode the binary format of the types int2, int4, int8, float4, float8, bool,
/// text-likes, bytea, json, jsonb, uuid (text form) and timestamptz; cast numeric and others in the statement. Asking a
/// NULL or a column of another type ends the process: it is a fault of the program. Views live as long as the Rows.
class Rows {
 public:
  Rows();
  Rows(Rows&&) noexcept;
  Rows& operator=(Rows&&) noexcept;
  ~Rows();

  [[nodiscard]] int size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Rows that an INSERT, UPDATE, DELETE or COPY touched.
  [[nodiscard]] std::int64_t affected() const;
  [[nodiscard]] bool is_null(int row, int column) const;
  [[nodiscard]] std::int64_t integer(int row, int column) const;  ///< int2, int4, int8
  [[nodiscard]] double float8(int row, int column) const;         ///< float4, float8
  [[nodiscard]] bool boolean(int row, int column) const;
  [[nodiscard]] TimeUs timestamptz(int row, int column) const;     ///< infinities: the ends of int64
  [[nodiscard]] std::string_view text(int row, int column) const;  ///< text, varchar, name, json, jsonb, bytea
  [[nodiscard]] std::vector<std::int32_t> int4_array(int row, int column) const;

 private:
  friend class Connection;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One session. Not thread-safe. Every call blocks until the server answers, at most until the deadline; at the
/// deadline the statement is cancelled, and if the server does not even answer that within a second (it hangs), the
/// connection is closed and usable() is false. Errors: error_kind_of(last_error().sqlstate); a lost connection is
/// kUnavailable, except in commit().
class Connection {
 public:
  /// Connects once, within options.connect_timeout.
  [[nodiscard]] static Result<std::unique_ptr<Connection>> open(const ConnectOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Deadline of the following calls, until cleared by an empty one (then options.call_timeout holds for each call).
  void set_deadline(std::optional<Clock::time_point> deadline);

  /// Asked about every 20 ms while a call waits for the server; true cancels its statement as the deadline does, and
  /// the call fails with kUnknownOutcome. Must not block. Empty: nobody is asked.
  void set_interrupt(std::function<bool()> interrupt);

  /// One statement with parameters; answers in binary. Prepared statements: see prepare().
  [[nodiscard]] Result<Rows> exec(std::string_view sql, const Params& params = {});
  /// Several statements without parameters, in one implicit transaction unless they say otherwise.
  [[nodiscard]] Status script(std::string_view sql);
  /// Prepares `sql` under `name` for this session. Arrays, bytea and timestamptz need the type in the SQL
  /// (`$1::int4[]`) where it does not follow from the context.
  [[nodiscard]] Status prepare(const std::string& name, std::string_view sql);
  [[nodiscard]] Result<Rows> exec_prepared(const std::string& name, const Params& params = {});
  /// `COPY … FROM STDIN (FORMAT binary)` with everything a CopyEncoder finished. Returns the number of rows. Inside a
  /// transaction a failure leaves the transaction aborted: roll back. last_error().copy_line names the bad row.
  [[nodiscard]] Result<std::int64_t> copy_in(std::string_view copy_statement, std::string_view bytes);

  /// `COPY (…) TO STDOUT (FORMAT binary)`: calls `row` for each row as it comes, so that an answer of any length needs
  /// the memory of one row here. `row` must not use the connection. Returns the number of rows.
  [[nodiscard]] Result<std::int64_t> copy_out(std::string_view copy_statement,
                                              const std::function<void(const CopyFields&)>& row);

  [[nodiscard]] Status begin();
  /// kUnknownOutcome if the connection broke meanwhile: it may or may not have been committed; read it back.
  [[nodiscard]] Status commit();
  /// Also ends an aborted transaction. A failure closes the connection, which rolls back on the server.
  void rollback();

  /// False once the connection is gone; every call then fails with kUnavailable.
  [[nodiscard]] bool usable() const;
  [[nodiscard]] bool in_transaction() const;
  /// Drops the connection at once.
  void close();
  /// About the last call that failed.
  [[nodiscard]] const ServerError& last_error() const;
  /// server_version_num, as 150004.
  [[nodiscard]] int server_version() const;
  [[nodiscard]] int backend_pid() const;

 private:
  struct Impl;
  explicit Connection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// begin() … commit(); the destructor rolls back what was not committed. Borrows the connection.
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Connection& connection);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  [[nodiscard]] Status commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

/// Opens, waiting between failures as `backoff` says, until it succeeds or `stop` is requested (kUnavailable).
/// `on_failure` is called after each failure, for the log.
[[nodiscard]] Result<std::unique_ptr<Connection>> open_with_backoff(
    const ConnectOptions& options, Backoff backoff, const std::stop_token& stop,
    const std::function<void(const Error&)>& on_failure);

/// `text` as an SQL identifier in double quotes; for schema and role names in DDL, which takes no parameters.
[[nodiscard]] std::string quote_identifier(std::string_view text);
/// `text` as an SQL literal in single quotes (standard_conforming_strings).
[[nodiscard]] std::string quote_literal(std::string_view text);

}  // namespace millrace::postgres
