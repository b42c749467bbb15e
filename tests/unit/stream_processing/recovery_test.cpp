// Deterministic simulation: one seed is one log, one schedule of commits, ticks and crashes. What comes out with
// crashes must be what comes out without them, result by result.
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "log/partition_run.hpp"
#include "log/record_codec.hpp"
#include "task_harness.hpp"

namespace millrace::stream {
namespace {

using test::Collected;
using test::kMinute;
using test::kNoon;
using test::point;

struct Entry {
  TimeUs append = 0;
  std::string value;
};

// Devices that go on steadily, with readings out of order, late and far ahead, resent messages and untimed readings.
std::vector<Entry> make_log(std::mt19937_64& random, std::size_t records) {
  telemetry::BatchCodec codec;
  std::vector<Entry> log;
  std::vector<telemetry::Batch> sent;
  TimeUs now = kNoon;
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  for (std::size_t i = 0; i < records; ++i) {
    now += static_cast<TimeUs>(below(6)) * kUsPerSecond;
    telemetry::Batch batch;
    if (!sent.empty() && below(10) == 0) {
      batch = sent[sent.size() - 1 - below(std::min<std::size_t>(sent.size(), 20))];
      if (below(2) == 0) batch.ingest_id.counter += 1'000'000 + i;
    } else {
      const auto device = static_cast<std::int32_t>(1 + below(4));
      std::vector<telemetry::Point> points;
      for (std::uint64_t k = 0; k <= below(3); ++k) {
        TimeUs time = now - static_cast<TimeUs>(below(20)) * kUsPerSecond;
        if (below(25) == 0) time -= 5 * kMinute;
        if (below(40) == 0) time += 60 * kMinute;
        std::optional<TimeUs> given;
        if (below(4) != 0) given = time;
        const std::string metric = below(2) == 0 ? "v" : "w";
        points.push_back(below(12) == 0 ? point(metric, std::string("text"), given)
                                        : point(metric, static_cast<double>(below(1000)) / 8.0, given));
      }
      // So that every device is heard within the stretch that is read again.
      points.push_back(point("v", static_cast<double>(below(1000)) / 8.0, now));
      batch = test::message(device, std::move(points));
      batch.ingest_id.counter = i + 1;
      batch.ingest_time = now - 1'000;
      batch.delivery.publisher = batch.device;
      batch.delivery.message_id = "m" + std::to_string(i);
      batch.delivery.payload_hash = i;
      sent.push_back(batch);
    }
    Entry entry{now, {}};
    codec.encode(batch, entry.value);
    log.push_back(std::move(entry));
    // Every device at least once a minute.
    if (i % 12 == 0) now += kUsPerSecond;
  }
  return log;
}

std::shared_ptr<const RuleBook> rules_of_the_test() {
  return test::book_of({test::rule("high", "v", "value > 100", "value < 60"), test::rule("low", "w", "value < 10")});
}

struct Outcome {
  std::vector<Collected::Result> windows;
  std::vector<std::string> alerts;
  std::vector<Collected::Late> lates;
  std::vector<Tick> ticks;

  void append(const Collected& part) {
    windows.insert(windows.end(), part.windows.begin(), part.windows.end());
    for (const Alert& one : part.alerts) alerts.push_back(encode(one));
    lates.insert(lates.end(), part.lates.begin(), part.lates.end());
  }
};

// The partition's owner as the service is: what was not committed is gone after a crash.
class Owner {
 public:
  explicit Owner(const std::vector<Entry>& log) : log_(log) { recover(); }

  [[nodiscard]] bool done() const { return run_->next_offset() == static_cast<std::int64_t>(log_.size()); }
  void take() {
    const auto offset = run_->next_offset();
    const Entry& entry = log_[static_cast<std::size_t>(offset)];
    run_->take({offset, entry.append, entry.value}, decoder_, pending_);
    ASSERT_FALSE(run_->stopped()) << *run_->stopped();
  }
  void tick(TimeUs log_time) {
    if (!run_->is_live()) return;
    const std::int64_t offset = run_->next_offset();
    const TimeUs before = run_->task().log_time();
    run_->tick(log_time, pending_);
    if (run_->task().log_time() != before) pending_ticks_.push_back({offset, log_time});
  }
  void commit() {
    if (!run_->is_live()) return;
    committed_ = run_->next_offset();
    metadata_ = encode(run_->resume_point());
    run_->note_committed();
    outcome_.append(pending_);
    for (const Alert& one : pending_.alerts) alerts_[one.alert_key] = encode(one);
    outcome_.ticks.insert(outcome_.ticks.end(), pending_ticks_.begin(), pending_ticks_.end());
    pending_ = {};
    pending_ticks_.clear();
  }
  void recover() {
    pending_ = {};
    pending_ticks_.clear();
    PartitionRun::Start start{0, committed_, {}};
    if (!metadata_.empty()) {
      auto point = decode_resume_point(metadata_);
      ASSERT_TRUE(point.ok());
      start.point = std::move(*point);
      start.read_from = std::min(start.point.replay_from, std::max<std::int64_t>(0, committed_ - 300));
    }
    auto task = std::make_unique<PartitionTask>(0, 0, PartitionTask::Settings{}, rules_of_the_test());
    for (const auto& [key, bytes] : alerts_) task->restore_alert(*decode_alert(bytes));
    run_ = std::make_unique<PartitionRun>(0, std::move(start), std::move(task));
  }
  [[nodiscard]] bool is_live() const { return run_->is_live(); }
  [[nodiscard]] const Outcome& outcome() const { return outcome_; }
  [[nodiscard]] TimeUs log_time() const { return run_->task().log_time(); }

 private:
  const std::vector<Entry>& log_;
  PartitionRun::Decoder decoder_;
  std::unique_ptr<PartitionRun> run_;
  Collected pending_;
  std::vector<Tick> pending_ticks_;
  std::int64_t committed_ = 0;
  std::string metadata_;
  std::map<std::string, std::string> alerts_;  // the compacted topic
  Outcome outcome_;
};

Outcome with_crashes(const std::vector<Entry>& log, std::mt19937_64& random, int& crashes) {
  Owner owner(log);
  while (!owner.done()) {
    owner.take();
    const auto dice = random() % 100;
    if (dice < 20) owner.commit();
    if (dice >= 20 && dice < 24) owner.tick(owner.log_time() + static_cast<TimeUs>(random() % 4) * kMinute);
    // While reading again rarely, or it would never get through.
    if (dice >= 90 && dice < 93 && (owner.is_live() || random() % 40 == 0)) {
      owner.recover();
      ++crashes;
    }
  }
  owner.commit();
  return owner.outcome();
}

Outcome undisturbed(const std::vector<Entry>& log, const std::vector<Tick>& ticks) {
  Owner owner(log);
  std::size_t next = 0;
  for (std::int64_t offset = 0; !owner.done(); ++offset) {
    owner.take();
    for (; next < ticks.size() && ticks[next].offset == offset + 1; ++next) owner.tick(ticks[next].log_time);
  }
  owner.commit();
  return owner.outcome();
}

// Which result differs first, for a person; empty if none.
std::string difference(const std::vector<Collected::Result>& a, const std::vector<Collected::Result>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i < a.size() && i < b.size() && a[i] == b[i]) continue;
    const auto text = [i](const std::vector<Collected::Result>& list) {
      if (i >= list.size()) return std::string("nothing");
      return list[i].series + " " + std::to_string((list[i].start - kNoon) / kMinute) + " min, count " +
             std::to_string(list[i].figures.count) + ", mean " + std::to_string(list[i].figures.mean);
    };
    return "result " + std::to_string(i) + ": " + text(a) + " / " + text(b);
  }
  return {};
}

TEST(Recovery, CrashesDoNotShowInTheResults) {
  int crashes = 0;
  std::size_t windows = 0;
  std::size_t alerts = 0;
  std::size_t lates = 0;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    std::mt19937_64 random(seed);
    const std::vector<Entry> log = make_log(random, 400);
    const Outcome disturbed = with_crashes(log, random, crashes);
    const Outcome expected = undisturbed(log, disturbed.ticks);
    ASSERT_EQ(difference(disturbed.windows, expected.windows), "") << "seed " << seed;
    ASSERT_TRUE(disturbed.alerts == expected.alerts) << "seed " << seed;
    ASSERT_TRUE(disturbed.lates == expected.lates) << "seed " << seed;
    windows += expected.windows.size();
    alerts += expected.alerts.size();
    lates += expected.lates.size();
  }
  // The simulation must have had something to lose.
  EXPECT_GT(crashes, 1'000);
  EXPECT_GT(windows, 5'000U);
  EXPECT_GT(alerts, 1'000U);
  EXPECT_GT(lates, 100U);
}

TEST(Recovery, AnotherRecordBeforeThePositionStopsThePartition) {
  std::mt19937_64 random(1);
  std::vector<Entry> log = make_log(random, 20);
  PartitionRun::Decoder decoder;
  Collected out;
  const auto make = [](PartitionRun::Start start) {
    return PartitionRun(5, std::move(start),
                        std::make_unique<PartitionTask>(5, 0, PartitionTask::Settings{}, rules_of_the_test()));
  };
  PartitionRun first = make({});
  for (std::size_t i = 0; i < 10; ++i)
    first.take({static_cast<std::int64_t>(i), log[i].append, log[i].value}, decoder, out);
  PartitionRun second = make({5, 10, first.resume_point()});
  std::swap(log[9], log[10]);
  for (std::size_t i = 5; i < 12; ++i)
    second.take({static_cast<std::int64_t>(i), log[i].append, log[i].value}, decoder, out);
  ASSERT_TRUE(second.stopped());
  EXPECT_NE(second.stopped()->find("partition 5: the record 9 is not the one"), std::string::npos);
  EXPECT_EQ(second.next_offset(), 9);

  PartitionRun third = make({});
  third.take({0, log[0].append, log[0].value}, decoder, out);
  third.take({2, log[2].append, log[2].value}, decoder, out);
  ASSERT_TRUE(third.stopped()) << "a hole in the log";
}

Entry reading(TimeUs time, double value) {
  static std::uint64_t counter = 0;
  telemetry::Batch batch = test::message(1, {point("v", value, time)});
  batch.ingest_time = time;
  batch.delivery.publisher = batch.device;
  batch.delivery.message_id = "g" + std::to_string(++counter);
  Entry entry{time, {}};
  telemetry::BatchCodec codec;
  codec.encode(batch, entry.value);
  return entry;
}

// The log is cut behind its second record and goes on with other ones, as `millrace admin log --accept` lets it.
class CutLog : public testing::Test {
 protected:
  static constexpr std::int64_t kCut = 2;

  void take(PartitionRun& run, std::int64_t offset, const Entry& entry) {
    run.take({offset, entry.append, entry.value}, decoder_, out_);
    ASSERT_FALSE(run.stopped()) << *run.stopped();
  }
  static std::unique_ptr<PartitionRun> make(PartitionRun::Start start) {
    auto task =
        std::make_unique<PartitionTask>(0, start.point.generation, PartitionTask::Settings{}, test::book_of({}));
    return std::make_unique<PartitionRun>(0, std::move(start), std::move(task));
  }
  std::unique_ptr<PartitionRun> before_the_cut() {
    auto run = make({});
    for (std::size_t i = 0; i < log_.size(); ++i) take(*run, static_cast<std::int64_t>(i), log_[i]);
    return run;
  }
  std::unique_ptr<PartitionRun> behind_the_cut(PartitionRun& old) {
    const ResumePoint point = carried_over(old.resume_point(), 1, kCut);
    auto run = make({0, kCut, point});
    for (std::int64_t i = 0; i < kCut; ++i) take(*run, i, log_[static_cast<std::size_t>(i)]);
    return run;
  }

  std::vector<Entry> log_{reading(kNoon, 1), reading(kNoon + kUsPerSecond, 2), reading(kNoon + 2 * kUsPerSecond, 3)};
  PartitionRun::Decoder decoder_;
  Collected out_;
};

TEST_F(CutLog, OpenWindowsGoOnWithWhatTheLogStillHas) {
  const auto run = behind_the_cut(*before_the_cut());
  ASSERT_TRUE(run->is_live());
  take(*run, kCut, reading(kNoon + 3 * kUsPerSecond, 9));
  run->tick(kNoon + 5 * kMinute, out_);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].figures.count, 3);
  EXPECT_EQ(out_.windows[0].figures.last, 9);
  EXPECT_EQ(run->resume_point().generation, 1);
}

TEST_F(CutLog, AWindowThatWasClosedStaysClosed) {
  const auto old = before_the_cut();
  old->tick(kNoon + 5 * kMinute, out_);
  ASSERT_EQ(out_.windows.size(), 1U);
  const auto run = behind_the_cut(*old);
  EXPECT_EQ(run->task().open_windows(), 0U);
  run->tick(kNoon + 9 * kMinute, out_);
  EXPECT_EQ(out_.windows.size(), 1U);
}

TEST_F(CutLog, ClosedByTheRecordsThatWereCutOffItStaysClosedToo) {
  log_.push_back(reading(kNoon + 5 * kMinute, 4));
  const auto old = before_the_cut();
  ASSERT_EQ(out_.windows.size(), 1U);
  const auto run = behind_the_cut(*old);
  EXPECT_EQ(run->task().open_windows(), 0U);
  run->tick(kNoon + 9 * kMinute, out_);
  EXPECT_EQ(out_.windows.size(), 1U);
}

TEST(Recovery, BytesThatAreNoBatchAreSkippedAndCounted) {
  PartitionRun::Decoder decoder;
  Collected out;
  PartitionRun run(0, {}, std::make_unique<PartitionTask>(0, 0, PartitionTask::Settings{}, rules_of_the_test()));
  run.take({0, kNoon, "\xff\xff garbage"}, decoder, out);
  run.take({1, kNoon, ""}, decoder, out);
  EXPECT_EQ(run.next_offset(), 2);
  EXPECT_EQ(run.task().counts().undecodable, 2U);
  EXPECT_FALSE(run.stopped());
}

}  // namespace
}  // namespace millrace::stream
