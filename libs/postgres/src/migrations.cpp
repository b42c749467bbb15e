#include <chrono>
#include <string>
#include <thread>

#include <millrace/base/digest.hpp>
#include <millrace/postgres/migrations.hpp>

namespace millrace::postgres {
namespace {

// Any one number for all schemas: the lock makes starters wait for each other, nothing more.
constexpr std::int64_t kLock = 0x6d696c6c72616365;  // "millrace"

// Whoever waits for a table makes everyone behind it wait. So a migration waits a moment, gives way and comes back.
constexpr std::string_view kGiveWay = "SET LOCAL lock_timeout = '500ms';\n";
constexpr std::chrono::seconds kPause{1};
constexpr std::chrono::minutes kPatience{5};
constexpr std::string_view kLockNotAvailable = "55P03";

// Session lock: it must span several transactions. Closing the connection also releases it.
class AdvisoryLock {
 public:
  explicit AdvisoryLock(Connection& connection) : connection_(connection) {}
  ~AdvisoryLock() {
    if (held_ && !connection_.exec("SELECT pg_advisory_unlock($1)::int", Params{}.integer(kLock))) connection_.close();
  }
  AdvisoryLock(const AdvisoryLock&) = delete;
  AdvisoryLock& operator=(const AdvisoryLock&) = delete;

  [[nodiscard]] Status take() {
    auto taken = connection_.exec("SELECT pg_advisory_lock($1)::text", Params{}.integer(kLock));
    if (!taken) return taken.error();
    held_ = true;
    return {};
  }

 private:
  Connection& connection_;
  bool held_ = false;
};

std::string hash_of(const Migration& migration) { return to_hex(bytes_of(sha256(migration.sql))); }

std::string named(const Migration& migration) {
  return "migration " + std::to_string(migration.version) + " (" + std::string(migration.name) + ")";
}

// False: another session holds a table that it changes.
Result<bool> apply(Connection& connection, const std::string& table, const Migration& migration) {
  auto transaction = Transaction::begin(connection);
  if (!transaction) return transaction.error();
  if (auto done = connection.script(std::string(kGiveWay).append(migration.sql)); !done) {
    const ServerError& at = connection.last_error();
    if (at.sqlstate == kLockNotAvailable) return false;
    return Error{done.error().kind,
                 named(migration) + ": " + done.error().message + (at.context.empty() ? "" : "; " + at.context)};
  }
  auto noted = connection.exec("INSERT INTO " + table + " (version, name, sha256) VALUES ($1, $2, $3)",
                               Params{}.integer(migration.version).text(migration.name).text(hash_of(migration)));
  if (!noted) return noted.error();
  if (auto committed = transaction->commit(); !committed) return committed.error();
  return true;
}

Status apply_patiently(Connection& connection, const std::string& table, const Migration& migration) {
  for (const auto until = Clock::now() + kPatience;;) {
    auto applied = apply(connection, table, migration);
    if (!applied) return applied.error();
    if (*applied) return {};
    if (Clock::now() >= until) {
      return Error{ErrorKind::kUnavailable, named(migration) + ": other sessions held a table that it changes for " +
                                                std::to_string(kPatience.count()) +
                                                " minutes; end long transactions (pg_stat_activity), migrate again"};
    }
    std::this_thread::sleep_for(kPause);
  }
}

Status check_applied(const Rows& applied, std::string_view schema, std::span<const Migration> migrations) {
  for (int row = 0; row < applied.size(); ++row) {
    const auto version = applied.integer(row, 0);
    const std::string where = "schema " + std::string(schema) + ", migration " + std::to_string(version);
    if (version != row + 1) return Error{ErrorKind::kCorrupt, where + ": versions in the database have a hole"};
    if (version > static_cast<std::int64_t>(migrations.size())) {
      return Error{ErrorKind::kCorrupt, where + ": the database is ahead of this binary"};
    }
    if (applied.text(row, 1) != hash_of(migrations[static_cast<std::size_t>(row)])) {
      return Error{ErrorKind::kCorrupt, where + ": was applied with another text"};
    }
  }
  return {};
}

}  // namespace

Result<int> migrate(Connection& connection, std::string_view schema, std::span<const Migration> migrations) {
  const std::string quoted = quote_identifier(schema);
  const std::string table = quoted + ".migration";
  AdvisoryLock lock(connection);
  if (auto taken = lock.take(); !taken) return taken.error();
  auto made = connection.script("CREATE SCHEMA IF NOT EXISTS " + quoted + "; CREATE TABLE IF NOT EXISTS " + table +
                                " (version int4 PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, "
                                "applied_at timestamptz NOT NULL DEFAULT now())");
  if (!made) return made.error();
  auto applied = connection.exec("SELECT version, sha256 FROM " + table + " ORDER BY version");
  if (!applied) return applied.error();
  if (auto same = check_applied(*applied, schema, migrations); !same) return same.error();
  int count = 0;
  for (std::size_t i = static_cast<std::size_t>(applied->size()); i < migrations.size(); ++i) {
    if (auto done = apply_patiently(connection, table, migrations[i]); !done) return done.error();
    ++count;
  }
  return count;
}

Result<int> schema_version(Connection& connection, std::string_view schema) {
  auto there = connection.exec("SELECT to_regclass($1) IS NOT NULL",
                               Params{}.text(std::string_view{quote_identifier(schema) + ".migration"}));
  if (!there) return there.error();
  if (!there->boolean(0, 0)) return 0;
  auto version = connection.exec("SELECT coalesce(max(version), 0) FROM " + quote_identifier(schema) + ".migration");
  if (!version) return version.error();
  return static_cast<int>(version->integer(0, 0));
}

}  // namespace millrace::postgres
