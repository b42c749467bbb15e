#include "bridge/journal_feed.hpp"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include <millrace/telemetry/copy_rules.hpp>

#include "fakes.hpp"

namespace millrace::gateway {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct FakeDevices final : BridgeDevices {
  [[nodiscard]] bool ready() const override { return is_ready; }
  [[nodiscard]] std::optional<registry_view::Device> find(std::string_view tenant,
                                                          std::string_view device) const override {
    if (device.starts_with("unknown")) return std::nullopt;
    return registry_view::Device{std::string(tenant), std::string(device), 7, true};
  }
  std::atomic<bool> is_ready{true};
};

// A log that outlives the feeds: what was submitted, and whether it is acknowledged at once.
class Log final : public RecordPublisher {
 public:
  [[nodiscard]] const telemetry::StartId& start_id() const override { return start_; }
  [[nodiscard]] bool accepting() const override { return accepts; }
  [[nodiscard]] std::size_t room() const override { return 1 << 20; }
  [[nodiscard]] bool crowded() const override { return false; }
  [[nodiscard]] Status submit(std::unique_ptr<InFlight> record) override {
    const std::lock_guard lock(mutex);
    telemetry::Batch batch;
    EXPECT_TRUE(telemetry::decode_facts(record->value, batch).ok());
    EXPECT_TRUE(record->named);
    EXPECT_EQ(record->counter, batch.ingest_id.counter);
    batches.push_back(std::move(batch));
    waiters.push_back(record->waiter);
    return {};
  }
  void settle_all(const Outcome& outcome) {
    std::vector<Waiter> settled;
    {
      const std::lock_guard lock(mutex);
      settled.swap(waiters);
    }
    for (const Waiter& waiter : settled) {
      waiter.sink->settle(waiter.token, outcome);
      waiter.sink->flush();
    }
  }
  std::size_t size() {
    const std::lock_guard lock(mutex);
    return batches.size();
  }
  std::mutex mutex;
  std::vector<telemetry::Batch> batches;
  std::vector<Waiter> waiters;
  std::atomic<bool> accepts{true};

 private:
  telemetry::StartId start_{9};
};

Outcome acknowledged() {
  Outcome outcome;
  outcome.kind = Outcome::Kind::kAcknowledged;
  return outcome;
}

class JournalFeedTest : public ::testing::Test {
 protected:
  JournalFeedTest() {
    std::string name = (fs::temp_directory_path() / "millrace-feed-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    open();
  }
  ~JournalFeedTest() override {
    close();
    fs::remove_all(folder_);
  }

  // As a new process: nothing but the journal's files is left of the last one.
  void open(std::size_t limit = 1 << 20) {
    auto opened =
        journal::Journal::open({.folder = folder_ + "/journal", .file_bytes = limit / 256, .limit_bytes = limit});
    ASSERT_TRUE(opened.ok());
    journal_ = std::move(*opened);
    worker_ = std::make_unique<IngestWorker>(log_, refused_, names_, limiter_, types_);
    feed_ = std::make_shared<JournalFeed>(
        JournalFeedOptions{.command_topic = "c", .most_entries = most_entries_}, *journal_, *worker_, refused_,
        devices_,
        [this](std::span<const kafka::OutgoingRecord> records) -> Status {
          const std::lock_guard lock(log_.mutex);
          if (commands_fail_) return Error{ErrorKind::kUnknownOutcome, "who knows"};
          commands_.insert(commands_.end(), records.begin(), records.end());
          return {};
        },
        gateway_metrics_, bridge_metrics_);
    feed_->start();
  }
  void close() {
    if (feed_) feed_->stop();
    {
      const std::lock_guard lock(log_.mutex);
      log_.waiters.clear();
    }
    feed_.reset();
    journal_.reset();
  }
  void append(int number, BridgeUse use = BridgeUse::kTelemetry, std::string_view device = "m-1") {
    const std::string payload = "{\"n\":" + std::to_string(number) + "}";
    std::string body;
    encode({.use = use,
            .qos = 1,
            .taken = 1'700'000'000'000'000 + number,
            .broker = "b",
            .tenant = "acme",
            .device = device,
            .metric_prefix = {},
            .topic = "devices/m-1/telemetry",
            .content_type = {},
            .message_id = {},
            .traceparent = {},
            .payload = payload},
           body);
    ASSERT_TRUE(journal_->append(body).ok());
    feed_->wake();
  }
  template <typename Condition>
  static void wait(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::sleep_for(1ms);
    }
  }

  std::string folder_;
  std::size_t most_entries_ = 32'768;
  observability::Metrics metrics_;
  GatewayMetrics gateway_metrics_{metrics_};
  BridgeMetrics bridge_metrics_{metrics_};
  Log log_;
  FakeRefused refused_;
  FakeDevices devices_;
  MetricNames names_{100};
  FakeLimits limits_;
  FakeTypes types_;
  Limiter limiter_{limits_, gateway_metrics_};
  std::vector<kafka::OutgoingRecord> commands_;
  bool commands_fail_ = false;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<IngestWorker> worker_;
  std::shared_ptr<JournalFeed> feed_;
};

TEST_F(JournalFeedTest, HandsOnInOrderUnderTheJournalsNames) {
  for (int i = 0; i < 100; ++i) append(i);
  wait([&] { return log_.size() == 100; });
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(log_.batches[i].ingest_id.counter, i + 1);
    EXPECT_EQ(log_.batches[i].ingest_id.start, log_.batches[0].ingest_id.start);
    EXPECT_EQ(log_.batches[i].ingest_time, 1'700'000'000'000'000 + static_cast<TimeUs>(i));
    EXPECT_EQ(log_.batches[i].protocol, telemetry::Protocol::kBridge);
  }
  EXPECT_NE(log_.batches[0].ingest_id.start, log_.start_id());
  EXPECT_EQ(journal_->confirmed().counter, 0U);
  log_.settle_all(acknowledged());
  wait([&] { return journal_->confirmed().counter == 101; });
}

// The heart of it: what a restart hands on again has the name it had, so readers of the log know it as a copy.
TEST_F(JournalFeedTest, AnEntryHasTheSameIngestIdAfterARestart) {
  for (int i = 0; i < 50; ++i) append(i);
  wait([&] { return log_.size() == 50; });
  close();  // no outcome came
  open();
  wait([&] { return log_.size() == 100; });
  close();
  open();
  append(50);
  wait([&] { return log_.size() == 151; });
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(log_.batches[50 + i].ingest_id, log_.batches[i].ingest_id);
    EXPECT_EQ(log_.batches[100 + i].ingest_id, log_.batches[i].ingest_id);
    EXPECT_EQ(log_.batches[100 + i].ingest_time, log_.batches[i].ingest_time);
  }
  EXPECT_NE(log_.batches[150].ingest_id.start, log_.batches[0].ingest_id.start);  // of the new run
}

// The same, asked of the copy rules themselves: as much as may be on its way, twice, and what comes after it.
TEST_F(JournalFeedTest, TheCopyRulesKnowEverythingThatARestartHandsOnAgain) {
  constexpr std::size_t kMost = 32'768;
  close();
  open(64 << 20);
  for (int i = 0; i < 40'000; ++i) append(i);
  wait([&] { return log_.size() == kMost; });
  close();  // killed: all of them are in the log, and no outcome came
  open(64 << 20);
  wait([&] { return log_.size() == 2 * kMost; });
  log_.settle_all(acknowledged());
  wait([&] { return log_.size() == kMost + 40'000; });
  telemetry::CopyRules rules;
  std::set<std::uint64_t> fresh;
  for (std::size_t i = 0; i < log_.batches.size(); ++i) {
    const auto verdict = rules.judge(static_cast<std::int64_t>(i), 1'700'000'000'000'000, log_.batches[i]);
    ASSERT_EQ(verdict.is_copy(), i >= kMost && i < 2 * kMost) << i;
    if (!verdict.is_copy()) fresh.insert(log_.batches[i].ingest_id.counter);
  }
  EXPECT_EQ(fresh.size(), 40'000U);
}

TEST_F(JournalFeedTest, WhatIsConfirmedIsNotHandedOnAgain) {
  for (int i = 0; i < 20; ++i) append(i);
  wait([&] { return log_.size() == 20; });
  log_.settle_all(acknowledged());
  wait([&] { return journal_->confirmed().counter == 21; });
  append(20);
  wait([&] { return log_.size() == 21; });
  close();
  open();
  wait([&] { return log_.size() == 22; });
  EXPECT_EQ(log_.batches[21].ingest_id, log_.batches[20].ingest_id);
  EXPECT_EQ(log_.batches[21].ingest_id.counter, 21U);
}

TEST_F(JournalFeedTest, AnUnknownOutcomeIsHandedOnAgainUnderTheSameName) {
  append(1);
  wait([&] { return log_.size() == 1; });
  log_.settle_all(Outcome{});
  wait([&] { return log_.size() == 2; });
  EXPECT_EQ(log_.batches[1].ingest_id, log_.batches[0].ingest_id);
  Outcome refused;
  refused.kind = Outcome::Kind::kRefused;
  refused.error = {ErrorKind::kUnavailable, "not now"};
  log_.settle_all(refused);
  wait([&] { return log_.size() == 3; });
  refused.error.kind = ErrorKind::kTooLarge;  // for ever
  log_.settle_all(refused);
  wait([&] { return journal_->confirmed().counter == 2; });
}

TEST_F(JournalFeedTest, NoMoreIsOnItsWayThanRuleZeroTellsApart) {
  close();
  most_entries_ = 10;
  open();
  for (int i = 0; i < 30; ++i) append(i);
  wait([&] { return log_.size() == 10; });
  std::this_thread::sleep_for(300ms);  // nothing else to await: that nothing comes
  EXPECT_EQ(log_.size(), 10U);
  for (std::size_t wanted : {20U, 30U}) {
    log_.settle_all(acknowledged());
    wait([&] { return log_.size() == wanted; });
  }
}

TEST_F(JournalFeedTest, WaitsForKafkaAndForTheRegistry) {
  // The end of the journal was seen: that must not count once there is more.
  EXPECT_TRUE(feed_->drain(std::chrono::steady_clock::now() + 60s));
  log_.accepts = false;
  append(1);
  EXPECT_FALSE(feed_->drain(std::chrono::steady_clock::now() + 60s));
  EXPECT_EQ(log_.size(), 0U);
  devices_.is_ready = false;
  log_.accepts = true;
  feed_->wake();
  EXPECT_FALSE(feed_->drain(std::chrono::steady_clock::now() + 60s));
  EXPECT_EQ(log_.size(), 0U);
  devices_.is_ready = true;
  wait([&] { return log_.size() == 1; });
  log_.settle_all(acknowledged());
  EXPECT_TRUE(feed_->drain(std::chrono::steady_clock::now() + 60s));
}

TEST_F(JournalFeedTest, UnknownDevicesAndBadPayloadsAreKeptAsRefused) {
  append(1, BridgeUse::kTelemetry, "unknown-1");
  append(2);
  wait([&] { return log_.size() == 1; });
  ASSERT_EQ(refused_.kept.size(), 1U);
  EXPECT_EQ(refused_.kept[0].error->fault, telemetry::PayloadFault::kUnknownDevice);
  EXPECT_EQ(refused_.kept[0].identity->key, "acme/unknown-1");
  Outcome kept;
  kept.kind = Outcome::Kind::kKeptAsRefused;
  refused_.kept[0].waiter.sink->settle(refused_.kept[0].waiter.token, kept);
  log_.settle_all(acknowledged());
  wait([&] { return journal_->confirmed().counter == 3; });
}

TEST_F(JournalFeedTest, CommandsBecomeEventsAndNeverTelemetry) {
  {
    const std::lock_guard lock(log_.mutex);
    commands_fail_ = true;
  }
  append(1, BridgeUse::kCommand);
  append(2);
  wait([&] { return log_.size() == 1; });
  log_.settle_all(acknowledged());
  EXPECT_EQ(journal_->confirmed().counter, 0U);
  {
    const std::lock_guard lock(log_.mutex);
    commands_fail_ = false;
  }
  wait([&] { return journal_->confirmed().counter == 3; });
  EXPECT_EQ(commands_.size(), 1U);
  EXPECT_EQ(log_.size(), 1U);
}

TEST_F(JournalFeedTest, AnEntryThatIsNoMessageHoldsUpNothing) {
  ASSERT_TRUE(journal_->append("from another program").ok());
  append(1);
  wait([&] { return log_.size() == 1; });
  EXPECT_EQ(log_.batches[0].ingest_id.counter, 2U);
  log_.settle_all(acknowledged());
  wait([&] { return journal_->confirmed().counter == 3; });
}

}  // namespace
}  // namespace millrace::gateway
