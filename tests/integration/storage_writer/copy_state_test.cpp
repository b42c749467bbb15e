// What tells copies apart, kept over restarts and takeovers: the window of log that is read again is made so small that
// only the saved state can know.
#include <millrace/base/digest.hpp>

#include "copies/copy_states.hpp"
#include "log/log_opener.hpp"
#include "writer_fixture.hpp"

namespace millrace::writer {
namespace {

using std::chrono::milliseconds;

class CopyStateTest : public WriterTest {
 protected:
  static constexpr std::int32_t kDevice = 1;
  static constexpr std::int32_t kPartition = kDevice % kPartitions;
  static constexpr int kMany = 40;

  void SetUp() override {
    WriterTest::SetUp();
    config_.copy_window = seconds{0};
    config_.copy_records = 0;
    config_.copy_state_interval = milliseconds{50};
  }

  telemetry::Batch identified(const std::string& id) {
    telemetry::Batch batch = message(kDevice, std::nullopt, static_cast<double>(++value_));
    batch.protocol = telemetry::Protocol::kHttp;
    batch.delivery.message_id = id;
    batch.delivery.payload_hash = hash64(id);
    return batch;
  }
  /// The device sends it again: another record, another ingest id.
  void send_again(telemetry::Batch batch) {
    batch.ingest_id.counter = ++counter_;
    send(batch);
  }
  void send_many() {
    std::vector<kafka::OutgoingRecord> records;
    for (int i = 0; i < kMany; ++i) records.push_back(record(message(kDevice, std::nullopt, ++value_)));
    send(records);
  }
  void stop_cleanly() {
    for (const runtime::Phase& phase : app_->stop_phases()) {
      const Status done = phase.run(std::chrono::steady_clock::now() + seconds{60});
      ASSERT_TRUE(done.ok()) << phase.name << ": " << done.error().message;
    }
    app_.reset();
  }
  std::int64_t saved_offset() {
    return ask("SELECT coalesce(max(log_offset), -1)::int8 FROM storage.copy_state WHERE part = 1" + of_telemetry());
  }
  [[nodiscard]] bool saved_up_to(std::int64_t offset) {
    return testing::eventually([&] { return saved_offset() == offset; });
  }
  std::int64_t dropped(std::int64_t original) {
    return ask("SELECT count(*) FROM storage.dropped_copy WHERE rule = 1 AND original_offset = " +
               std::to_string(original));
  }
  void expect_recognised(const telemetry::Batch& batch, std::int64_t original) {
    const std::int64_t before = rows();
    const std::int64_t copies = dropped(original);
    send_again(batch);
    ASSERT_TRUE(all_accounted());
    EXPECT_EQ(rows(), before);
    EXPECT_EQ(dropped(original), copies + 1);
  }

  int value_ = 0;
};

TEST_F(CopyStateTest, AnExplicitIdIsRememberedOverARestart) {
  run_writer();
  const telemetry::Batch one = identified("one");
  send(one);
  send_many();
  ASSERT_TRUE(all_accounted());
  stop_cleanly();
  EXPECT_EQ(saved_offset(), sent_) << "a clean stop leaves nothing to read again";
  run_writer();
  expect_recognised(one, 0);
}

TEST_F(CopyStateTest, WithoutAStateOnlyTheWindowIsKnown) {
  run_writer();
  const telemetry::Batch one = identified("one");
  send(one);
  send_many();
  ASSERT_TRUE(all_accounted());
  stop_cleanly();
  ASSERT_TRUE(session_->script("DELETE FROM storage.copy_state"));
  run_writer();
  send_again(one);
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), kMany + 2) << "the tests beside this one would pass without a state";
}

TEST_F(CopyStateTest, AnotherWriterThatTakesThePartitionKnowsThem) {
  run_writer();
  const telemetry::Batch one = identified("one");
  send(one);
  send_many();
  ASSERT_TRUE(saved_up_to(sent_));
  const telemetry::Batch two = identified("two");
  send(two);
  send_many();
  ASSERT_TRUE(all_accounted());
  // In no group with it: the first one goes on believing that the partitions are its own.
  Config other = config_;
  other.group = config_.group + "-other";
  auto second = std::make_unique<StorageWriterApp>(other);
  ASSERT_TRUE(second->start().ok());
  expect_recognised(one, 0);
  expect_recognised(two, kMany + 1);
  app_.reset();
  expect_recognised(one, 0);
  second.reset();
  run_writer();
  expect_recognised(two, kMany + 1);
}

TEST_F(CopyStateTest, APartitionHandedOverInTheGroupKeepsThem) {
  run_writer();
  const telemetry::Batch one = identified("one");
  send(one);
  send_many();
  ASSERT_TRUE(saved_up_to(sent_));
  StorageWriterApp second(config_);
  ASSERT_TRUE(second.start().ok());
  send_many();
  ASSERT_TRUE(all_accounted());
  app_.reset();
  expect_recognised(one, 0);
}

// Killed after a commit and before the state was saved again: the state of an earlier offset beside a later position.
TEST_F(CopyStateTest, AStateBehindThePositionIsMadeUpForByTheLog) {
  run_writer();
  const telemetry::Batch one = identified("one");
  send(one);
  send_many();
  ASSERT_TRUE(saved_up_to(sent_));
  ASSERT_TRUE(
      session_->script("CREATE TABLE kept AS SELECT * FROM storage.copy_state;"
                       "CREATE TABLE kept_piece AS SELECT * FROM storage.copy_state_piece"));
  const telemetry::Batch two = identified("two");
  send(two);
  send_many();
  ASSERT_TRUE(saved_up_to(sent_));
  stop_cleanly();
  ASSERT_TRUE(
      session_->script("DELETE FROM storage.copy_state; INSERT INTO storage.copy_state SELECT * FROM kept;"
                       "INSERT INTO storage.copy_state_piece SELECT * FROM kept_piece"));
  ASSERT_EQ(saved_offset(), kMany + 1);
  run_writer();
  expect_recognised(one, 0);
  expect_recognised(two, kMany + 1);
  EXPECT_EQ(rows(), 2 * kMany + 2);
}

TEST_F(CopyStateTest, AFencedWriterCannotPutAnOlderStateOverANewerOne) {
  run_writer();
  send_many();
  ASSERT_TRUE(all_accounted());
  stop_cleanly();
  const std::int32_t generation =
      static_cast<std::int32_t>(ask("SELECT generation FROM storage.ingest_offset WHERE part = 1" + of_telemetry()));
  const std::string topic = config_.topics.telemetry();
  ASSERT_TRUE(session_->script("DELETE FROM storage.copy_state"));
  const auto save = [&](std::int32_t of_generation, std::int64_t offset, const std::string& bytes) {
    const auto saved = save_copy_state(*session_, topic, {kPartition, of_generation, offset, bytes});
    EXPECT_TRUE(saved.ok()) << saved.error().message;
    return saved.ok() && *saved;
  };
  EXPECT_FALSE(save(generation, kMany + 1, "beyond what is committed"));
  EXPECT_FALSE(save(generation + 1, 5, "of another generation"));
  EXPECT_EQ(saved_offset(), -1);
  EXPECT_TRUE(save(generation, 20, std::string(3U << 20, 'x')));
  EXPECT_EQ(ask("SELECT count(*) FROM storage.copy_state_piece"), 3);
  EXPECT_TRUE(save(generation, 21, "newer"));
  EXPECT_FALSE(save(generation, 20, "older"));
  EXPECT_FALSE(save(generation, 21, "as new"));
  const auto read = read_copy_state(*session_, topic, kPartition);
  ASSERT_TRUE(read.ok() && read->has_value());
  EXPECT_EQ((*read)->bytes, "newer");
  EXPECT_EQ((*read)->offset, 21);
  EXPECT_EQ((*read)->position, kMany);
  // What somebody else has replaced meanwhile is not what was found useless.
  ASSERT_TRUE(discard_copy_state(*session_, topic, {kPartition, generation, 20, {}}).ok());
  EXPECT_EQ(saved_offset(), 21);
}

class UselessCopyState : public CopyStateTest, public ::testing::WithParamInterface<std::pair<const char*, int>> {};

TEST_P(UselessCopyState, FallsBackToTheLogAndIsCounted) {
  const auto& [change, counted] = GetParam();
  config_.copy_window = seconds{600};
  config_.copy_records = 1'000'000;
  run_writer();
  const telemetry::Batch one = identified("one");
  send(one);
  send_many();
  ASSERT_TRUE(all_accounted());
  stop_cleanly();
  ASSERT_EQ(saved_offset(), sent_) << "also of a state that waited for its records to be committed";
  ASSERT_TRUE(session_->script(change));
  {
    observability::Metrics metrics;
    const WriterMetrics writer_metrics(metrics);
    Store store(config_.database, config_.topics.telemetry());
    NameTable names;
    RecordTaker taker(names, {});
    LogOpener opener(config_, store, taker, writer_metrics);
    const auto opened = opener.open(std::array{kPartition}, [] { return false; });
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_EQ(opened->partitions.at(kPartition).saved.offset, -1);
    EXPECT_NE(metrics.expose().find("millrace_storage_writer_copy_states_unusable_total " + std::to_string(counted)),
              std::string::npos);
  }
  EXPECT_EQ(saved_offset() == -1, counted == 1) << "it is not asked again";
  run_writer();
  expect_recognised(one, 0);
  EXPECT_TRUE(saved_up_to(sent_)) << "and there is one again";
}

INSTANTIATE_TEST_SUITE_P(
    Ways, UselessCopyState,
    ::testing::Values(
        std::pair{"UPDATE storage.copy_state_piece SET bytes = set_byte(bytes, 30, get_byte(bytes, 30) # 16)", 1},
        std::pair{"UPDATE storage.copy_state_piece SET bytes = set_byte(bytes, 4, 77)", 1},
        std::pair{"UPDATE storage.copy_state_piece SET bytes = substring(bytes FROM 1 FOR length(bytes) - 1)", 1},
        std::pair{"DELETE FROM storage.copy_state_piece", 1},
        std::pair{"UPDATE storage.copy_state SET log_offset = log_offset - 1", 1},
        std::pair{"UPDATE storage.copy_state SET log_offset = log_offset + 1000", 1},
        std::pair{"UPDATE storage.copy_state SET generation = generation - 1", 0}));

}  // namespace
}  // namespace millrace::writer
