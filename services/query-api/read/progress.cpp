#include "read/progress.hpp"

#include <algorithm>
#include <condition_variable>
#include <limits>

#include <millrace/base/ids.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/storage_schema/statements.hpp>

namespace millrace::query_api {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPeriod{500};
constexpr milliseconds kTimeout{3'000};
constexpr std::size_t kMostWaiting = 1'024;

}  // namespace

void AsOf::note(const PartitionProgress& seen) {
  if (waiting_.empty() || waiting_.back().next_offset < seen.next_offset) waiting_.push_back(seen);
  while (!waiting_.empty() && waiting_.front().next_offset <= seen.latest_offset) {
    as_of_ = std::max(as_of_, waiting_.front().log_time);
    waiting_.pop_front();
  }
  if (waiting_.size() > kMostWaiting) waiting_.pop_back();
}

Progress::Progress(postgres::Pool& pool, kafka::Settings kafka, std::string topic, observability::Metrics& metrics)
    : pool_(pool),
      kafka_(std::move(kafka)),
      topic_(std::move(topic)),
      database_up_(metrics.gauge("millrace_query_database_up", "1 while PostgreSQL answers.")) {}

Progress::~Progress() { stop(); }

void Progress::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Progress::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Progress::run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    const Status read = read_once();
    database_up_.set(read.ok() ? 1 : 0);
    {
      const std::lock_guard lock(mutex_);
      database_ = read.ok() ? runtime::CheckResult{true, "answers"} : runtime::CheckResult{false, read.error().message};
    }
    if (!read.ok())
      log_.limited(limiter_, observability::Level::kWarn, "database does not answer",
                   {{"error", read.error().message}});
    if (read.ok()) learn_partitions();
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kPeriod, [] { return false; });
  }
}

Status Progress::read_once() {
  auto connection = pool_.acquire(postgres::Clock::now() + kTimeout);
  if (!connection.ok()) return connection.error();
  const auto rows = (*connection)->exec(storage_schema::sql::kOffsets, postgres::Params{}.text(topic_));
  if (!rows.ok()) return rows.error();
  const std::lock_guard lock(mutex_);
  for (int row = 0; row < rows->size(); ++row) {
    const auto part = static_cast<std::int32_t>(rows->integer(row, 0));
    const std::int64_t generation = rows->integer(row, 1);
    if (auto& known = generations_[part]; known != generation) {
      known = generation;
      partitions_[part] = AsOf{};
    }
    partitions_[part].note({rows->integer(row, 2), rows->integer(row, 3), rows->integer(row, 5)});
  }
  return {};
}

void Progress::learn_partitions() {
  {
    const std::lock_guard lock(mutex_);
    if (partition_count_ > 0) return;
  }
  kafka::Admin admin(kafka_);
  const auto count = admin.partitions(topic_, kTimeout);
  if (!count.ok()) return;
  const std::lock_guard lock(mutex_);
  partition_count_ = count.value();
}

std::optional<std::int32_t> Progress::partition(std::string_view tenant, std::string_view device) const {
  const std::lock_guard lock(mutex_);
  if (partition_count_ == 0) return std::nullopt;
  return partition_of(record_key(tenant, device), partition_count_);
}

TimeUs Progress::as_of(std::string_view tenant, std::string_view device) const {
  const auto where = partition(tenant, device);
  if (!where) return 0;
  const std::lock_guard lock(mutex_);
  const auto found = partitions_.find(*where);
  return found == partitions_.end() ? 0 : found->second.value();
}

TimeUs Progress::as_of_all() const {
  const std::lock_guard lock(mutex_);
  if (partition_count_ == 0 || partitions_.size() < static_cast<std::size_t>(partition_count_)) return 0;
  TimeUs least = std::numeric_limits<TimeUs>::max();
  for (const auto& [partition, as_of] : partitions_) least = std::min(least, as_of.value());
  return least;
}

runtime::CheckResult Progress::database_check() const {
  const std::lock_guard lock(mutex_);
  return database_;
}

}  // namespace millrace::query_api
