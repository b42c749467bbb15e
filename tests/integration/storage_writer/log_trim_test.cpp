// What may go of the log: against a real broker, with the writer stopped and stream-processing away.
#include <millrace/kafka/transaction.hpp>

#include "log/log_trimmer.hpp"
#include "writer_fixture.hpp"

namespace millrace::writer {
namespace {

constexpr TimeUs kDay = 86'400 * kUsPerSecond;

class LogTrim : public WriterTest {
 protected:
  void SetUp() override {
    WriterTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    config_.log_trim_interval = std::chrono::milliseconds{0};
    config_.stream_group = config_.group + "-stream";
    kafka::Admin admin(config_.kafka);
    const auto cluster = admin.cluster_id(seconds{60});
    ASSERT_TRUE(cluster.ok()) << cluster.error().message;
    cluster_id_ = *cluster;
  }

  /// Records of partition 1, stored, and in storage.latest: until then they are needed.
  void store(int records) {
    for (int i = 0; i < records; ++i) send(message(1, now_us(), i));
    ASSERT_TRUE(all_accounted());
    ASSERT_TRUE(testing::eventually([this] {
      return ask("SELECT latest_offset FROM storage.ingest_offset WHERE part = 1" + of_telemetry()) == sent_;
    }));
  }

  /// stream-processing has come to `offset`, and reads from `from` on after a restart.
  void process(std::int64_t offset, std::int64_t from, std::int32_t generation = 0) {
    const std::string metadata = "1;from=" + std::to_string(from) + ";gen=" + std::to_string(generation) +
                                 ";cluster=" + cluster_id_ + ";log=" + std::to_string(now_us() + 20 * kDay);
    kafka::Consumer group(config_.kafka, {.group_id = config_.stream_group});
    kafka::TransactionalProducer producer(config_.kafka, {.transactional_id = config_.stream_group});
    ASSERT_TRUE(producer.init(seconds{60}).ok());
    ASSERT_TRUE(producer.begin().ok());
    const std::vector<kafka::CommittedPosition> position{{{config_.topics.telemetry(), 1}, offset, metadata}};
    const auto sent = producer.send_positions(position, group.group_metadata(), seconds{60});
    ASSERT_TRUE(sent.ok()) << sent.error().message;
    ASSERT_TRUE(producer.commit(seconds{60}).ok());
  }

  /// A look nine days from now, when the writer, if it runs, has come as far: everything is old by then.
  std::int64_t trim() {
    EXPECT_TRUE(session_->script("UPDATE storage.ingest_offset SET log_time_us = log_time_us + 20 * 86400000000"));
    LogTrimmer trimmer(config_, metrics_);
    const Status done = trimmer.pass(now_us() + 9 * kDay);
    EXPECT_TRUE(done.ok()) << done.error().message;
    EXPECT_TRUE(session_->script("UPDATE storage.ingest_offset SET log_time_us = log_time_us - 20 * 86400000000"));
    return begin();
  }

  std::int64_t begin() {
    kafka::Admin admin(config_.kafka);
    const auto log = admin.watermarks({config_.topics.telemetry(), 1}, seconds{60});
    EXPECT_TRUE(log.ok()) << log.error().message;
    return log.ok() ? log->low : -1;
  }

  std::string cluster_id_;
  observability::Metrics registry_;
  WriterMetrics metrics_{registry_};
};

TEST_F(LogTrim, WhatIsStoredProcessedAndOldGoes) {
  run_writer();
  store(20);
  EXPECT_EQ(trim(), 0) << "stream-processing has never committed";
  process(15, 8);
  LogTrimmer young(config_, metrics_);
  ASSERT_TRUE(young.pass(now_us()).ok());
  EXPECT_EQ(begin(), 0) << "nothing is a week old";
  EXPECT_EQ(trim(), 8) << "up to the oldest open window";
  process(20, 20);
  EXPECT_EQ(trim(), 19) << "the last record tells whether it is the same log";
  app_.reset();
  run_writer();
  store(5);
  EXPECT_EQ(rows(), 25);
  EXPECT_EQ(begin(), 19);
}

TEST_F(LogTrim, WhatIsNotStoredStays) {
  run_writer();
  store(10);
  app_.reset();
  for (int i = 0; i < 10; ++i) send(message(1, now_us(), i));
  process(20, 20);
  EXPECT_EQ(trim(), 9);
  run_writer();
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 20);
}

TEST_F(LogTrim, AWriterGoesOnWhereTheRecordBeforeItsPositionIsGone) {
  run_writer();
  store(10);
  app_.reset();
  kafka::Admin admin(config_.kafka);
  ASSERT_TRUE(admin.delete_records({config_.topics.telemetry(), 1}, 10, seconds{60}).ok());
  run_writer();
  store(5);
  EXPECT_EQ(rows(), 15);
}

TEST_F(LogTrim, APositionOfAnotherLogHoldsEverything) {
  run_writer();
  store(10);
  process(10, 10, 1);
  EXPECT_EQ(trim(), 0) << "another generation";
  process(4711, 4711);
  EXPECT_EQ(trim(), 0) << "the log ends before it";
  process(10, 10);
  ASSERT_TRUE(session_->script("UPDATE storage.ingest_offset SET last_crc = last_crc + 1 WHERE part = 1"));
  EXPECT_EQ(trim(), 0) << "another record than was stored";
}

}  // namespace
}  // namespace millrace::writer
