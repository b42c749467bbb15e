#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include <gtest/gtest.h>
#include <unistd.h>

#include <millrace/archive/merge.hpp>
#include <millrace/archive/worker_call.hpp>

namespace millrace::archive {
namespace {

using archive_format::Fields;
using archive_format::FrameType;
using archive_format::integer_of;
using archive_format::text_of;

class ParquetWorker : public ::testing::Test {
 protected:
  ParquetWorker() : folder_(std::filesystem::path(::testing::TempDir()) / ("worker-" + std::to_string(::getpid()))) {
    std::signal(SIGPIPE, SIG_IGN);
    std::filesystem::create_directories(folder_ / "store");
  }
  ~ParquetWorker() override { std::filesystem::remove_all(folder_); }

  static Clock::time_point soon() { return Clock::now() + std::chrono::minutes{3}; }
  [[nodiscard]] std::string local() const { return (folder_ / "file.parquet").string(); }
  [[nodiscard]] Fields in_store(Fields fields) const {
    fields["store"] = "directory";
    fields["root"] = (folder_ / "store").string();
    return fields;
  }
  static Result<Fields> call(const Fields& request) { return call_worker(PARQUET_WORKER, request, soon()); }

  Result<Fields> write(const std::vector<OwnedRow>& rows) const {
    auto worker = WorkerCall::start(
        PARQUET_WORKER,
        {{"command", "write"}, {"path", local()}, {"partition", "sample/2026-11-20"}, {"generation", "3"}}, soon());
    if (!worker) return worker.error();
    RowBlock block;
    for (const OwnedRow& one : rows) {
      if (!block.add(one.view())) return Error{ErrorKind::kTooLarge, "row"};
      if (!block.full()) continue;
      if (auto sent = (*worker)->send(block); !sent) return sent.error();
      block.clear();
    }
    if (auto sent = (*worker)->send(block); !sent) return sent.error();
    if (auto sent = (*worker)->end_rows(); !sent) return sent.error();
    return (*worker)->finish();
  }
  Result<Fields> put(const std::string& key) const {
    return call(in_store({{"command", "put"}, {"path", local()}, {"key", key}}));
  }
  Result<Fields> verify(const std::string& key) const { return call(in_store({{"command", "verify"}, {"key", key}})); }

  struct Read {
    std::vector<OwnedRow> rows;
    Fields figures;
  };
  Result<Read> read(const std::string& key, Fields range = {}) const {
    range.insert({{"command", "read"}, {"key", key}});
    auto worker = WorkerCall::start(PARQUET_WORKER, in_store(std::move(range)), soon());
    if (!worker) return worker.error();
    Read out;
    for (;;) {
      const auto frame = (*worker)->receive();
      if (!frame) return frame.error();
      if (frame->type == FrameType::kDone) {
        auto figures = archive_format::decode_fields(frame->payload);
        if (!figures) return figures.error();
        out.figures = std::move(*figures);
        return out;
      }
      const auto block = RowBlock::decode(frame->payload);
      if (!block) return block.error();
      for (std::size_t i = 0; i < block->size(); ++i) out.rows.emplace_back(block->at(i));
    }
  }

  std::filesystem::path folder_;
};

void expect_same(const std::vector<OwnedRow>& a, const std::vector<OwnedRow>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_TRUE(archive_format::same_row(a[i].view(), b[i].view())) << i;
}

std::vector<OwnedRow> every_kind() {
  std::vector<OwnedRow> rows;
  std::int64_t time = -1'000'000;  // before 1970 too
  for (const double value :
       {0.0, -0.0, 21.3, std::numeric_limits<double>::max(), std::numeric_limits<double>::denorm_min(),
        std::numeric_limits<double>::infinity(), std::nan("")})
    rows.emplace_back(Row{{1, 1, time += 999'999}, 0, time > 0, value, ""});
  const std::string long_text(400'000, 'z');
  const std::vector<std::pair<std::uint8_t, std::string>> others{{1, "9007199254740993"},
                                                                 {1, "-9223372036854775808"},
                                                                 {2, "true"},
                                                                 {2, "false"},
                                                                 {3, ""},
                                                                 {3, "Grüße \xF0\x9F\x98\x80"},
                                                                 {3, long_text},
                                                                 {4, "{\"a\": [1, null]}"},
                                                                 {4, "\"\""}};
  for (const auto& [kind, text] : others) rows.emplace_back(Row{{1, 2, time += 1}, kind, kind % 2 == 0, 0, text});
  return rows;
}

TEST_F(ParquetWorker, GivesEveryKindOfValueBack) {
  const auto rows = every_kind();
  const auto written = write(rows);
  ASSERT_TRUE(written.ok()) << written.error().message;
  EXPECT_EQ(integer_of(*written, "rows"), static_cast<std::int64_t>(rows.size()));
  EXPECT_EQ(integer_of(*written, "min_time"), rows.front().row.key.time);
  const auto stored = put("sample/2026-11-20.3.parquet");
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  EXPECT_EQ(text_of(*stored, "bytes"), text_of(*written, "bytes"));
  const auto back = read("sample/2026-11-20.3.parquet");
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_same(back->rows, rows);
  const auto verified = verify("sample/2026-11-20.3.parquet");
  ASSERT_TRUE(verified.ok()) << verified.error().message;
  EXPECT_EQ(*verified, *written) << "what is in the store is what was written";
}

TEST_F(ParquetWorker, ReadsARangeFromTheRowGroupsThatHoldIt) {
  std::vector<OwnedRow> rows;
  for (int device = 1; device <= 500; ++device) {
    for (int metric = 1; metric <= 2; ++metric) {
      for (int i = 0; i < 500; ++i) rows.emplace_back(Row{{device, metric, i * 1'000'000LL}, 0, false, i * 0.1, ""});
    }
  }
  ASSERT_TRUE(write(rows).ok());
  ASSERT_TRUE(put("a/b.parquet").ok());
  const auto range =
      read("a/b.parquet", {{"device", "250"}, {"metric", "2"}, {"from", "100000000"}, {"to", "103000000"}});
  ASSERT_TRUE(range.ok()) << range.error().message;
  ASSERT_EQ(range->rows.size(), 3U);
  EXPECT_EQ(range->rows[0].row.key, (RowKey{250, 2, 100'000'000}));
  EXPECT_GE(integer_of(range->figures, "row_groups").value_or(0), 4);
  EXPECT_EQ(integer_of(range->figures, "row_groups_read"), 1);
  const auto first = read("a/b.parquet", {{"device", "7"}, {"limit", "10"}});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->rows.size(), 10U);
  const auto some =
      read("a/b.parquet", {{"device", "499"}, {"last_device", "600"}, {"metric", "2"}, {"last_metric", "9"}});
  ASSERT_TRUE(some.ok());
  ASSERT_EQ(some->rows.size(), 1'000U);
  EXPECT_EQ(some->rows.front().row.key, (RowKey{499, 2, 0}));
  EXPECT_EQ(some->rows.back().row.key, (RowKey{500, 2, 499'000'000}));
  EXPECT_EQ(integer_of(some->figures, "row_groups_read"), 1);
  const auto none = read("a/b.parquet", {{"device", "501"}});
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->rows.empty());
  EXPECT_EQ(integer_of(none->figures, "row_groups_read"), 0);
}

TEST_F(ParquetWorker, ReadsSeveralFilesUntilItHasEnough) {
  for (int day = 0; day < 3; ++day) {
    std::vector<OwnedRow> rows;
    for (int i = 0; i < 10; ++i) rows.emplace_back(Row{{1, 1, day * 100 + i}, 0, false, 1.5, ""});
    ASSERT_TRUE(write(rows).ok());
    ASSERT_TRUE(put("d" + std::to_string(day)).ok());
  }
  const auto all = read("d0\nd1\nd2", {{"from", "5"}});
  ASSERT_TRUE(all.ok()) << all.error().message;
  ASSERT_EQ(all->rows.size(), 25U);
  EXPECT_EQ(all->rows.back().row.key.time, 209);
  const auto some = read("d0\nd1\nmissing", {{"from", "5"}, {"limit", "9"}});
  ASSERT_TRUE(some.ok()) << "the last one is not needed: " << some.error().message;
  EXPECT_EQ(some->rows.size(), 9U);
  EXPECT_EQ(some->rows.back().row.key.time, 103);
}

TEST_F(ParquetWorker, RefusesRowsOutOfOrder) {
  const auto twice = write({OwnedRow({{1, 1, 5}, 0, false, 1, ""}), OwnedRow({{1, 1, 5}, 0, false, 1, ""})});
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(twice.error().message.find("row 1 does not lie behind"), std::string::npos) << twice.error().message;
}

TEST_F(ParquetWorker, AnEmptyDayIsAFileToo) {
  ASSERT_TRUE(write({}).ok());
  ASSERT_TRUE(put("empty.parquet").ok());
  const auto back = read("empty.parquet");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_TRUE(back->rows.empty());
}

TEST_F(ParquetWorker, FindsEveryDamagedByte) {
  std::vector<OwnedRow> rows;
  for (int i = 0; i < 2'000; ++i) rows.emplace_back(Row{{1, 1, i}, 0, false, std::sin(i), ""});
  const auto written = write(rows);
  ASSERT_TRUE(written.ok());
  ASSERT_TRUE(put("x.parquet").ok());
  const auto path = folder_ / "store" / "x.parquet";
  const auto size = std::filesystem::file_size(path);
  for (const std::uintmax_t at : {std::uintmax_t{0}, size / 4, size / 2, size - 12, size - 2}) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char was = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(was ^ 0x5a));
    file.flush();
    const auto verified = verify("x.parquet");
    EXPECT_TRUE(!verified.ok() || text_of(*verified, "sha256") != text_of(*written, "sha256")) << at;
    file.seekp(static_cast<std::streamoff>(at));
    file.put(was);
  }
  EXPECT_TRUE(verify("x.parquet").ok());
  std::filesystem::resize_file(path, size / 2);
  EXPECT_FALSE(verify("x.parquet").ok());
}

TEST_F(ParquetWorker, AFileUnderTheNameOfAnotherIsNotRead) {
  ASSERT_TRUE(write({OwnedRow(Row{{1, 1, 5}, 0, false, 1.5, ""})}).ok());
  const std::string own = "id/sample/2026/11/2026-11-20.g3.parquet";
  ASSERT_TRUE(put(own).ok());
  EXPECT_TRUE(read(own).ok());
  for (const std::string other : {"2026-11-21.g3.parquet", "2026-11-20.g2.parquet", "2026-11-20.g33.parquet"}) {
    ASSERT_TRUE(put("id/sample/2026/11/" + other).ok());
    const auto back = read("id/sample/2026/11/" + other);
    ASSERT_FALSE(back.ok()) << other;
    EXPECT_EQ(back.error().kind, ErrorKind::kCorrupt) << back.error().message;
  }
}

TEST_F(ParquetWorker, SaysWhatIsNotThere) {
  const auto missing = verify("nothing.parquet");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  const auto outside = verify("../file.parquet");
  ASSERT_FALSE(outside.ok());
  EXPECT_EQ(outside.error().kind, ErrorKind::kInvalid);
  std::filesystem::remove_all(folder_ / "store");
  const auto unmounted = verify("nothing.parquet");
  ASSERT_FALSE(unmounted.ok());
  EXPECT_EQ(unmounted.error().kind, ErrorKind::kUnavailable);
  const auto unknown = call({{"command", "dance"}});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("'dance'"), std::string::npos);
  const auto absent = call_worker("/proc/none/parquet-worker", {}, soon());
  ASSERT_FALSE(absent.ok());
  EXPECT_NE(absent.error().message.find("ARCHIVE_WORKER"), std::string::npos);
}

TEST_F(ParquetWorker, ListsAndDeletes) {
  ASSERT_TRUE(write({}).ok());
  for (const char* key : {"id/sample/a.parquet", "id/sample/b.parquet", "other/c.parquet"}) ASSERT_TRUE(put(key).ok());
  const auto keys = [this] {
    auto worker = WorkerCall::start(PARQUET_WORKER, in_store({{"command", "list"}, {"folder", "id"}}), soon());
    std::vector<std::string> found;
    for (;;) {
      const auto frame = (*worker)->receive();
      if (!frame || frame->type != FrameType::kItem) return found;
      const auto item = archive_format::decode_fields(frame->payload);
      found.emplace_back(text_of(*item, "key"));
      EXPECT_GT(integer_of(*item, "bytes").value_or(0), 0);
    }
  };
  EXPECT_EQ(keys().size(), 2U);
  for (int twice = 0; twice < 2; ++twice) {
    EXPECT_TRUE(call(in_store({{"command", "delete"}, {"key", "id/sample/a.parquet"}})).ok());
    EXPECT_EQ(keys(), std::vector<std::string>{"id/sample/b.parquet"});
  }
}

/// An export of blocks, each with its names, as query-api has it.
Result<std::string> export_of(const std::string& format,
                              const std::vector<std::pair<Fields, std::vector<OwnedRow>>>& blocks) {
  auto worker = WorkerCall::start(PARQUET_WORKER, {{"command", "export"}, {"format", format}},
                                  Clock::now() + std::chrono::minutes{3});
  if (!worker) return worker.error();
  std::string file;
  const auto take_until = [&](FrameType wanted) -> Status {
    for (;;) {
      const auto frame = (*worker)->receive();
      if (!frame) return frame.error();
      if (frame->type == wanted) return {};
      if (frame->type != FrameType::kBytes) return Error{ErrorKind::kInternal, "another frame"};
      file += frame->payload;
    }
  };
  for (const auto& [names, rows] : blocks) {
    RowBlock block;
    for (const OwnedRow& one : rows) EXPECT_TRUE(block.add(one.view()));
    if (auto sent = (*worker)->send_item(names); !sent) return sent.error();
    if (auto sent = (*worker)->send(block); !sent) return sent.error();
    if (auto taken = take_until(FrameType::kItem); !taken) return taken.error();
  }
  if (auto sent = (*worker)->end_rows(); !sent) return sent.error();
  if (auto taken = take_until(FrameType::kDone); !taken) return taken.error();
  return file;
}

TEST_F(ParquetWorker, ExportsFilesFromTheirFirstBytesToTheirLast) {
  const Fields names{{"d1", "meter-1"}, {"m1", "power"}, {"m2", "state"}};
  const std::string arrow_begin("\xff\xff\xff\xff", 4);
  for (const auto& blocks : {std::vector<std::pair<Fields, std::vector<OwnedRow>>>{}, {{names, every_kind()}}}) {
    const auto parquet = export_of("parquet", blocks);
    ASSERT_TRUE(parquet.ok()) << parquet.error().message;
    EXPECT_TRUE(parquet->starts_with("PAR1") && parquet->ends_with("PAR1"));
    const auto arrow = export_of("arrow", blocks);
    ASSERT_TRUE(arrow.ok()) << arrow.error().message;
    EXPECT_TRUE(arrow->starts_with(arrow_begin) && arrow->ends_with(arrow_begin + std::string(4, '\0')));
    EXPECT_EQ(arrow->find("meter-1") != std::string::npos, !blocks.empty());
  }
}

TEST_F(ParquetWorker, RefusesAnExportThatMakesNoSense) {
  const Fields names{{"d1", "meter-1"}, {"m1", "power"}};
  const auto refusal = [](const std::string& format, const Fields& given, const OwnedRow& row) {
    const auto made = export_of(format, {{given, {row}}, {{}, {row}}});
    return made.ok() ? std::string() : made.error().message;
  };
  const OwnedRow number({{1, 1, 5}, 0, false, 1, ""});
  EXPECT_NE(refusal("xlsx", names, number).find("'xlsx' is no format"), std::string::npos);
  EXPECT_NE(refusal("parquet", {{"d1", "meter-1"}}, number).find("metric 1 has no name"), std::string::npos);
  EXPECT_NE(refusal("arrow", names, number).find("device 1"), std::string::npos) << "names are those of one block";
  EXPECT_NE(refusal("arrow", {{"x1", "y"}}, number).find("'x1'"), std::string::npos);
  EXPECT_NE(refusal("arrow", {{"d", "y"}}, number).find("'d'"), std::string::npos);
  EXPECT_NE(refusal("parquet", names, OwnedRow({{1, 1, 5}, 1, false, 0, "12x"})).find("'12x'"), std::string::npos);
}

TEST_F(ParquetWorker, AWorkerThatHangsIsEndedAtTheDeadline) {
  const auto begun = Clock::now();
  auto worker = WorkerCall::start("/bin/cat", {{"command", "write"}}, begun + std::chrono::seconds{1});
  ASSERT_TRUE(worker.ok());
  // cat gives the request back, which no worker does, and then waits for more.
  EXPECT_EQ((*worker)->receive()->type, FrameType::kRequest);
  const auto late = (*worker)->receive();
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message.find("deadline"), std::string::npos);
}

// Noisy decimals, as meters send them: a message of four metrics, ten devices every 30 s and the others every 40
// minutes, each message up to half a second late.
TEST_F(ParquetWorker, NoisyDecimalsAreSmall) {
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 1);
  std::vector<OwnedRow> rows;
  const auto series = [&](int device, int metric, const std::vector<std::int64_t>& times) {
    double level = 20 + noise(random);
    std::int64_t counter = static_cast<std::int64_t>(random() % 100'000);
    for (const std::int64_t time : times) {
      level += 0.02 * noise(random);
      const double scale = metric == 2 ? 100 : 10;
      const double value = metric == 4 ? static_cast<double>(counter += static_cast<std::int64_t>(random() % 20))
                                       : std::round((level + 0.5 * noise(random)) * scale) / scale;
      rows.emplace_back(Row{{device, metric, time}, 0, false, value, ""});
    }
  };
  for (int device = 1; device <= 2'000; ++device) {
    const std::int64_t step = device % 200 == 0 ? 30'000'000 : 2'400'000'000;
    std::vector<std::int64_t> times;
    for (std::int64_t time = static_cast<std::int64_t>(random() % 30'000'000); time < 86'000'000'000; time += step)
      times.push_back(time + static_cast<std::int64_t>(random() % 500) * 1'000);
    for (int metric = 1; metric <= 4; ++metric) series(device, metric, times);
  }
  const auto written = write(rows);
  ASSERT_TRUE(written.ok());
  const double bytes = static_cast<double>(*integer_of(*written, "bytes")) / static_cast<double>(rows.size());
  RecordProperty("bytes_per_row", std::to_string(bytes));
  std::printf("%zu rows, %.2f bytes a row\n", rows.size(), bytes);
  EXPECT_LE(bytes, 3.2);
}

// A day of one reading a second: its times are next to nothing.
TEST_F(ParquetWorker, RegularTimesCostNothing) {
  std::vector<OwnedRow> rows;
  for (int metric = 1; metric <= 2; ++metric) {
    for (std::int64_t second = 0; second < 86'400; ++second)
      rows.emplace_back(Row{{1, metric, second * 1'000'000}, 0, false, 1.5, ""});
  }
  const auto written = write(rows);
  ASSERT_TRUE(written.ok());
  EXPECT_LE(static_cast<double>(*integer_of(*written, "bytes")) / static_cast<double>(rows.size()), 0.2);
}

TEST(ParquetWorkerProgram, LinksNothingThatMeetsArrow) {
  FILE* pipe = ::popen("ldd " PARQUET_WORKER, "r");
  ASSERT_NE(pipe, nullptr);
  std::string libraries;
  std::array<char, 4096> piece{};
  while (std::fgets(piece.data(), piece.size(), pipe) != nullptr) libraries += piece.data();
  ASSERT_EQ(::pclose(pipe), 0) << libraries;
  EXPECT_NE(libraries.find("libarrow.so"), std::string::npos) << libraries;
  for (const char* other : {"libssl", "libcrypto", "libpq", "libgrpc", "libprotobuf", "not found"})
    EXPECT_EQ(libraries.find(other), std::string::npos) << other << " in\n" << libraries;
}

}  // namespace
}  // namespace millrace::archive
