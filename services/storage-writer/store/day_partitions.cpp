#include "store/day_partitions.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace millrace::writer {
namespace {

constexpr TimeUs kDay = 86'400 * kUsPerSecond;

}  // namespace

std::int32_t day_of(TimeUs time) {
  return static_cast<std::int32_t>(time >= 0 ? time / kDay : -((-time + kDay - 1) / kDay));
}

Status DayPartitions::learn(postgres::Connection& connection) {
  const std::string name = table_.name;
  auto rows = connection.exec("SELECT to_date(substr(c.relname, " + std::to_string(name.size() + 2) +
                              "), 'YYYYMMDD') - date '1970-01-01' FROM pg_inherits i JOIN pg_class c ON c.oid = "
                              "i.inhrelid WHERE i.inhparent = 'storage." +
                              name + "'::regclass AND c.relname ~ '^" + name + "_[0-9]{8}$'");
  if (!rows) return rows.error();
  days_.clear();
  at_once_ = kMostAtOnce;
  for (int i = 0; i < rows->size(); ++i) days_.insert(static_cast<std::int32_t>(rows->integer(i, 0)));
  return {};
}

Status DayPartitions::ensure(postgres::Connection& connection, const std::set<std::int32_t>& days) {
  std::vector<std::int32_t> missing;
  for (const std::int32_t day : days) {
    if (!days_.contains(day) && days_.size() + missing.size() < most_) missing.push_back(day);
  }
  for (std::span<const std::int32_t> left(missing); !left.empty();) {
    const auto some = left.first(std::min(at_once_, left.size()));
    left = left.subspan(some.size());
    if (auto made = make(connection, some); !made) {
      at_once_ = std::max<std::size_t>(1, some.size() / 2);
      return made;
    }
    days_.insert(some.begin(), some.end());
  }
  return {};
}

Status DayPartitions::make(postgres::Connection& connection, std::span<const std::int32_t> days) {
  // The lock on the default partition waits for its readers: never longer than this, then again.
  auto transaction = postgres::Transaction::begin(connection);
  if (!transaction) return transaction.error();
  if (auto set = connection.script("SET LOCAL lock_timeout = '3s'"); !set) return set;
  auto made = connection.exec("SELECT storage." + std::string(table_.ensure) +
                                  "((SELECT array_agg(date '1970-01-01' + d) FROM unnest($1::int4[]) d))",
                              postgres::Params{}.int4_array(days));
  if (!made) return made.error();
  return transaction->commit();
}

}  // namespace millrace::writer
