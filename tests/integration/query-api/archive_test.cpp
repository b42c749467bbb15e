// Reads over days that are in the database, in files, or partly in both.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>

#include <gtest/gtest.h>

#include "archived_days.hpp"
#include "eventually.hpp"
#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using Stub = api::QueryService::StubInterface;
using storage_schema::MetricType;

constexpr TimeUs kDay = 86'400 * kUsPerSecond;
constexpr std::int32_t kSecond = 9;  // device meter-2 of acme

class QueryArchive : public QueryApi {
 protected:
  void SetUp() override {
    QueryApi::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    days_.emplace(database_url_, database_name_);
    archive_ = days_->settings();
    put_device("acme", "meter-2", kSecond);
    sql("SELECT storage.ensure_days(ARRAY['2026-01-01', '2026-01-02', '2026-01-03']::date[])");
    number_ = metric("acme", "number", MetricType::kDouble);
    integer_ = metric("acme", "integer", MetricType::kInteger);
    mixed_ = metric("acme", "mixed", MetricType::kText);
    for (int i = 0; i < 300; ++i) {
      const TimeUs time = kStart + i * (3 * kDay / 300);
      insert_sample(kMeter, number_, time, i * 0.125);
      if (i % 3 != 0) insert_sample(kSecond, number_, time + i % 2, 40.0 - i);
      insert_sample(kMeter, integer_, time, (std::int64_t{1} << 53) + i);
      if (i % 10 == 0) insert_sample(kMeter, mixed_, time, std::string("é ") + std::to_string(i));
      if (i % 10 == 1) insert_sample(kMeter, mixed_, time, i % 20 == 1);
      if (i % 10 == 2) insert_sample(kMeter, mixed_, time, telemetry::Json{"{\"i\": " + std::to_string(i) + "}"});
      if (i % 10 == 3) insert_sample(kForeigner, number_, time, 5.0);  // its key lies between theirs
    }
  }
  void TearDown() override {
    QueryApi::TearDown();
    days_.reset();
  }

  void archive_all() {
    days_->take_all();
    const auto left = database_->exec("SELECT count(*) FROM storage.sample");
    ASSERT_EQ(left->integer(0, 0), 0) << "everything is archived";
  }

  /// All pages of a request as one text.
  template <class Request, class Response>
  std::string answer(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), Request request) {
    Response whole;
    do {
      Response page;
      const auto status = (stub_.get()->*method)(context(kAcmeKey).get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message() << "\n" << request.ShortDebugString();
      request.set_page_token(page.next_page_token());
      page.clear_next_page_token();
      whole.MergeFrom(page);
    } while (!request.page_token().empty());
    return whole.DebugString();
  }

  void add_ranges(std::vector<std::string>& all, const std::string& name) {
    auto request = range(name, kStart - kDay, kStart + 5 * kDay);
    request.set_page_size(70);
    all.push_back(answer(&Stub::Range, request));
    all.push_back(answer(&Stub::Range, range(name, kStart + kDay / 3, kStart + kDay + 1)));
    request.set_step_us(kDay / 7);
    request.set_page_size(5);
    all.push_back(answer(&Stub::Range, request));
    request = range(name, kStart + 17, kStart + 3 * kDay);
    request.set_points(40);
    all.push_back(answer(&Stub::Range, request));
    request.set_downsampling(api::DOWNSAMPLING_LTTB);
    all.push_back(answer(&Stub::Range, request));
  }

  void add_aggregates(std::vector<std::string>& all) {
    api::AggregateRequest request;
    request.set_metric("number");
    request.set_from_us(kStart - 40 * kDay);
    request.set_to_us(kStart + 40 * kDay);
    request.set_step_us(kDay / 4);
    request.set_page_size(3);
    all.push_back(answer(&Stub::Aggregate, request));
    // The one page with numbers comes behind an empty stretch, and is the last.
    request.set_step_us(kDay);
    request.set_page_size(10);
    request.set_to_us(kStart + 5 * kDay);
    all.push_back(answer(&Stub::Aggregate, request));
    request.set_to_us(kStart + 40 * kDay);
    request.set_page_size(3);
    request.clear_step_us();
    request.set_unit(api::CALENDAR_UNIT_DAY);
    request.set_time_zone("Europe/Berlin");
    all.push_back(answer(&Stub::Aggregate, request));
    request.add_devices("meter-2");
    request.set_from_us(kStart + 3 * kDay / 2);
    request.set_unit(api::CALENDAR_UNIT_WEEK);
    all.push_back(answer(&Stub::Aggregate, request));
  }

  void add_ranks(std::vector<std::string>& all) {
    api::TopNRequest request;
    request.set_metric("number");
    request.set_from_us(kStart + 7);
    request.set_to_us(kStart + 5 * kDay / 2);
    for (const bool lowest : {false, true}) {
      for (const api::Figure figure : {api::FIGURE_MEAN, api::FIGURE_MAX, api::FIGURE_SUM, api::FIGURE_COUNT}) {
        request.set_lowest(lowest);
        request.set_figure(figure);
        api::TopNResponse ranked;
        const auto status = stub_->TopN(context(kAcmeKey).get(), request, &ranked);
        EXPECT_TRUE(status.ok()) << status.error_message();
        EXPECT_EQ(ranked.entries_size(), 2);
        all.push_back(ranked.DebugString());
      }
    }
  }

  std::string exported(const api::ExportRequest& request, grpc::StatusCode wanted = grpc::StatusCode::OK) {
    const auto call = context(kAcmeKey, std::chrono::seconds(600));
    const auto pieces = stub_->Export(call.get(), request);
    std::string text;
    for (api::ExportResponse piece; pieces->Read(&piece);) text += piece.data();
    EXPECT_EQ(pieces->Finish().error_code(), wanted);
    return text;
  }

  void add_exports(std::vector<std::string>& all) {
    api::ExportRequest request;
    request.set_from_us(kStart - kDay);
    request.set_to_us(kStart + 5 * kDay);
    all.push_back(exported(request));
    request.set_from_us(kStart + kDay / 2 + 1);
    request.set_to_us(kStart + 3 * kDay / 2);
    request.add_metrics("integer");
    request.add_metrics("number");
    all.push_back(exported(request));
    request.add_devices("meter-2");
    all.push_back(exported(request));
  }

  /// What every read of samples says.
  std::vector<std::string> answers() {
    std::vector<std::string> all;
    for (const char* name : {"number", "integer", "mixed"}) add_ranges(all, name);
    add_aggregates(all);
    add_ranks(all);
    add_exports(all);
    return all;
  }

  std::optional<ArchivedDays> days_;
  std::int32_t number_ = 0;
  std::int32_t integer_ = 0;
  std::int32_t mixed_ = 0;
};

TEST_F(QueryArchive, EveryReadIsTheSameOverDatabaseFilesAndBoth) {
  start_service();
  auto before = answers();
  ASSERT_EQ(before.size(), 30U);
  archive_all();
  EXPECT_EQ(answers(), before) << "from files";

  insert_sample(kMeter, number_, kStart + 5, 77.5);               // new
  insert_sample(kMeter, number_, kStart + 3 * kDay / 300, 88.5);  // instead of an archived one
  insert_sample(kMeter, mixed_, kStart + 2 * kDay + 9, std::string("late"));
  api::RangeResponse page;
  ASSERT_TRUE(stub_->Range(context(kAcmeKey).get(), range("number", kStart, kStart + kDay / 50), &page).ok());
  ASSERT_EQ(page.samples_size(), 3);
  EXPECT_EQ(page.samples(0).value().double_value(), 0);
  EXPECT_EQ(page.samples(1).value().double_value(), 77.5);
  EXPECT_EQ(page.samples(2).value().double_value(), 88.5);
  auto late = answers();
  EXPECT_NE(late, before);
  archive_all();
  EXPECT_EQ(answers(), late) << "from the second generation";
}

TEST_F(QueryArchive, AnExportReadsFilesThatHoldMoreThanItKeeps) {
  sql("INSERT INTO storage.sample (time, device_id, metric, value) SELECT timestamptz '2026-01-01' + i * interval '0.5 "
      "second'"
      ", d, m, i FROM generate_series(1, 130000) i, unnest('{7, 9}'::int4[]) d, unnest('{" +
      std::to_string(number_) +
      "}'::int4[]) m WHERE i % 1728 <> 0 AND timestamptz '2026-01-01' + i * interval '0.5 second' < '2026-01-02'");
  start_service();
  api::ExportRequest request;
  request.set_from_us(kStart);
  request.set_to_us(kStart + 2 * kDay);
  const std::string before = exported(request);
  EXPECT_GT(std::count(before.begin(), before.end(), '\n'), 259'000);
  archive_all();
  EXPECT_TRUE(exported(request) == before);
}

TEST_F(QueryArchive, WithoutAnArchiveAnArchivedRangeIsRefusedNotCut) {
  archive_all();
  archive_ = {};
  start_service();
  const auto refused = grpc::StatusCode::FAILED_PRECONDITION;
  EXPECT_EQ(code_of(&Stub::Range, range("number", kStart, kStart + kDay), kAcmeKey), refused);
  EXPECT_EQ(code_of(&Stub::Range, range("number", kStart + 4 * kDay, kStart + 5 * kDay), kAcmeKey),
            grpc::StatusCode::OK);
  api::TopNRequest top;
  top.set_metric("number");
  top.set_from_us(kStart);
  top.set_to_us(kStart + kDay);
  EXPECT_EQ(code_of(&Stub::TopN, top, kAcmeKey), refused);
  api::AggregateRequest aggregate;
  aggregate.set_metric("number");
  aggregate.set_from_us(kStart);
  aggregate.set_to_us(kStart + kDay);
  aggregate.set_step_us(kDay);
  EXPECT_EQ(code_of(&Stub::Aggregate, aggregate, kAcmeKey), refused);
  api::ExportRequest all;
  all.set_from_us(kStart);
  all.set_to_us(kStart + kDay);
  EXPECT_EQ(exported(all, refused), "");
}

TEST_F(QueryArchive, ALostFileIsAnErrorNotAGap) {
  start_service();
  archive_all();
  std::filesystem::remove_all(days_->store());
  std::filesystem::create_directories(days_->store());
  api::RangeResponse page;
  const auto status = stub_->Range(context(kAcmeKey).get(), range("number", kStart, kStart + kDay), &page);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(page.samples_size(), 0);
}

TEST_F(QueryArchive, StampedReadingsOfOneMicrosecondAreAllThereWhereverPagesAndPiecesAreCut) {
  constexpr int kCrowd = 8'100;  // more than a piece of an export holds
  const std::string crowd =
      "INSERT INTO storage.sample (time, device_id, metric, value, untimed) SELECT timestamptz"
      " '2026-01-02 12:00:00.5' + i * interval '1 microsecond', 7, " +
      std::to_string(number_) + ", %v + i, true FROM generate_series(0, %n) i";
  const auto insert = [&](const std::string& first, int last) {
    std::string text = crowd;
    text.replace(text.find("%v"), 2, first).replace(text.find("%n"), 2, std::to_string(last));
    sql(text);
  };
  insert("0", kCrowd - 1);
  start_service();
  archive_all();
  insert("100000", kCrowd - 1);
  const auto pages = [this](int rows) {
    auto request = range("number", kStart + kDay, kStart + 2 * kDay);
    request.set_page_size(rows);
    return answer(&Stub::Range, request);
  };
  const auto in_pages = pages(2'003);
  api::ExportRequest whole_day;
  whole_day.set_from_us(kStart + kDay);
  whole_day.set_to_us(kStart + 2 * kDay);
  const auto piece = exported(whole_day);
  archive_all();
  EXPECT_EQ(pages(10'000), in_pages) << "as the next file has it";
  EXPECT_EQ(exported(whole_day), piece);
  std::size_t rows = 0;
  for (std::size_t at = 0; (at = in_pages.find("samples", at)) != std::string::npos; ++at) ++rows;
  EXPECT_EQ(rows, 2U * kCrowd + 100U);
}

/// A parquet-worker that begins when it may.
class HeldWorker {
 public:
  explicit HeldWorker(std::string folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
    std::ofstream script(program());
    script << "#!/bin/sh\necho begun >> '" << folder_ << "/begun'\nwhile [ ! -e '" << folder_
           << "/go' ]; do sleep 0.05; done\nexec " << PARQUET_WORKER << " \"$@\"\n";
    script.close();
    std::filesystem::permissions(program(), std::filesystem::perms::owner_all);
  }
  ~HeldWorker() {
    let_go();
    std::filesystem::remove_all(folder_);
  }
  HeldWorker(const HeldWorker&) = delete;
  HeldWorker& operator=(const HeldWorker&) = delete;

  [[nodiscard]] std::string program() const { return folder_ + "/worker"; }
  [[nodiscard]] std::ptrdiff_t begun() const {
    std::ifstream file(folder_ + "/begun");
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }
  void let_go() const { std::ofstream(folder_ + "/go").flush(); }

 private:
  const std::string folder_;
};

TEST_F(QueryArchive, WhileAllReadersOfTheArchiveAreTakenOtherReadsAnswer) {
  archive_all();
  insert_sample(kMeter, number_, kStart + 20 * kDay, 5.0);
  const HeldWorker worker((std::filesystem::path(::testing::TempDir()) / ("worker_" + database_name_)).string());
  archive_.worker = worker.program();
  start_service();
  // Twice as many as there are readers, threads and connections.
  api::AggregateRequest aggregate;
  aggregate.set_metric("number");
  aggregate.set_from_us(kStart);
  aggregate.set_to_us(kStart + kDay);
  aggregate.set_step_us(kDay);
  api::TopNRequest top;
  top.set_metric("number");
  top.set_from_us(kStart);
  top.set_to_us(kStart + kDay);
  std::vector<std::future<grpc::StatusCode>> archived;
  const auto begin = [&](auto method, const auto& request) {
    archived.push_back(std::async(std::launch::async, [=, this] { return code_of(method, request, kAcmeKey); }));
  };
  begin(&Stub::Aggregate, aggregate);
  begin(&Stub::TopN, top);
  begin(&Stub::Range, range("number", kStart, kStart + kDay));
  begin(&Stub::Aggregate, aggregate);
  ASSERT_TRUE(testing::eventually([&] { return worker.begun() == 2; }));
  for (int i = 0; i < 5; ++i) {
    api::RangeResponse page;
    const auto answered =
        stub_->Range(context(kAcmeKey).get(), range("number", kStart + 19 * kDay, kStart + 21 * kDay), &page);
    ASSERT_TRUE(answered.ok()) << answered.error_message();
    EXPECT_EQ(page.samples_size(), 1);
  }
  EXPECT_EQ(worker.begun(), 2);
  for (const auto& call : archived) {
    EXPECT_EQ(call.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "it still waits";
  }
  worker.let_go();
  for (auto& call : archived) EXPECT_EQ(call.get(), grpc::StatusCode::OK);
}

}  // namespace
}  // namespace millrace::query_api
