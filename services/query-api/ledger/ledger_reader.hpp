#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/pool.hpp>

#include "ledger/ledger_hours.hpp"
#include "log/reader_pool.hpp"

namespace millrace::query_api {

/// A page of hours ends behind (hour, partition, generation).
struct LedgerPosition {
  TimeUs hour = 0;
  std::int32_t partition = -1;
  std::int32_t generation = 0;
};
struct LedgerPage {
  std::vector<std::pair<HourFacts, HourAccount>> hours;
  std::optional<LedgerPosition> next;  ///< of the last one given; none: no more
};

struct RefusedHour {
  TimeUs hour = 0;
  std::int64_t kept = 0;
};

/// The messages of one device in a stretch of its partition.
struct DeviceLedger {
  std::int32_t partition = 0;
  std::int64_t in_log = 0;
  std::int64_t pending = 0;
  std::int64_t copies = 0;
  std::int64_t dead_records = 0;
  std::int64_t points = 0;  ///< of records that are neither copies nor dead
  std::int64_t dead_points = 0;
  TimeUs log_begins = 0;     ///< 0: the log holds the whole stretch
  TimeUs continue_from = 0;  ///< 0: read to its end

  [[nodiscard]] std::int64_t stored() const { return in_log - pending - copies - dead_records; }
};

/// The ledger, from the database's rows and the log itself. Blocking, each call at most until its deadline.
/// Thread-safe.
class LedgerReader {
 public:
  static constexpr std::int64_t kMostScanned = 2'000'000;

  LedgerReader(postgres::Pool& pool, LogReaders& log, std::string topic)
      : pool_(pool), log_(log), topic_(std::move(topic)) {}

  [[nodiscard]] Result<LedgerPage> hours(TimeUs from, TimeUs to, const LedgerPosition& after, int rows,
                                         SteadyTime deadline);

  /// Refused payloads that were kept, by hour.
  [[nodiscard]] Result<std::vector<RefusedHour>> refused(TimeUs from, TimeUs to, SteadyTime deadline);

  /// `key` is that of the device's records.
  [[nodiscard]] Result<DeviceLedger> device(std::int32_t partition, const std::string& key, TimeUs from, TimeUs to,
                                            SteadyTime deadline);

 private:
  using Generations = std::map<std::int32_t, std::int64_t>;  // first offset of the current one, by partition
  struct Found {
    std::int64_t offset = 0;
    std::int64_t points = 0;
  };

  [[nodiscard]] Status ask_log(std::vector<std::pair<HourFacts, HourAccount>>& hours, const Generations& generations,
                               SteadyTime deadline);
  [[nodiscard]] Result<std::vector<Found>> scan(const std::string& key, TimeUs from, TimeUs to, DeviceLedger& ledger,
                                                SteadyTime deadline);
  [[nodiscard]] Status settle(const std::vector<Found>& found, DeviceLedger& ledger, SteadyTime deadline);

  postgres::Pool& pool_;
  LogReaders& log_;
  std::string topic_;
};

}  // namespace millrace::query_api
