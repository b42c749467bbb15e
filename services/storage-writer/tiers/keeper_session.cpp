#include "tiers/keeper_session.hpp"

#include <chrono>

namespace millrace::writer {
namespace {

constexpr std::chrono::minutes kStepDeadline{30};
// The backend of a keeper that was killed goes on with its statement, and keeps this.
constexpr const char* kLock = "7813571436803";

}  // namespace

Result<bool> KeeperSession::take() {
  auto mine = connection_.exec(std::string("SELECT pg_try_advisory_lock(") + kLock + ")");
  if (!mine) return mine.error();
  return mine->boolean(0, 0);
}

void KeeperSession::give_back() {
  if (!connection_.exec(std::string("SELECT pg_advisory_unlock(") + kLock + ")")) connection_.close();
}

Result<postgres::Rows> KeeperSession::step(std::string_view name, const std::string& sql,
                                           const postgres::Params& params) {
  if (on_step_) on_step_(name);
  connection_.set_deadline(postgres::Clock::now() + kStepDeadline);
  auto rows = connection_.exec(sql, params);
  connection_.set_deadline(std::nullopt);
  if (rows && on_step_) on_step_(std::string(name) + "-done");
  return rows;
}

}  // namespace millrace::writer
