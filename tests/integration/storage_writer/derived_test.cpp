// Windows and alerts against a real Kafka and a real PostgreSQL; the tests play stream-processing.
#include <algorithm>
#include <atomic>
#include <thread>

#include <millrace/alerts/v1/alert.pb.h>
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/dead_letter.hpp>
#include <millrace/stream/v1/window.pb.h>

#include "kafka_log.hpp"
#include "transactional_producer.hpp"
#include "writer_fixture.hpp"

namespace millrace::writer {
namespace {

constexpr TimeUs kStart = 1'767'225'600'000'000;  // 2026-01-01T00:00:00Z
constexpr std::int64_t kHalfHour = 1'800 * kUsPerSecond;

stream::v1::WindowResult window(std::int32_t device, int number, std::int32_t revision, double last) {
  stream::v1::WindowResult result;
  result.set_tenant("t");
  result.set_device("d" + std::to_string(device));
  result.set_device_key(device);
  result.set_metric("m");
  result.set_start_us(kStart + number * kHalfHour);
  result.set_size_us(kHalfHour);
  result.set_revision(revision);
  result.set_final(revision > 1);
  result.set_count(3);
  result.set_min(-1.5);
  result.set_max(last + 1);
  result.set_mean(last / 3);
  result.set_last(last);
  result.set_last_time_us(result.start_us() + 7);
  return result;
}

alerts::v1::Alert alert(std::int32_t device, std::int64_t event, int episode, alerts::v1::State state) {
  alerts::v1::Alert result;
  result.set_tenant("t");
  result.set_rule("hot");
  result.set_device("d" + std::to_string(device));
  result.set_device_key(device);
  result.set_metric("m");
  result.set_alert_key("t/hot/" + result.device() + "/m");
  const std::string number = std::to_string(1'000'000 * device + episode);
  result.set_alert_id(std::string(32 - number.size(), 'a') + number);
  result.set_event_number(event);
  result.set_state(state);
  result.set_severity(rules::v1::SEVERITY_CRITICAL);
  result.set_description("too hot");
  result.set_raised_at_us(kStart + episode);
  result.mutable_raise_value()->set_int_value(91);
  if (state == alerts::v1::STATE_CLEARED) result.set_cleared_at_us(kStart + episode + 5);
  return result;
}

class DerivedTest : public WriterTest {
 protected:
  void SetUp() override {
    WriterTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    stream_ = std::make_unique<testing::TransactionalProducer>(config_.kafka, config_.group);
  }

  void put(const stream::v1::WindowResult& result) {
    stream_->put(config_.topics.windows(), result.device_key() % kPartitions,
                 result.tenant() + '/' + result.device() + '/' + result.metric(), result.SerializeAsString());
  }
  void put(const alerts::v1::Alert& result) {
    stream_->put(config_.topics.alerts(), result.device_key() % kPartitions, result.alert_key(),
                 result.SerializeAsString());
  }
  template <typename... Records>
  void commit(const Records&... records) {
    stream_->begin();
    (put(records), ...);
    stream_->commit();
  }

  std::int64_t windows() { return ask("SELECT count(*) FROM storage.window_result"); }
  std::int64_t alerts() { return ask("SELECT count(*) FROM storage.alert"); }
  // Everything in the two topics is accounted for, the markers at their ends included.
  [[nodiscard]] bool all_read() {
    // Of read_committed the end would be that of the last transaction whose markers are written, which may be later
    // than its commit's answer.
    kafka::ConsumerOptions options;
    options.isolation = kafka::Isolation::kReadUncommitted;
    kafka::Consumer broker(config_.kafka, options);
    return testing::eventually([&] {
      for (const std::string& topic : {config_.topics.windows(), config_.topics.alerts()}) {
        for (int i = 0; i < kPartitions; ++i) {
          const auto marks = broker.watermarks({topic, i}, seconds{30});
          if (!marks || marks->high != next_offset(topic, i)) return false;
        }
      }
      return true;
    });
  }
  std::int64_t next_offset(const std::string& topic, int partition) {
    return ask("SELECT coalesce((SELECT next_offset FROM storage.ingest_offset WHERE topic = '" + topic +
               "' AND part = " + std::to_string(partition) + "), -1)::int8");
  }

  std::unique_ptr<testing::TransactionalProducer> stream_;
};

TEST_F(DerivedTest, CommittedRecordsBecomeRowsAndAbortedOnesDoNot) {
  run_writer();
  commit(window(1, 0, 1, 5), window(2, 0, 1, 6), alert(1, 1, 1, alerts::v1::STATE_RAISED));
  stream_->begin();
  for (int i = 0; i < 20; ++i) put(window(1, 100 + i, 1, i));
  put(alert(2, 1, 9, alerts::v1::STATE_RAISED));
  stream_->abort();
  commit(window(1, 0, 2, 7), alert(1, 2, 1, alerts::v1::STATE_CLEARED));
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 3);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.window_result w JOIN storage.metric m ON m.id = w.metric AND m.tenant = "
                "'t' AND m.name = 'm' WHERE device_id = 1 AND start = '2026-01-01T00:00:00Z' AND size_us = 1800000000"
                " AND revision = 2 AND final AND NOT approximate AND count = 3 AND min = -1.5 AND max = 8 AND last = 7"
                " AND last_time = start + interval '7 microseconds'"),
            1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.window_result_default"), 0) << "a day has its partition";
  EXPECT_EQ(alerts(), 2);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.alert WHERE alert_key = 't/hot/d1/m' AND event_number = 2 AND state = 2"
                " AND severity = 3 AND NOT superseded AND cleared_at = raised_at + interval '5 microseconds'"),
            1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.alert WHERE event_number = 1 AND superseded"), 1);
  const auto event = session_->exec("SELECT event FROM storage.alert WHERE event_number = 2");
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->text(0, 0), alert(1, 2, 1, alerts::v1::STATE_CLEARED).SerializeAsString());
}

TEST_F(DerivedTest, ADayWithRowsInTheDefaultPartitionStaysThere) {
  // As after a day was beyond PARTITIONS_LIMIT when its first rows came.
  ask("INSERT INTO storage.window_result SELECT 7, 7, '2026-01-01T05:00:00Z', 60000000, 1, 1, 1, 1, 1,"
      " '2026-01-01T05:00:01Z', 1, true, false RETURNING 1");
  run_writer();
  commit(window(1, 0, 1, 5), alert(1, 1, 1, alerts::v1::STATE_RAISED));
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 2);
  EXPECT_EQ(alerts(), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.window_result_default"), 2);
}

TEST_F(DerivedTest, OfEqualRecordsTheFirstStaysAlsoAfterARestart) {
  run_writer();
  commit(window(1, 0, 1, 5), window(1, 0, 1, 50), alert(1, 1, 1, alerts::v1::STATE_RAISED));
  ASSERT_TRUE(all_read());
  app_.reset();
  commit(window(1, 0, 1, 500), window(1, 1, 1, 6), alert(1, 1, 2, alerts::v1::STATE_RAISED));
  run_writer();
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 2);
  EXPECT_EQ(ask("SELECT last::int8 FROM storage.window_result WHERE start = '2026-01-01T00:00:00Z'"), 5);
  EXPECT_EQ(alerts(), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.alert WHERE alert_id LIKE '%a1000001'"), 1);
}

TEST_F(DerivedTest, AMalformedRecordBecomesADeadLetterAndStopsNobody) {
  run_writer();
  stream_->begin();
  put(window(1, 0, 1, 5));
  stream_->put(config_.topics.windows(), 1, "t/d1/m", "\xff\xff no window");
  auto bad = window(1, 1, 1, 5);
  bad.set_count(0);
  put(bad);
  auto nobody = alert(1, 1, 1, alerts::v1::STATE_RAISED);
  nobody.set_alert_id("short");
  put(nobody);
  stream_->put_tombstone(config_.topics.alerts(), 1, "t/hot/d1/m");
  put(window(1, 2, 1, 6));
  put(alert(1, 2, 2, alerts::v1::STATE_RAISED));
  stream_->commit();
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 2);
  EXPECT_EQ(alerts(), 1);
  const auto dead = testing::read_log(config_.kafka, config_.topics.telemetry_dead(), 3);
  ASSERT_EQ(dead.size(), 3U);
  for (const auto& letter : dead) {
    EXPECT_EQ(letter.key, "t/d1");
    const auto log = std::find_if(letter.headers.begin(), letter.headers.end(),
                                  [](const auto& header) { return header.name == kafka::dead_letter::kLog; });
    ASSERT_NE(log, letter.headers.end());
    EXPECT_EQ(log->value.rfind(config_.topics.prefix, 0), 0U) << log->value;
  }
  EXPECT_EQ(std::count_if(dead.begin(), dead.end(), [](const auto& one) { return one.value == "\xff\xff no window"; }),
            1);
}

TEST_F(DerivedTest, ARecordThatTheDatabaseRefusesBecomesADeadLetter) {
  ASSERT_TRUE(session_->script("ALTER TABLE storage.window_result ADD CONSTRAINT no_666 CHECK (last <> 666)"));
  run_writer();
  commit(window(1, 0, 1, 5), window(1, 1, 1, 666), window(1, 2, 1, 7));
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 2);
  EXPECT_EQ(testing::read_log(config_.kafka, config_.topics.telemetry_dead(), 3).size(), 1U);
}

// Sessions are ended inside transactions while windows and alerts come; every row is there once afterwards.
TEST_F(DerivedTest, SessionsKilledInTransactionsLoseAndDoubleNothing) {
  config_.derived_batch_rows = 50;
  run_writer();
  std::atomic<bool> done{false};
  std::atomic<int> kills{0};
  std::thread killer([&] {
    auto assassin = testing::open_database(config_.database.url);
    while (!done) {
      auto killed = assassin->exec(
          "SELECT count(pg_terminate_backend(pid))::int8 FROM pg_stat_activity WHERE application_name = "
          "'storage-writer' AND datname = current_database() AND state <> 'idle' AND query ~ "
          "'window_result|storage.alert|COMMIT|ingest_offset'");
      if (killed) kills += static_cast<int>(killed->integer(0, 0));
    }
  });
  int sent = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  while (kills < 20 && std::chrono::steady_clock::now() < deadline) {
    stream_->begin();
    for (int i = 0; i < 40; ++i, ++sent) {
      put(window(1 + sent % 4, sent, 1, sent));
      put(alert(1 + sent % 4, 1 + sent / 4, sent, alerts::v1::STATE_RAISED));
    }
    if (sent % 3 == 0) {
      stream_->commit();
    } else {
      // Aborted once, then the same again, as after a failure.
      stream_->abort();
      stream_->begin();
      for (int again = sent - 40; again < sent; ++again) {
        put(window(1 + again % 4, again, 1, again));
        put(alert(1 + again % 4, 1 + again / 4, again, alerts::v1::STATE_RAISED));
      }
      stream_->commit();
    }
  }
  done = true;
  killer.join();
  ASSERT_TRUE(all_read());
  EXPECT_GE(kills, 20) << "not enough faults were felt";
  EXPECT_EQ(windows(), sent);
  EXPECT_EQ(ask("SELECT count(DISTINCT last) FROM storage.window_result"), sent);
  EXPECT_EQ(alerts(), sent);
}

TEST_F(DerivedTest, TwoWritersFenceEachOther) {
  run_writer();
  Config other = config_;
  other.group = config_.group + "-other";  // both believe that they own everything
  StorageWriterApp second(other);
  ASSERT_TRUE(second.start().ok());
  for (int i = 0; i < 100; ++i)
    commit(window(1, i, 1, i), window(2, i, 1, i), alert(1, i + 1, i, alerts::v1::STATE_RAISED));
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 200);
  EXPECT_EQ(alerts(), 100);
}

TEST_F(DerivedTest, ALogThatWasCutOrReplacedIsReadFromItsBeginningAndTelemetryGoesOn) {
  run_writer();
  commit(window(1, 0, 1, 5), window(2, 0, 1, 6));
  ASSERT_TRUE(all_read());
  app_.reset();
  // As if this partition had been longer, and the other one of another cluster.
  ASSERT_TRUE(session_->script("UPDATE storage.ingest_offset SET next_offset = 1000 WHERE topic = '" +
                               config_.topics.windows() + "' AND part = 1"));
  ASSERT_TRUE(session_->script("UPDATE storage.ingest_offset SET cluster_id = 'another' WHERE topic = '" +
                               config_.topics.windows() + "' AND part = 0"));
  commit(window(1, 1, 1, 7));
  run_writer();
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 3);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.ingest_offset WHERE generation = 1"), 2);
  send(message(1, now_us(), 77));
  EXPECT_TRUE(testing::eventually([&] { return rows() == 1; }));
}

TEST_F(DerivedTest, RecordsDeletedUnreadAreLeftBehind) {
  run_writer();
  commit(window(1, 0, 1, 5));
  ASSERT_TRUE(all_read());
  app_.reset();
  commit(window(1, 1, 1, 6));
  kafka::Admin broker(config_.kafka);
  // Two records and the markers behind them, which the broker writes after the commit was answered.
  constexpr std::int64_t kEnd = 4;
  ASSERT_TRUE(testing::eventually([&] {
    const auto end = broker.watermarks({config_.topics.windows(), 1}, seconds{30});
    return end.ok() && end->high == kEnd;
  }));
  ASSERT_TRUE(broker.delete_records({config_.topics.windows(), 1}, kEnd, seconds{30}).ok());
  commit(window(1, 2, 1, 7));
  run_writer();
  ASSERT_TRUE(all_read());
  EXPECT_EQ(windows(), 2);
}

TEST_F(DerivedTest, AMetricThatWindowsNamedFirstGetsItsTypeFromTheFirstReading) {
  run_writer();
  commit(window(1, 0, 1, 5));
  ASSERT_TRUE(all_read());
  ASSERT_EQ(ask("SELECT type FROM storage.metric"), 0);
  telemetry::Batch batch = message(1, now_us(), 0);
  batch.points[0].value = std::int64_t{5};
  send(batch);
  EXPECT_TRUE(testing::eventually([&] { return rows() == 1; }));
  EXPECT_EQ(ask("SELECT type FROM storage.metric"), static_cast<std::int64_t>(MetricType::kInteger));
}

TEST_F(DerivedTest, AStopStoresWhatWasTaken) {
  run_writer();
  commit(window(1, 0, 1, 5));
  ASSERT_TRUE(all_read());
  const auto blocker = testing::open_database(config_.database.url);
  ASSERT_TRUE(blocker->script("BEGIN; LOCK TABLE storage.window_result IN EXCLUSIVE MODE"));
  commit(window(1, 1, 1, 6));
  ASSERT_TRUE(testing::eventually([&] {
    return ask("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
               " AND query LIKE '%window_result%'") == 1;
  })) << "the window was taken and is on its way";
  std::jthread stop([&] {
    for (const auto& phase : app_->stop_phases()) {
      const Status done = phase.run(std::chrono::steady_clock::now() + seconds{90});
      EXPECT_TRUE(done.ok()) << phase.name << ": " << done.error().message;
    }
  });
  ASSERT_TRUE(blocker->script("COMMIT"));
  stop.join();
  EXPECT_EQ(windows(), 2);
}

}  // namespace
}  // namespace millrace::writer
