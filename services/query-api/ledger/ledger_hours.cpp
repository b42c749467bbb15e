#include "ledger/ledger_hours.hpp"

#include <algorithm>

namespace millrace::query_api {
namespace {

std::int64_t surplus(std::int64_t number, std::int64_t of) { return std::max<std::int64_t>(0, number - of); }

}  // namespace

HourAccount account(const HourFacts& facts, const HourOfLog& log) {
  HourAccount account;
  const bool gone =
      facts.generation != facts.current_generation || (facts.first_offset && *facts.first_offset < log.low);
  if (gone) {
    account.missing = surplus(facts.acknowledged, facts.records);
    return account;
  }
  account.in_log = surplus(log.end, log.begin);
  account.pending = surplus(log.end, std::max(log.begin, facts.next_offset));
  account.missing =
      surplus(facts.acknowledged, *account.in_log) + surplus(*account.in_log - account.pending, facts.records);
  return account;
}

}  // namespace millrace::query_api
