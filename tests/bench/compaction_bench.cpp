// Bytes a point in each tier, and how fast a day goes from rows to segments: 10,000 devices with four metrics, fifty of
// them every 30 s, the others every 40 min (a hard case: 36 points a series and day), noisy decimals and a counter,
// times with a jitter of milliseconds. MILLRACE_BENCH_DAYS: how many days (1). Makes a database of its own; without
// MILLRACE_TEST_DATABASE_URL it skips.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>

namespace {

using namespace millrace;

constexpr const char* kDatabase = "millrace_bench_tiers";

std::unique_ptr<postgres::Connection> open(benchmark::State& state, const std::string& url) {
  postgres::ConnectOptions options;
  options.url = url;
  options.call_timeout = std::chrono::minutes(30);
  options.statement_timeout = std::chrono::minutes(30);
  auto connection = postgres::Connection::open(options);
  if (connection) return std::move(*connection);
  state.SkipWithError(connection.error().message.c_str());
  return nullptr;
}

bool check(benchmark::State& state, const Status& status) {
  if (!status) state.SkipWithError(status.error().message.c_str());
  return status.ok();
}

double ask(benchmark::State& state, postgres::Connection& connection, const std::string& sql) {
  const auto rows = connection.exec("SELECT (" + sql + ")::float8");
  if (rows && !rows->empty()) return rows->float8(0, 0);
  state.SkipWithError(rows ? "no row" : rows.error().message.c_str());
  return 0;
}

std::string with_database(const std::string& url) {
  const std::size_t path = url.find('/', url.find("://") + 3);
  return url.substr(0, path) + "/" + kDatabase + url.substr(std::min(url.find('?'), url.size()));
}

std::string fill(int days) {
  const std::string n = std::to_string(days);
  return "SELECT storage.ensure_days((SELECT array_agg(date '2026-11-01' + i) FROM generate_series(0, " + n +
         " - 1) i)); SELECT setseed(0.5);"
         "INSERT INTO storage.sample (time, device_id, metric, value) SELECT t, d, m, CASE m"
         " WHEN 1 THEN round((21 + 6 * sin(extract(epoch from t) / 13750) + random() * 2)::numeric, 1)"
         " WHEN 2 THEN round((3.6 + random() * 0.3)::numeric, 2)"
         " WHEN 3 THEN round((55 + 20 * cos(extract(epoch from t) / 13750) + random() * 4)::numeric, 1)"
         " ELSE d * 1000 + floor((extract(epoch from t) - 1793491200) / 7) END::float8"
         " FROM generate_series(1, 10000) d, LATERAL generate_series(timestamptz '2026-11-01 00:00+00' + (d % 30) * "
         "interval '1 s', timestamptz '2026-11-01 00:00+00' + " +
         n +
         " * interval '1 day' - interval '2 s', CASE WHEN d <= 50 THEN interval '30 s' ELSE interval '40 min' END) at,"
         " LATERAL (SELECT at + floor(random() * 500) * interval '1 ms') j(t), generate_series(1, 4) m ORDER BY t, d, "
         "m;"
         "VACUUM ANALYZE";
}

void compact(benchmark::State& state, postgres::Connection& connection, int days, double& locked_us) {
  for (int day = 0; day < days; ++day) {
    const std::string date = "date '2026-11-01' + " + std::to_string(day);
    if (!check(state, connection.script("SELECT storage.close_day(" + date + ")"))) return;
    while (ask(state, connection, "storage.build_some(" + date + ", 2000000)::int") != 0) {
    }
    if (ask(state, connection, "storage.is_whole(" + date + ")::int") != 1) state.SkipWithError("points are missing");
    const double locked = ask(state, connection, "storage.swap_day(" + date + ")");
    if (locked < 0) state.SkipWithError("somebody else uses the database");
    locked_us = std::max(locked_us, locked);
  }
}

void compaction(benchmark::State& state) {
  const char* url = std::getenv("MILLRACE_TEST_DATABASE_URL");
  if (url == nullptr) {
    state.SkipWithError("MILLRACE_TEST_DATABASE_URL is not set");
    return;
  }
  const char* wanted = std::getenv("MILLRACE_BENCH_DAYS");
  const int days = wanted == nullptr ? 1 : std::max(1, std::atoi(wanted));
  const auto admin = open(state, url);
  if (!admin) return;
  check(state, admin->script(std::string("DROP DATABASE IF EXISTS ") + kDatabase));
  check(state, admin->script(std::string("CREATE DATABASE ") + kDatabase));
  auto connection = open(state, with_database(url));
  if (!connection) return;
  if (!postgres::migrate(*connection, storage_schema::kSchema, storage_schema::migrations()))
    state.SkipWithError("the schema could not be made");
  const std::string script = fill(days);
  // VACUUM runs outside of the transaction of the others.
  const std::size_t vacuum = script.rfind(';') + 1;
  if (!check(state, connection->script(script.substr(0, vacuum)))) return;
  if (!check(state, connection->script(script.substr(vacuum)))) return;
  const double points = ask(state, *connection, "SELECT count(*) FROM storage.sample");
  double locked_us = 0;
  for (auto _ : state) compact(state, *connection, days, locked_us);
  const auto per_point = [&](const std::string& sql) { return ask(state, *connection, sql) / points; };
  state.SetItemsProcessed(static_cast<std::int64_t>(points));
  state.counters["bytes_per_point_hot"] = per_point("SELECT sum(bytes_before) FROM storage.day");
  state.counters["bytes_per_point_compacted"] = per_point("SELECT sum(bytes_after) FROM storage.day");
  state.counters["bytes_per_point_roll_ups"] =
      per_point("SELECT pg_total_relation_size('storage.rollup_day') + pg_total_relation_size('storage.rollup')");
  state.counters["swap_lock_ms"] = locked_us / 1000;
  connection.reset();
  check(state, admin->script(std::string("DROP DATABASE IF EXISTS ") + kDatabase));
}

BENCHMARK(compaction)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
