// Fills a database with the readings that ./dev bench query asks for: four metrics of a few fast devices, every 30 s,
// and of many slow ones, every 40 minutes (36 points a series and day: a hard case). Noisy decimals and a counter, each
// a function of device, metric and time, so that two runs give the same. The rows come in the order of time, as from a
// log, into the hot days; then the writer's own maintenance compacts all days but the last ones. Device keys, the fast
// ones first, come on standard input. The database is in MILLRACE_DATABASE_URL and is migrated if it is empty.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/copy.hpp>
#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>
#include <millrace/storage_schema/statements.hpp>
#include <millrace/storage_schema/value.hpp>

#include "tiers/day_keeper.hpp"

namespace {

using namespace millrace;

constexpr std::int64_t kDaySeconds = 86'400;
constexpr std::int64_t kFastEvery = 30;
constexpr std::int64_t kSlowEvery = 2'400;
constexpr std::size_t kRowsOfCopy = 50'000;
constexpr int kDaysAtOnce = 10;  // are rows before they are compacted
const std::vector<std::string> kMetrics{"temperature", "current", "humidity", "energy"};

struct Plan {
  std::string tenant;
  std::int32_t first_day = 0;  // since the epoch, UTC
  std::int32_t days = 0;
  std::int32_t hot_days = 0;
  std::size_t fast = 0;
  std::vector<std::int32_t> devices;
  std::vector<std::int32_t> metrics;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "query_data: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result) {
  if (!result.ok()) fail(result.error().message);
  return std::move(result).value();
}

void need(const Status& status) {
  if (!status.ok()) fail(status.error().message);
}

std::uint64_t mixed(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

std::uint64_t drawn(std::int64_t second, std::size_t device, std::size_t metric) {
  return mixed(mixed(static_cast<std::uint64_t>(second)) ^ (device * 8 + metric));
}

/// One decimal for temperature and humidity, two for the current; the counter grows by some per second.
double value_at(std::int64_t second, std::size_t device, std::size_t metric) {
  const double noise = static_cast<double>(drawn(second, device, metric) % 1'000) / 1'000;
  const double wave = std::sin(static_cast<double>(second % kDaySeconds) / kDaySeconds * 6.283185307179586);
  const auto own = static_cast<double>(device % 100);
  switch (metric) {
    case 0:
      return std::round((15 + own / 10 + 5 * wave + noise) * 10) / 10;
    case 1:
      return std::round((3 + own / 100 + wave + noise) * 100) / 100;
    case 2:
      return std::round((50 + own / 5 - 10 * wave + 2 * noise) * 10) / 10;
    default:
      return std::floor(static_cast<double>(second % 100'000'000) * (1 + own / 50));
  }
}

std::int64_t every(const Plan& plan, std::size_t device) { return device < plan.fast ? kFastEvery : kSlowEvery; }
std::int64_t phase(const Plan& plan, std::size_t device) {
  return static_cast<std::int64_t>(device * 7) % every(plan, device);
}
TimeUs time_of(std::int64_t second, std::size_t device) {
  return second * kUsPerSecond + static_cast<TimeUs>(drawn(second, device, 7) % 500) * 1'000;
}

class Loader {
 public:
  Loader(postgres::Connection& connection, const Plan& plan) : connection_(connection), plan_(plan) {
    for (std::size_t device = 0; device < plan.devices.size(); ++device) {
      auto& due = device < plan.fast ? fast_due_ : slow_due_;
      due.at(static_cast<std::size_t>(phase(plan, device))).push_back(device);
    }
  }

  void day(std::int32_t day) {
    need(connection_.exec("SELECT storage.ensure_days(ARRAY[date '1970-01-01' + $1::int4])",
                          postgres::Params{}.integer(day)));
    const std::int64_t begin = day * kDaySeconds;
    for (std::int64_t second = begin; second < begin + kDaySeconds; ++second) {
      const std::int64_t in_day = second - begin;
      for (const std::size_t device : fast_due_.at(static_cast<std::size_t>(in_day % kFastEvery))) add(second, device);
      for (const std::size_t device : slow_due_.at(static_cast<std::size_t>(in_day % kSlowEvery))) add(second, device);
      if (encoder_.rows() >= kRowsOfCopy) flush();
    }
    flush();
  }

  /// The last reading of each series before `second`.
  void latest(std::int64_t second) {
    for (std::size_t device = 0; device < plan_.devices.size(); ++device) {
      const std::int64_t step = every(plan_, device);
      const std::int64_t last = second - step + phase(plan_, device);
      for (std::size_t metric = 0; metric < kMetrics.size(); ++metric) {
        encoder_.begin_row(5);
        encoder_.int4(plan_.devices[device]);
        encoder_.int4(plan_.metrics[metric]);
        encoder_.timestamptz(time_of(last, device));
        encoder_.float8(value_at(last, device, metric));
        encoder_.timestamptz(time_of(last, device));
      }
    }
    copy("COPY storage.latest (device_id, metric, time, value, max_time) FROM STDIN (FORMAT binary)");
  }

  [[nodiscard]] std::int64_t points() const { return points_; }

 private:
  void add(std::int64_t second, std::size_t device) {
    for (std::size_t metric = 0; metric < kMetrics.size(); ++metric) {
      storage_schema::encode_sample(encoder_, time_of(second, device), plan_.devices[device], plan_.metrics[metric],
                                    {storage_schema::Kind::kNumber, value_at(second, device, metric), {}}, false);
    }
  }

  void flush() {
    points_ += static_cast<std::int64_t>(encoder_.rows());
    copy(storage_schema::sql::kCopySamples);
  }

  void copy(const char* statement) {
    encoder_.finish();
    need(connection_.copy_in(statement, encoder_.bytes()));
    encoder_.clear();
  }

  postgres::Connection& connection_;
  const Plan& plan_;
  postgres::CopyEncoder encoder_;
  std::int64_t points_ = 0;
  std::vector<std::vector<std::size_t>> fast_due_ = std::vector<std::vector<std::size_t>>(kFastEvery);
  std::vector<std::vector<std::size_t>> slow_due_ = std::vector<std::vector<std::size_t>>(kSlowEvery);
};

std::unique_ptr<postgres::Connection> open_database() {
  const char* url = std::getenv("MILLRACE_DATABASE_URL");
  if (url == nullptr) fail("MILLRACE_DATABASE_URL is not set");
  postgres::ConnectOptions options;
  options.url = url;
  options.application_name = "query_data";
  options.call_timeout = std::chrono::minutes{30};
  options.statement_timeout = std::chrono::milliseconds{0};
  auto connection = need(postgres::Connection::open(options));
  need(postgres::migrate(*connection, storage_schema::kSchema, storage_schema::migrations()));
  need(storage_schema::grant_reads_to_default_roles(*connection));
  return connection;
}

std::vector<std::int32_t> metric_ids(postgres::Connection& connection, const std::string& tenant) {
  std::vector<std::int32_t> ids;
  for (const std::string& name : kMetrics) {
    const auto row =
        need(connection.exec("INSERT INTO storage.metric (tenant, name, type) VALUES ($1, $2, $3::int2) RETURNING id",
                             postgres::Params{}.text(tenant).text(name).integer(
                                 static_cast<std::int64_t>(storage_schema::MetricType::kDouble))));
    ids.push_back(static_cast<std::int32_t>(row.integer(0, 0)));
  }
  return ids;
}

/// All days before `day`, as the writer does it.
std::int64_t compact_before(postgres::Connection& connection, std::int32_t day) {
  writer::DayKeeper keeper(connection, {.hot = std::chrono::hours{0}, .quiet = std::chrono::seconds{0}},
                           [] { return false; });
  // A day that somebody uses is left to the next pass.
  std::int64_t points = 0;
  for (int pass = 0; pass < 20; ++pass) {
    const auto work = need(keeper.pass(day * kDaySeconds * kUsPerSecond));
    points += work.points_compacted;
    if (work.days_failed != 0) break;
    if (work.days_waiting == 0) return points;
  }
  fail("days could not be compacted: see storage.day.failure");
}

Plan read_plan(char** argv) {
  Plan plan;
  plan.tenant = argv[1];
  plan.first_day = std::atoi(argv[2]);
  plan.days = std::atoi(argv[3]);
  plan.hot_days = std::atoi(argv[4]);
  plan.fast = static_cast<std::size_t>(std::atoi(argv[5]));
  for (std::int32_t key = 0; std::cin >> key;) plan.devices.push_back(key);
  if (plan.devices.size() < plan.fast) fail("standard input holds fewer device keys than fast devices");
  return plan;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) fail("arguments: TENANT FIRST_DAY DAYS HOT_DAYS FAST_DEVICES (days since 1970; device keys on stdin)");
  Plan plan = read_plan(argv);
  const auto connection = open_database();
  plan.metrics = metric_ids(*connection, plan.tenant);
  Loader loader(*connection, plan);
  const std::int32_t end = plan.first_day + plan.days;
  std::int64_t compacted = 0;
  for (std::int32_t day = plan.first_day; day < end; ++day) {
    loader.day(day);
    const bool last_of_some = (day - plan.first_day) % kDaysAtOnce == kDaysAtOnce - 1 || day + 1 == end;
    if (last_of_some) compacted += compact_before(*connection, std::min(day + 1, end - plan.hot_days));
  }
  loader.latest(end * kDaySeconds);
  need(connection->script("VACUUM ANALYZE"));
  std::printf(R"({"points": %lld, "compacted": %lld})"
              "\n",
              static_cast<long long>(loader.points()), static_cast<long long>(compacted));
}
