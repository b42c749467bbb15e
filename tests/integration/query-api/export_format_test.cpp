// Exports as Parquet and as Arrow's IPC stream: the points of CSV, and a worker process that costs nobody else
// anything.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include <gtest/gtest.h>

#include "archived_days.hpp"
#include "eventually.hpp"
#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using storage_schema::MetricType;

constexpr TimeUs kDay = 86'400 * kUsPerSecond;

class QueryExportFormat : public QueryApi {
 protected:
  void SetUp() override {
    QueryApi::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    days_.emplace(database_url_, database_name_);
    archive_ = days_->settings();
    folder_ = (std::filesystem::path(::testing::TempDir()) / ("formats_" + database_name_)).string();
    std::filesystem::create_directories(folder_);
    sql("SELECT storage.ensure_days(ARRAY['2026-01-01', '2026-01-02', '2026-01-03']::date[])");
    number_ = metric("acme", "number", MetricType::kDouble);
  }
  void TearDown() override {
    QueryApi::TearDown();
    days_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  void insert_every_type() {
    const std::int32_t integer = metric("acme", "integer", MetricType::kInteger);
    const std::int32_t mixed = metric("acme", "mixed \"one\"", MetricType::kText);
    for (int i = 0; i < 300; ++i) {
      const TimeUs time = kStart + i * (3 * kDay / 300);
      insert_sample(kMeter, number_, time, i * 0.1);
      insert_sample(kMeter, integer, time, i % 2 == 0 ? std::int64_t{i} : (std::int64_t{1} << 53) + i);
      if (i % 10 == 0) insert_sample(kMeter, mixed, time, std::string("é \"quoted\", ") + std::to_string(i));
      if (i % 10 == 1) insert_sample(kMeter, mixed, time, i % 20 == 1);
      if (i % 10 == 2) insert_sample(kMeter, mixed, time, telemetry::Json{"{\"i\": " + std::to_string(i) + "}"});
      if (i % 10 == 3) insert_sample(kForeigner, number_, time, 5.0);
    }
    sql("UPDATE storage.sample SET untimed = true WHERE extract(hour FROM time) = 7");
  }

  void insert_many(int rows) {
    sql("INSERT INTO storage.sample (time, device_id, metric, value) SELECT timestamptz '2026-01-01 00:00:00Z' + i * "
        "interval '0.5 second', " +
        std::to_string(kMeter) + ", " + std::to_string(number_) + ", i FROM generate_series(0, " +
        std::to_string(rows - 1) + ") i");
  }

  static api::ExportRequest whole(api::ExportFormat format, TimeUs from = kStart - kDay,
                                  TimeUs to = kStart + 5 * kDay) {
    api::ExportRequest request;
    request.set_from_us(from);
    request.set_to_us(to);
    request.set_format(format);
    return request;
  }

  struct Exported {
    std::string file;
    std::int64_t points = 0;
    grpc::Status status;
  };
  Exported exported(const api::ExportRequest& request, std::chrono::seconds deadline = std::chrono::seconds(300)) {
    const auto call = context(kAcmeKey, deadline);
    const auto pieces = stub_->Export(call.get(), request);
    Exported all;
    for (api::ExportResponse piece; pieces->Read(&piece);) {
      all.file += piece.data();
      all.points += piece.points();
    }
    all.status = pieces->Finish();
    return all;
  }

  /// What a reader with Arrow finds in the file, as the lines of CSV.
  std::string lines_of(const std::string& file) const {
    const std::string path = folder_ + "/export";
    std::ofstream(path, std::ios::binary) << file;
    FILE* reader = ::popen((std::string(EXPORT_LINES) + " '" + path + "'").c_str(), "r");
    std::string lines;
    std::array<char, 65536> piece{};
    for (std::size_t got = 0; (got = std::fread(piece.data(), 1, piece.size(), reader)) > 0;)
      lines.append(piece.data(), got);
    EXPECT_EQ(::pclose(reader), 0);
    return lines;
  }

  void expect_all_formats_equal(const std::string& when, TimeUs from = kStart - kDay, TimeUs to = kStart + 5 * kDay) {
    const Exported csv = exported(whole(api::EXPORT_FORMAT_CSV, from, to));
    ASSERT_TRUE(csv.status.ok()) << when << ": " << csv.status.error_message();
    for (const api::ExportFormat format : {api::EXPORT_FORMAT_PARQUET, api::EXPORT_FORMAT_ARROW}) {
      const Exported other = exported(whole(format, from, to));
      ASSERT_TRUE(other.status.ok()) << when << ": " << other.status.error_message();
      EXPECT_EQ(other.points, csv.points) << when;
      EXPECT_TRUE(lines_of(other.file) == csv.file) << when << ", " << api::ExportFormat_Name(format);
    }
  }

  /// A program in place of parquet-worker, which notes its process first.
  std::string stand_in(const std::string& what) const {
    const std::string program = folder_ + "/worker";
    std::ofstream script(program);
    script << "#!/bin/sh\necho $$ >> '" << folder_ << "/begun'\n" << what << "\n";
    script.close();
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return program;
  }
  [[nodiscard]] std::vector<pid_t> begun() const {
    std::ifstream file(folder_ + "/begun");
    return {std::istream_iterator<pid_t>(file), {}};
  }
  [[nodiscard]] bool all_ended() const {
    const auto processes = begun();
    return std::all_of(processes.begin(), processes.end(), [](pid_t one) { return ::kill(one, 0) != 0; });
  }

  std::optional<ArchivedDays> days_;
  std::string folder_;
  std::int32_t number_ = 0;
};

TEST_F(QueryExportFormat, HoldsThePointsOfCsvOverEveryTier) {
  insert_every_type();
  start_service();
  expect_all_formats_equal("hot");
  expect_all_formats_equal("nothing", kStart - 2 * kDay, kStart - kDay);
  sql("SELECT storage.close_day('2026-01-01')");
  sql("SELECT storage.build_some('2026-01-01', 2000000)");
  sql("SELECT storage.swap_day('2026-01-01')");
  insert_sample(kMeter, number_, kStart + 5, -1.5);
  expect_all_formats_equal("compacted, with a late row");
  days_->take_all();
  expect_all_formats_equal("archived");
  insert_sample(kMeter, number_, kStart + 7, std::int64_t{1} << 60);
  expect_all_formats_equal("archived, with a late row");
  expect_all_formats_equal("a part", kStart + kDay / 3, kStart + kDay + 1);
}

TEST_F(QueryExportFormat, ExportsThatHoldEveryReaderOfTheArchiveReadIt) {
  constexpr int kRows = 260'000;  // three row groups, and more than is read ahead
  insert_many(kRows);
  days_->take_all();
  start_service();
  // As many as there are readers, all of them begun before one is read on.
  const auto first_call = context(kAcmeKey, std::chrono::seconds(300));
  const auto second_call = context(kAcmeKey, std::chrono::seconds(300));
  const auto first = stub_->Export(first_call.get(), whole(api::EXPORT_FORMAT_PARQUET));
  const auto second = stub_->Export(second_call.get(), whole(api::EXPORT_FORMAT_ARROW));
  std::array<std::string, 2> files;
  std::array<std::int64_t, 2> points{};
  api::ExportResponse piece;
  const auto take = [&](auto& pieces, std::size_t which) {
    if (!pieces->Read(&piece)) return false;
    files.at(which) += piece.data();
    points.at(which) += piece.points();
    EXPECT_LT(piece.data().size(), 1'500'000U);
    return true;
  };
  ASSERT_TRUE(take(first, 0) && take(second, 1));
  while (take(first, 0)) {
  }
  while (take(second, 1)) {
  }
  const auto first_status = first->Finish();
  const auto second_status = second->Finish();
  ASSERT_TRUE(first_status.ok()) << first_status.error_message();
  ASSERT_TRUE(second_status.ok()) << second_status.error_message();
  EXPECT_EQ(points, (std::array<std::int64_t, 2>{kRows, kRows}));
  const auto csv = exported(whole(api::EXPORT_FORMAT_CSV));
  EXPECT_TRUE(lines_of(files[0]) == csv.file);
  EXPECT_TRUE(lines_of(files[1]) == csv.file);
}

TEST_F(QueryExportFormat, NeedsAWorkerButNoArchive) {
  insert_many(10);
  archive_.fields.clear();
  start_service();
  expect_all_formats_equal("hot, without an archive");
}

TEST_F(QueryExportFormat, WithoutAWorkerItSaysWhatIsMissing) {
  insert_many(10);
  archive_.worker = folder_ + "/parquet-worker";
  start_service();
  const auto refused = exported(whole(api::EXPORT_FORMAT_PARQUET));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_NE(refused.status.error_message().find("none at " + archive_.worker), std::string::npos)
      << refused.status.error_message();
  EXPECT_EQ(refused.file, "");
  EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_CSV)).points, 10);
}

TEST_F(QueryExportFormat, AWorkerThatDiesEndsItsCallAlone) {
  insert_many(10);
  archive_.worker = stand_in("exit 3");
  start_service();
  for (int i = 0; i < 5; ++i) {  // more often than there are readers
    EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_ARROW)).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(begun().size(), 5U);
  EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_CSV)).points, 10);
}

TEST_F(QueryExportFormat, TheCallersDeadlineAndHisLeavingEndAWorkerThatHangs) {
  insert_many(10);
  archive_.worker = stand_in("exec sleep 3600");
  start_service();
  EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_PARQUET), std::chrono::seconds(3)).status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_EQ(begun().size(), 1U);
  ASSERT_TRUE(testing::eventually([&] { return all_ended(); }));
  for (std::size_t i = 2; i <= 4; ++i) {
    const auto call = context(kAcmeKey, std::chrono::seconds(300));
    const auto pieces = stub_->Export(call.get(), whole(api::EXPORT_FORMAT_PARQUET));
    ASSERT_TRUE(testing::eventually([&] { return begun().size() == i; }));
    EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_CSV)).points, 10) << "others take their turns meanwhile";
    call->TryCancel();
    EXPECT_EQ(pieces->Finish().error_code(), grpc::StatusCode::CANCELLED);
    ASSERT_TRUE(testing::eventually([&] { return all_ended(); }));
  }
}

TEST_F(QueryExportFormat, ASlowReaderKeepsNoOtherFromItsTurnAndItsWorkerGoesWithIt) {
  insert_many(260'000);
  archive_.worker = stand_in("exec " PARQUET_WORKER);
  start_service();
  const auto call = context(kAcmeKey, std::chrono::seconds(300));
  const auto pieces = stub_->Export(call.get(), whole(api::EXPORT_FORMAT_ARROW));
  api::ExportResponse piece;
  ASSERT_TRUE(pieces->Read(&piece));
  ASSERT_EQ(begun().size(), 1U);
  EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_CSV)).points, 260'000);
  EXPECT_EQ(exported(whole(api::EXPORT_FORMAT_PARQUET)).points, 260'000);
  EXPECT_EQ(::kill(begun().front(), 0), 0) << "it waits for its reader";
  call->TryCancel();
  EXPECT_FALSE(pieces->Finish().ok());
  EXPECT_TRUE(testing::eventually([&] { return all_ended(); }));
}

}  // namespace
}  // namespace millrace::query_api
