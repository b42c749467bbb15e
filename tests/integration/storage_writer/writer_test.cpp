// The whole writer against a real Kafka and a real PostgreSQL: what the database holds afterwards is what counts.
#include <atomic>
#include <string>
#include <thread>

#include "writer_fixture.hpp"

namespace millrace::writer {
namespace {

TEST_F(WriterTest, StoresEveryPointOnceAndKeepsLatest) {
  run_writer();
  const TimeUs now = now_us();
  for (int i = 0; i < 100; ++i) send(message(1 + i % 4, now + i, i));
  send(message(1, now - 86'400 * 40 * kUsPerSecond, -1));
  send(message(1, now + 3'600 * kUsPerSecond, -2));
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 102);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample_default"), 0) << "a day has its partition before its first row";
  EXPECT_TRUE(testing::eventually([&] {
    return ask("SELECT count(*) FROM storage.latest WHERE value BETWEEN 96 AND 99") == 4;
  })) << "the newest value that is not of the future";
  EXPECT_TRUE(testing::eventually([&] {
    return ask("SELECT count(*) FROM storage.latest WHERE max_time > now() + interval '30 minutes'") == 1;
  })) << "written about once a second: the last points possibly later than the others";
}

TEST_F(WriterTest, ACorrectionStaysAfterALateCopyOfTheFirstValue) {
  run_writer();
  const TimeUs now = now_us();
  const telemetry::Batch first = message(1, now, 1);
  send(first);
  send(message(1, now, 2));
  send(first);
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 1);
  EXPECT_EQ(ask("SELECT value::int8 FROM storage.sample"), 2);
  EXPECT_EQ(ask("SELECT original_offset FROM storage.dropped_copy"), 0);
}

TEST_F(WriterTest, EqualUntimedMessagesOfOneMicrosecondStayTwo) {
  run_writer();
  telemetry::Batch one = message(1, std::nullopt, 5);
  telemetry::Batch two = message(1, std::nullopt, 5);
  two.ingest_time = one.ingest_time;
  send(one);
  send(two);
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 2);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE untimed"), 2);
  expect_no_key_twice();
}

TEST_F(WriterTest, ASilentSeriesThatResendsItsLastPointAfterARestartAddsNothing) {
  run_writer();
  const TimeUs before = now_us() - 3'600 * kUsPerSecond;
  send(message(1, before, 5));
  ASSERT_TRUE(all_accounted());
  app_.reset();
  start_.fill(9);
  run_writer();
  send(message(1, before, 5));
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 1);
}

TEST_F(WriterTest, CopiesAreRecognisedAfterARestart) {
  run_writer();
  const telemetry::Batch one = message(1, std::nullopt, 5);
  send(one);
  ASSERT_TRUE(all_accounted());
  app_.reset();
  run_writer();
  send(one);
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 1);
}

TEST_F(WriterTest, ARefusedPointGoesToTheDeadLettersAndBlocksNobody) {
  ASSERT_TRUE(session_->script("ALTER TABLE storage.sample ADD CONSTRAINT no_666 CHECK (value <> 666)"));
  run_writer();
  const TimeUs now = now_us();
  std::vector<kafka::OutgoingRecord> records;
  for (int i = 0; i < 50; ++i) records.push_back(record(message(2, now + i, i)));
  telemetry::Batch bad = message(2, now + 50, 666);
  bad.points.push_back({"n", 1.0, std::nullopt});
  records.push_back(record(bad));
  for (int i = 51; i < 100; ++i) records.push_back(record(message(2, now + i, i)));
  kafka::OutgoingRecord garbage = records[0];
  garbage.value = "\xff\xff\xff no batch";
  records.push_back(garbage);
  send(records);
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 100);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dead_letter"), 2);
  EXPECT_EQ(ask("SELECT points[1] FROM storage.dead_letter WHERE log_offset = 50"), 0)
      << "only the refused point is dead";
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dead_letter WHERE log_offset = 100 AND points = '{}' AND device = 'd2'"),
            1);
  kafka::Admin admin(config_.kafka);
  std::int64_t dead = 0;
  for (int i = 0; i < *admin.partitions(config_.topics.telemetry_dead(), seconds{30}); ++i) {
    dead += admin.watermarks({config_.topics.telemetry_dead(), i}, seconds{30})->high;
  }
  EXPECT_EQ(dead, 2);
}

// Sessions of the writer are ended while they are inside a transaction, a hundred times, under messages with ids, DUP
// and neither. Between two of them the writer gets a batch stored, so that each one meets a new transaction.
TEST_F(WriterTest, ABatchThatTakesLongerThanACallMayIsStoredAllTheSame) {
  config_.database.call_timeout = seconds{1};
  config_.database.statement_timeout = seconds{2};
  ASSERT_TRUE(session_->script(
      "CREATE FUNCTION public.rest() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN NULL; END';"
      "CREATE TRIGGER rest BEFORE INSERT ON storage.sample FOR EACH STATEMENT EXECUTE FUNCTION public.rest()"));
  run_writer();
  send(message(1, now_us(), 0));
  EXPECT_TRUE(testing::eventually([&] { return rows() == 1; }));
  ASSERT_TRUE(session_->script("DROP TRIGGER rest ON storage.sample"));
  send(message(1, now_us(), 1));
  EXPECT_TRUE(testing::eventually([&] { return rows() == 2; }));
}

TEST_F(WriterTest, SessionsKilledInTransactionsLoseAndDoubleNothing) {
  run_writer();
  std::atomic<bool> done{false};
  std::atomic<int> kills{0};
  std::thread killer([&] {
    auto assassin = testing::open_database(config_.database.url);
    const auto stored = [&] {
      auto rows = assassin->exec("SELECT coalesce(sum(next_offset), 0)::int8 FROM storage.ingest_offset");
      return rows ? rows->integer(0, 0) : -1;
    };
    while (!done) {
      auto killed = assassin->exec(
          "SELECT count(pg_terminate_backend(pid))::int8 FROM pg_stat_activity WHERE application_name = "
          "'storage-writer'"
          " AND datname = current_database() AND (state = 'idle in transaction' OR query LIKE 'COPY%' OR query = "
          "'COMMIT')"
          " AND state <> 'idle'");
      if (!killed || killed->integer(0, 0) == 0) continue;
      kills += static_cast<int>(killed->integer(0, 0));
      for (const std::int64_t before = stored(); !done && stored() == before;)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  const TimeUs base = now_us();
  std::int64_t wanted = 0;
  int sent = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(8);
  while (kills < 100 && std::chrono::steady_clock::now() < deadline) {
    std::vector<kafka::OutgoingRecord> records;
    for (int i = 0; i < 40; ++i, ++sent) {
      const std::int32_t device = 1 + sent % 20;
      telemetry::Batch batch = message(device, sent % 2 == 0 ? std::optional(base + sent) : std::nullopt, sent);
      if (sent % 4 == 0) batch.delivery.message_id = "id-" + std::to_string(sent);
      batch.delivery.client_id = batch.device;
      batch.delivery.payload_hash = static_cast<std::uint64_t>(sent) + 1;
      batch.delivery.connection_epoch = 1;
      batch.delivery.packet_id = static_cast<std::uint16_t>(sent % 60'000 + 1);
      records.push_back(record(batch));
      ++wanted;
      if (sent % 5 != 0) continue;
      batch.ingest_id.counter = ++counter_;  // the device sends it again over its next connection
      batch.delivery.connection_epoch = 2;
      batch.delivery.dup = true;
      records.push_back(record(batch));
    }
    send(records);
  }
  done = true;
  killer.join();
  ASSERT_TRUE(all_accounted());
  EXPECT_GE(kills, 100) << "not enough faults were felt";
  EXPECT_EQ(rows(), wanted);
  EXPECT_EQ(ask("SELECT count(DISTINCT value) FROM storage.sample"), wanted);
  expect_no_key_twice();
  app_.reset();
}

TEST_F(WriterTest, TwoWritersOnOnePartitionFenceEachOther) {
  run_writer();
  Config other = config_;
  other.group = config_.group + "-other";  // both believe that they own everything
  StorageWriterApp second(other);
  ASSERT_TRUE(second.start().ok());
  const TimeUs base = now_us();
  for (int i = 0; i < 200; ++i) {
    std::vector<kafka::OutgoingRecord> records;
    for (int k = 0; k < 10; ++k)
      records.push_back(record(message(1 + k, k % 2 == 0 ? std::optional(base + i) : std::nullopt, i * 10 + k)));
    send(records);
  }
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 2000);
  EXPECT_EQ(ask("SELECT count(DISTINCT value) FROM storage.sample"), 2000);
  expect_no_key_twice();
}

// A writer that was stopped between two statements keeps its row locks, and its connection stays open.
TEST_F(WriterTest, AWriterThatHangsInsideATransactionIsLeftBehind) {
  run_writer();
  send(message(1, now_us(), 1));
  send(message(2, now_us(), 2));
  ASSERT_TRUE(all_accounted());
  const auto hung = testing::open_database(config_.database.url);
  ASSERT_TRUE(hung->begin());
  ASSERT_TRUE(hung->exec("UPDATE storage.ingest_offset SET updated_at = now()"));
  send(message(1, now_us(), 3));
  EXPECT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 3);
}

TEST_F(WriterTest, AReplacedLogStopsItsPartitionOnly) {
  run_writer();
  for (int i = 0; i < 20; ++i) send(message(1 + i % 2, now_us() + i, i));
  ASSERT_TRUE(all_accounted());
  app_.reset();
  // As if the last records of partition 0 had been cut off and others written in their place.
  ASSERT_TRUE(
      session_->script("UPDATE storage.ingest_offset SET last_crc = last_crc # 1 WHERE part = 0" + of_telemetry()));
  run_writer();
  const TimeUs time = now_us();
  send(message(1, time, 77));
  send(message(2, time, 78));
  ASSERT_TRUE(testing::eventually([&] { return ask("SELECT count(*) FROM storage.sample WHERE value = 77") == 1; }));
  EXPECT_EQ(ask("SELECT next_offset FROM storage.ingest_offset WHERE part = 0" + of_telemetry()), 10)
      << "nothing of the replaced log was taken";
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE value = 78"), 0);
}

TEST_F(WriterTest, ACutLogStopsItsPartitionOnly) {
  run_writer();
  for (int i = 0; i < 20; ++i) send(message(1 + i % 2, now_us() + i, i));
  ASSERT_TRUE(all_accounted());
  app_.reset();
  ASSERT_TRUE(
      session_->script("UPDATE storage.ingest_offset SET next_offset = next_offset + 1000, latest_offset = "
                       "latest_offset + 1000 WHERE part = 0" +
                       of_telemetry()));
  run_writer();
  send(message(1, now_us(), 77));
  ASSERT_TRUE(testing::eventually([&] { return ask("SELECT count(*) FROM storage.sample WHERE value = 77") == 1; }));
  EXPECT_EQ(ask("SELECT next_offset FROM storage.ingest_offset WHERE part = 0" + of_telemetry()), 1010);
}

}  // namespace
}  // namespace millrace::writer
