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

/// Numbers with short and long texts and large integers among them, over a hot day, a compacted one and a late row of
/// it.
TEST_F(QueryApi, AnExportGivesLongTextsInTheirPlaces) {
  const std::int32_t state = metric("acme", "state", storage_schema::MetricType::kDouble);
  sql("SELECT storage.ensure_days('{2026-01-01, 2026-01-02}')");
  const std::string series = std::to_string(kMeter) + ", " + std::to_string(state);
  sql("INSERT INTO storage.sample (time, device_id, metric, value, kind, other) SELECT timestamptz '2026-01-01 "
      "00:00:00Z' +"
      " i * interval '8 seconds', " +
      series +
      ", CASE WHEN i % 5 > 0 THEN i END, CASE WHEN i % 5 > 0 THEN NULL WHEN i % 35 = 0 THEN 1 ELSE 3 END,"
      " CASE WHEN i % 5 > 0 THEN NULL WHEN i % 35 = 0 THEN (9007199254740993 + i)::text ELSE repeat('x', i % 400) || i "
      "END"
      " FROM generate_series(0, 21599) i");
  sql("SELECT storage.close_day('2026-01-01')");
  sql("SELECT storage.build_some('2026-01-01', 2000000)");
  sql("SELECT storage.swap_day('2026-01-01')");
  sql("INSERT INTO storage.sample (time, device_id, metric, value) VALUES ('2026-01-01 12:00:00.5Z', " + series +
      ", -1)");
  start_service();
  const auto compacted = database_->exec("SELECT state = 3 FROM storage.day WHERE day = '2026-01-01'");
  ASSERT_TRUE(compacted.ok() && compacted->size() == 1 && compacted->boolean(0, 0));
  api::ExportRequest request;
  request.set_from_us(kStart);
  request.set_to_us(kStart + 2 * 86'400 * kUsPerSecond);
  const auto call = context(kAcmeKey);
  const auto pieces = stub_->Export(call.get(), request);
  std::string file;
  for (api::ExportResponse piece; pieces->Read(&piece);) file += piece.data();
  ASSERT_TRUE(pieces->Finish().ok());
  const auto expected = database_->exec(
      "SELECT 'meter-1,state,' || to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') ||"
      " CASE WHEN value = -1 THEN '.500Z,' ELSE 'Z,' END || CASE kind WHEN 1 THEN 'int,' || other WHEN 3 THEN"
      " 'string,\"' || other || '\"' ELSE 'double,' || value END || ',' FROM storage.point ORDER BY time");
  ASSERT_TRUE(expected.ok());
  std::string wanted = "device,metric,time,type,value,untimed\r\n";
  for (int row = 0; row < expected->size(); ++row) wanted.append(expected->text(row, 0)).append("\r\n");
  EXPECT_EQ(expected->size(), 21'601);
  EXPECT_EQ(file, wanted);
}

}  // namespace
}  // namespace millrace::query_api
