#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include <millrace/archive/merge.hpp>
#include <millrace/archive/store_settings.hpp>
#include <millrace/archive/worker_call.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>

#include "read/patience.hpp"

namespace millrace::query_api {

/// What is wanted of the files: devices, metrics and times, all of them ranges. The last ones are included, `to` is
/// not.
struct ColdRange {
  std::int32_t first_device = std::numeric_limits<std::int32_t>::min();
  std::int32_t last_device = std::numeric_limits<std::int32_t>::max();
  std::int32_t first_metric = std::numeric_limits<std::int32_t>::min();
  std::int32_t last_metric = std::numeric_limits<std::int32_t>::max();
  TimeUs from = 0;
  TimeUs to = 0;
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();  ///< rows
};

struct ColdRows {
  std::vector<archive::OwnedRow> rows;
  TimeUs to = 0;  ///< the rows are complete up to here, exclusive
};

/// Rows of files as parquet-worker sends them: one file after the other, each by device, metric, time. Keeps a worker
/// process until it goes. One thread.
class ColdStream final : public archive::RowSource {
 public:
  /// Takes over one place of `places`, which was acquired.
  explicit ColdStream(std::counting_semaphore<64>& places) : place_(places) {}
  [[nodiscard]] Status start(const std::string& program, const archive_format::Fields& request,
                             const Patience& patience);
  [[nodiscard]] Result<const archive::Row*> next() override;

 private:
  /// Gives its place back.
  struct Place {
    explicit Place(std::counting_semaphore<64>& taken) : places(taken) {}
    ~Place() { places.release(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    std::counting_semaphore<64>& places;
  };

  Place place_;
  std::unique_ptr<archive::WorkerCall> call_;
  archive::RowBlock block_;
  std::size_t at_ = 0;
  bool ended_ = false;
  archive::Row row_;
};

/// The Parquet files of archived days, read by parquet-worker as a child process. Thread-safe; blocks.
class ColdReader {
 public:
  /// At most `at_once` worker processes (1 to 64).
  ColdReader(archive::StoreSettings settings, std::size_t at_once);

  /// Keys of the files that may hold rows of [from, to), oldest first. Ask it after the hot rows were read: a day that
  /// is exchanged for its file between the two is then seen twice instead of never, and archive::merge makes one of it.
  [[nodiscard]] static Result<std::vector<std::string>> files(postgres::Connection& connection, TimeUs from, TimeUs to);

  /// kPrecondition: this query-api was told of no archive; kThrottled: all workers are busy until the deadline.
  [[nodiscard]] Result<std::unique_ptr<ColdStream>> open(const std::vector<std::string>& files, const ColdRange& range,
                                                         const Patience& patience);

  /// Rows of one series in time order: range.limit at most, and about `most_bytes`, cut behind a whole row.
  [[nodiscard]] Result<ColdRows> series(const std::vector<std::string>& files, const ColdRange& range,
                                        std::int64_t most_bytes, const Patience& patience);

 private:
  archive::StoreSettings settings_;
  std::counting_semaphore<64> places_;
};

}  // namespace millrace::query_api
