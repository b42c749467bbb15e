// Export by what it costs; what it says is the oracle's.
#include <gtest/gtest.h>

#include "eventually.hpp"
#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

TEST_F(QueryApi, AnExportOfManyPiecesReadsEachRowAboutOnce) {
  constexpr int kRows = 60'000;  // eight pieces
  const std::int32_t power = metric("acme", "power", storage_schema::MetricType::kDouble);
  sql("SELECT storage.ensure_days('{2026-01-01, 2026-01-02}')");
  sql("INSERT INTO storage.sample (time, device_id, metric, value) SELECT timestamptz '2026-01-01 00:00:00Z' + i * "
      "interval "
      "'2 seconds', " +
      std::to_string(kMeter) + ", " + std::to_string(power) + ", i FROM generate_series(1, " + std::to_string(kRows) +
      ") i");
  sql("ANALYZE storage.sample");
  start_service();
  const auto read_so_far = [this] {
    const auto read = database_->exec(
        "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int8 FROM pg_stat_user_tables"
        " WHERE relname LIKE 'sample\\_2026%'");
    EXPECT_TRUE(read.ok());
    return read.ok() ? read->integer(0, 0) : 0;
  };
  // Of the INSERT and ANALYZE, once their session has told of it.
  sql("SELECT pg_stat_force_next_flush()");
  const std::int64_t before = read_so_far();
  api::ExportRequest request;
  request.set_from_us(kStart);
  request.set_to_us(kStart + 2 * 86'400 * kUsPerSecond);
  const auto call = context(kAcmeKey);
  const auto pieces = stub_->Export(call.get(), request);
  std::int64_t points = 0;
  for (api::ExportResponse piece; pieces->Read(&piece);) points += piece.points();
  ASSERT_TRUE(pieces->Finish().ok());
  EXPECT_EQ(points, kRows);
  // Sessions report what they read about once a second, when they are idle.
  ASSERT_TRUE(testing::eventually([&] { return read_so_far() - before >= kRows; }));
  EXPECT_LT(read_so_far() - before, 2 * kRows);
}

}  // namespace
}  // namespace millrace::query_api
