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
#include <millrace/rpc/worker_pool.hpp>

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

/// The right to have one worker process that works for a call at a time. May be kept while no thread works for its
/// call.
class WorkerSeat {
 public:
  ~WorkerSeat();
  WorkerSeat(const WorkerSeat&) = delete;
  WorkerSeat& operator=(const WorkerSeat&) = delete;

 private:
  friend class ColdReader;
  explicit WorkerSeat(std::counting_semaphore<64>& seats) : seats_(seats) {}

  std::counting_semaphore<64>& seats_;
};
using SharedSeat = std::shared_ptr<const WorkerSeat>;

/// A seat in use by the thread that took it. While it is waited for and held, the call leaves its thread to others
/// (rpc::WorkerPool::step_aside()).
class ColdPlace {
 public:
  ~ColdPlace() = default;
  ColdPlace(const ColdPlace&) = delete;
  ColdPlace& operator=(const ColdPlace&) = delete;

 private:
  friend class ColdReader;
  ColdPlace(rpc::WorkerPool::Aside aside, SharedSeat seat) : aside_(std::move(aside)), seat_(std::move(seat)) {}

  rpc::WorkerPool::Aside aside_;
  SharedSeat seat_;
};
using SharedPlace = std::shared_ptr<const ColdPlace>;

/// Rows of files as parquet-worker sends them: one file after the other, each by device, metric, time. Keeps a worker
/// process until it goes. One thread.
class ColdStream final : public archive::RowSource {
 public:
  explicit ColdStream(SharedPlace place) : place_(std::move(place)) {}
  [[nodiscard]] Status start(const std::string& program, const archive_format::Fields& request,
                             const Patience& patience);
  [[nodiscard]] Result<const archive::Row*> next() override;

 private:
  const SharedPlace place_;
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

  /// Waits for one of the places. Nothing that others wait for may be held meanwhile, a connection above all: who needs
  /// one too takes the place first. kPrecondition: this query-api was told of no archive; kThrottled: all workers are
  /// busy until the deadline, or as many calls wait for one as may. Who has a seat gives it, and waits for none.
  [[nodiscard]] Result<SharedPlace> place(const Patience& patience, SharedSeat seat = nullptr);

  /// Waits for a seat, for a worker that reads no archive or lives longer than one read. As place(), but without an
  /// archive too.
  [[nodiscard]] Result<SharedSeat> seat(const Patience& patience);
  /// Path of the program.
  [[nodiscard]] const std::string& worker() const { return settings_.worker; }

  /// Starts a worker at the place, one at a time.
  [[nodiscard]] Result<std::unique_ptr<ColdStream>> open(SharedPlace place, const std::vector<std::string>& files,
                                                         const ColdRange& range, const Patience& patience) const;
  /// Both.
  [[nodiscard]] Result<std::unique_ptr<ColdStream>> open(const std::vector<std::string>& files, const ColdRange& range,
                                                         const Patience& patience, SharedSeat seat = nullptr);

  /// Rows of one series in time order: range.limit at most, and about `most_bytes`, cut behind a whole row.
  [[nodiscard]] Result<ColdRows> series(const std::vector<std::string>& files, const ColdRange& range,
                                        std::int64_t most_bytes, const Patience& patience);

 private:
  [[nodiscard]] Result<SharedSeat> wait_for_seat(const Patience& patience);

  archive::StoreSettings settings_;
  std::counting_semaphore<64> seats_;
};

}  // namespace millrace::query_api
