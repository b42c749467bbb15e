// What goes of old days, whose, and that the space comes back.
#include <csignal>

#include <millrace/storage_schema/statements.hpp>

#include "days_fixture.hpp"
#include "tiers/retention_keeper.hpp"

namespace millrace::writer {
namespace {

using registry_view::RetentionPlan;

/// Devices 1 to 3 of acme, 3 of type `meter`; device 4 of other. 206 points a series and day, less on the last.
class RetentionTest : public DaysTest {
 protected:
  static constexpr std::int32_t kFirstDay = kFirst / kDay;

  void SetUp() override {
    DaysTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    script(
        "INSERT INTO storage.metric (tenant, name, type) SELECT 'acme', 'm' || i, 1 FROM generate_series(1, 4) i;"
        "INSERT INTO storage.metric (tenant, name, type) SELECT 'other', 'm' || i, 1 FROM generate_series(1, 4) i");
    retention_.patience = std::chrono::milliseconds{300};
  }

  void insert_both(int days) {
    insert_days(days);
    script(
        "INSERT INTO storage.sample SELECT time, 4, metric + 4, value, kind, other, untimed FROM storage.sample"
        " WHERE device_id = 1;"
        "SELECT storage.ensure_window_days((SELECT array_agg(date '2024-10-04' + i) FROM generate_series(0, " +
        std::to_string(days - 1) +
        ") i));"
        "INSERT INTO storage.window_result SELECT d, CASE d WHEN 4 THEN 5 ELSE 1 END, timestamptz '2024-10-04 00:00+00'"
        " + i * interval '1 hour', 60000000, 1, 1, 1, 1, 1, now(), 1, true, false FROM generate_series(1, 4) d,"
        " generate_series(0, " +
        std::to_string(days * 24 - 1) + ") i");
  }

  /// `days` of acme and of its meters; below 0: no rule.
  static RetentionPlan plan(std::int32_t acme, std::int32_t meters = -1, std::int32_t other = -1) {
    RetentionPlan plan;
    plan.highest_key = 4;
    if (acme >= 0) plan.rules.push_back({"acme", "", acme});
    if (meters >= 0) {
      plan.rules.push_back({"acme", "meter", meters});
      plan.devices.push_back({3, static_cast<std::int32_t>(plan.rules.size() - 1)});
    }
    if (other >= 0) plan.rules.push_back({"other", "", other});
    return plan;
  }

  /// At noon of the day that is `days` after the first.
  RetentionWork retain(const RetentionPlan& plan, int days, KeeperSession::OnStep on_step = {}) {
    const auto connection = patient_session();
    RetentionKeeper keeper(*connection, retention_, [] { return false; }, std::move(on_step));
    Result<RetentionWork> work = RetentionWork{};
    EXPECT_TRUE(testing::eventually([&] {
      work = keeper.pass(plan, kFirst + days * kDay + kDay / 2);
      return !work || !work->elsewhere;
    }));
    if (!work) {
      ADD_FAILURE() << work.error().message;
      return {};
    }
    EXPECT_EQ(work->days_failed, 0) << work->failure;
    return *work;
  }

  /// How many days a pass looks into. Counters of the database's tables come with a delay.
  int looks(const RetentionPlan& plan, int days) {
    int looks = 0;
    retain(plan, days, [&](std::string_view step) { looks += step == "retention-look" ? 1 : 0; });
    return looks;
  }

  static std::int64_t points(const RetentionWork& work) {
    std::int64_t sum = 0;
    for (const auto& one : work.removed) sum += one.points;
    return sum;
  }

  /// What can be read of one device, as one number.
  std::int64_t fingerprint_of(int device) {
    return ask(
        "SELECT coalesce(sum(hashtextextended((time, metric, value, kind, other, coalesce(untimed, false))::text, 0)"
        "::numeric % 1000000007)::int8 + count(*) * 1000000000, 0) FROM storage.point WHERE device_id = " +
        std::to_string(device));
  }
  std::int64_t points_of(int device, const std::string& day) {
    return ask("SELECT count(*) FROM storage.point WHERE device_id = " + std::to_string(device) +
               " AND time >= storage.day_start('" + day + "') AND time < storage.day_start(date '" + day + "' + 1)");
  }

  RetentionLimits retention_;
};

TEST_F(RetentionTest, WithoutARuleNothingIsLookedAt) {
  insert_both(1);
  int steps = 0;
  const auto count = [&](std::string_view step) { steps += step.starts_with("retention") ? 1 : 0; };
  EXPECT_TRUE(retain({}, 500, count).removed.empty());
  EXPECT_TRUE(retain(plan(0, 0, 0), 500, count).removed.empty()) << "for ever";
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(points_of(1, "2024-10-04"), 4 * 205);
}

TEST_F(RetentionTest, ACompactedDayLosesOneTenantAndTheOthersKeepTheirs) {
  insert_both(3);
  pass();
  script("INSERT INTO storage.latest VALUES (1, 1, '2024-10-04 00:00+00', 1, NULL, NULL, '2024-10-04 00:00+00')");
  const std::int64_t other = fingerprint_of(4);
  const std::int64_t before = ask("SELECT count(*) FROM storage.point");
  // At noon of the third day: the first ended 36 hours ago, the second 12.
  const RetentionWork work = retain(plan(1), 2);
  ASSERT_EQ(work.removed.size(), 1U);
  EXPECT_EQ(work.removed[0].tenant, "acme");
  EXPECT_EQ(work.removed[0].day, kFirstDay);
  EXPECT_GT(work.removed[0].bytes, 0);
  EXPECT_EQ(before - ask("SELECT count(*) FROM storage.point"), points(work)) << "what it says is what went";
  EXPECT_EQ(points(work), 3 * 4 * 206);
  EXPECT_EQ(points_of(1, "2024-10-04"), 0);
  EXPECT_GT(points_of(1, "2024-10-05"), 0);
  EXPECT_EQ(fingerprint_of(4), other);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup_day WHERE day = '2024-10-04' AND device_id < 4"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup_day WHERE day = '2024-10-04' AND device_id = 4"), 4);
  EXPECT_EQ(ask("SELECT points FROM storage.day WHERE day = '2024-10-04'"), 4 * 206);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.window_result WHERE start < '2024-10-05 00:00+00' AND device_id < 4"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.window_result WHERE start < '2024-10-05 00:00+00'"), 24);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.latest"), 1) << "the newest value stays";
  EXPECT_TRUE(retain(plan(1), 2).removed.empty());
  EXPECT_TRUE(testing::eventually([&] { return looks(plan(1), 2) == 0; })) << "nothing has come since";
}

TEST_F(RetentionTest, ATypeHasItsOwnDaysAndLaterChangesAreSeen) {
  insert_both(2);
  pass();
  EXPECT_EQ(points(retain(plan(10, 1), 4)), 4 * (206 + 204)) << "the meter alone";
  EXPECT_EQ(points_of(3, "2024-10-04"), 0);
  EXPECT_EQ(points_of(1, "2024-10-04"), 4 * 206);
  EXPECT_EQ(points(retain(plan(1, 10), 2)), 2 * 4 * 206) << "the others, and not again the meter";
  // The device gets another type: it is under its tenant's rule from now on.
  RetentionPlan changed = plan(1, 0);
  changed.devices[0].device_key = 2;
  EXPECT_TRUE(retain(plan(1, 0), 1).removed.empty());
  EXPECT_EQ(points(retain(changed, 3)), 4 * 204) << "device 1 on the second day; 2 is kept now";
  EXPECT_EQ(points_of(2, "2024-10-05"), 4 * 204);
}

TEST_F(RetentionTest, ADeviceThatIsNewMakesNoDayBeLookedAtAgain) {
  insert_both(2);
  pass();
  RetentionPlan with = plan(1, 0);
  ASSERT_TRUE(testing::eventually([&] { return looks(with, 4) == 0; }));
  with.highest_key = 9;
  with.devices.push_back({9, 1});
  EXPECT_EQ(looks(with, 4), 0);
  with.devices.erase(with.devices.begin());
  EXPECT_EQ(points(retain(with, 4)), 4 * (206 + 204)) << "the meter is none any more";
}

TEST_F(RetentionTest, ADayOfWhichNothingStaysGoesAsAWholeWithItsSpace) {
  insert_both(3);
  pass();
  script("SELECT storage.hot_again('2024-10-05')");
  const RetentionWork work = retain(plan(1, -1, 1), 3);
  EXPECT_EQ(work.days_emptied, 2) << "one compacted, one hot";
  EXPECT_EQ(points(work), 16 * (206 + 206));
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE time < '2024-10-06 00:00+00'"), 0);
  EXPECT_GT(ask("SELECT count(*) FROM storage.point"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM pg_class WHERE relname IN ('segment_20241004', 'segment_20241005')"), 0);
  EXPECT_EQ(
      ask("SELECT pg_relation_size('storage.sample_20241005') + pg_relation_size('storage.window_result_20241004')"),
      0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup_day WHERE day < '2024-10-06'"), 0);
  // What comes late is stored, and goes with the next pass.
  script("INSERT INTO storage.sample VALUES ('2024-10-04 12:00+00', 1, 1, 1)");
  EXPECT_EQ(points_of(1, "2024-10-04"), 1);
  ASSERT_TRUE(testing::eventually([&] { return points(retain(plan(1, -1, 1), 3)) == 1; }));
  EXPECT_EQ(points_of(1, "2024-10-04"), 0);
}

TEST_F(RetentionTest, RowsOfAHotDayAndOfTheDefaultPartitionGoToo) {
  insert_both(2);
  script("INSERT INTO storage.sample VALUES ('2020-01-01 12:00+00', 1, 1, 1), ('2020-01-01 12:00+00', 4, 5, 1)");
  const std::int64_t other = fingerprint_of(4);
  retention_.most_at_once = 500;
  const RetentionWork work = retain(plan(1), 2);
  EXPECT_EQ(points(work), 1 + 3 * 4 * 206);
  EXPECT_EQ(fingerprint_of(4), other);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample_default"), 1);
  EXPECT_EQ(points_of(1, "2024-10-04"), 0);
  EXPECT_EQ(pass().days_compacted, 2) << "and what is left is compacted as ever";
  EXPECT_EQ(fingerprint_of(4), other);
}

TEST_F(RetentionTest, TheSpaceOfSegmentsThatAreGoneComesBack) {
  insert_both(1);
  script(
      "INSERT INTO storage.sample SELECT timestamptz '2024-10-04 00:00+00' + i * interval '40 seconds', d, 1,"
      " random() FROM generate_series(10, 60) d, generate_series(0, 2159) i");
  limits_.rows_at_once = 1'000'000;
  pass();
  const std::int64_t other = fingerprint_of(4);
  const std::int64_t before = ask("SELECT pg_total_relation_size('storage.segment_20241004')");
  // A statement that began before the copy would not see it.
  const auto reader = patient_session();
  const RetentionWork held = retain(plan(1), 2, [&](std::string_view step) {
    if (step != "rebuild") return;
    ASSERT_TRUE(reader->script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM storage.metric"));
  });
  EXPECT_EQ(held.days_rebuilt, 0);
  EXPECT_EQ(held.days_waiting, 1);
  const auto seen = reader->exec("SELECT count(*) FROM storage.point WHERE device_id = 4");
  ASSERT_TRUE(seen.ok()) << seen.error().message;
  EXPECT_EQ(seen->integer(0, 0), 4 * 205);
  reader->rollback();
  const RetentionWork work = retain(plan(1), 2);
  EXPECT_EQ(work.days_rebuilt, 1);
  ASSERT_EQ(work.locked_seconds.size(), 1U);
  EXPECT_LT(ask("SELECT pg_total_relation_size('storage.segment_20241004')"), before / 2);
  EXPECT_EQ(fingerprint_of(4), other);
  EXPECT_EQ(ask("SELECT expired_bytes FROM storage.day"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM pg_class WHERE relname LIKE 'segment_%_new'"), 0);
}

TEST_F(RetentionTest, AChangeWhileTheSegmentsAreCopiedIsKept) {
  insert_both(1);
  pass();
  retention_.dead_share = 0.01;
  bool once = false;
  const RetentionWork held = retain(plan(1), 2, [&](std::string_view step) {
    if (step != "rebuild-done" || once) return;
    once = true;
    script(
        "SELECT storage.reopen('{4}', '{5}', '{2024-10-04 00:00+00}');"
        "UPDATE storage.sample SET value = 4711 WHERE device_id = 4 AND metric = 5 AND time = '2024-10-04 00:00+00'");
  });
  EXPECT_TRUE(once);
  EXPECT_EQ(held.days_rebuilt, 0);
  const std::int64_t other = fingerprint_of(4);
  pass();
  EXPECT_EQ(retain(plan(1), 2).days_rebuilt, 1);
  EXPECT_EQ(fingerprint_of(4), other);
  EXPECT_EQ(
      ask("SELECT value::int8 FROM storage.point WHERE device_id = 4 AND metric = 5 AND time = '2024-10-04 00:00+00'"),
      4711);
}

TEST_F(RetentionTest, ADayInOtherHandsWaits) {
  insert_both(2);
  script("SELECT storage.close_day('2024-10-04')");
  script("SELECT storage.archive_begin('2024-10-05')");
  const RetentionWork partly = retain(plan(1), 4);
  EXPECT_EQ(partly.days_waiting, 2);
  EXPECT_TRUE(partly.removed.empty());
  EXPECT_EQ(points_of(1, "2024-10-04"), 4 * 206);
  const RetentionWork whole = retain(plan(1, -1, 1), 4);
  EXPECT_EQ(whole.days_emptied, 1) << "a day that is being compacted can go as a whole, one that is being archived not";
  EXPECT_EQ(whole.days_waiting, 1);
  EXPECT_EQ(points_of(1, "2024-10-05"), 4 * 204);
  // Somebody reads, and goes on reading.
  script("DROP TRIGGER archive_change ON storage.sample_20241005");
  const auto reader = patient_session();
  ASSERT_TRUE(reader->script("BEGIN; SELECT count(*) FROM storage.sample_20241005"));
  EXPECT_EQ(retain(plan(1, -1, 1), 4).days_waiting, 1);
  reader->rollback();
  EXPECT_EQ(retain(plan(1, -1, 1), 4).days_emptied, 1);
}

TEST_F(RetentionTest, TheDryRunSaysWhatThePassThenRemoves) {
  insert_both(3);
  script("INSERT INTO storage.sample VALUES ('2020-01-01 12:00+00', 1, 1, 1)");
  pass();
  script("SELECT storage.hot_again('2024-10-05')");
  const RetentionPlan rules = plan(2, 1, 0);
  std::int64_t points_said = 0;
  std::int64_t bytes_said = 0;
  const std::int32_t today = kFirstDay + 4;
  const auto days =
      session_->exec(storage_schema::sql::kRetentionDays, postgres::Params{}.integer(rules.first_kept_day(today)));
  ASSERT_TRUE(days.ok()) << days.error().message;
  EXPECT_EQ(days->size(), 4) << "of 2020, and three of 2024";
  for (int i = 0; i < days->size(); ++i) {
    const auto day = static_cast<std::int32_t>(days->integer(i, 0));
    const auto of_day = rules.on(day, today);
    postgres::Params params;
    params.integer(day).text_array(of_day.tenants).int4_array(of_day.tenant_rules);
    params.int4_array(of_day.devices).int4_array(of_day.device_rules);
    const auto said = session_->exec(storage_schema::sql::kRetentionFigures, params);
    ASSERT_TRUE(said.ok()) << said.error().message;
    for (int row = 0; row < said->size(); ++row) {
      points_said += said->integer(row, 3);
      bytes_said += said->integer(row, 4);
    }
  }
  const std::int64_t before = ask("SELECT count(*) FROM storage.point");
  const RetentionWork work = retain(rules, 4);
  EXPECT_EQ(before - ask("SELECT count(*) FROM storage.point"), points_said);
  EXPECT_EQ(points(work), points_said);
  std::int64_t bytes = 0;
  for (const auto& one : work.removed) bytes += one.bytes;
  EXPECT_EQ(bytes, bytes_said);
}

TEST_F(RetentionTest, WhatGoesOfAnArchivedDayIsToldToTheArchiver) {
  script(
      "INSERT INTO storage.archive_file (day, generation, key, rows, min_time, max_time, bytes, sha256, rows_hash)"
      " VALUES ('2024-10-04', 1, 'k', 150, now(), now(), 450, 's', 'r');"
      "INSERT INTO storage.archive_content VALUES ('2024-10-04', 1, '{1,4}', '{1,5}', '{100,50}')");
  EXPECT_TRUE(retain(plan(3), 2).removed.empty());
  const RetentionWork partly = retain(plan(1), 2);
  ASSERT_EQ(partly.removed.size(), 1U);
  EXPECT_EQ(partly.removed[0].points, 100);
  EXPECT_EQ(partly.removed[0].bytes, 300);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_expired WHERE devices = '{1}' AND metrics = '{1}' AND NOT whole"),
            1);
  EXPECT_TRUE(retain(plan(1), 2).removed.empty()) << "told once";
  EXPECT_EQ(points(retain(plan(1, -1, 1), 2)), 150);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_expired WHERE whole"), 1);
  // The admin has thought better of it before the archiver came.
  EXPECT_TRUE(retain(plan(9), 2).removed.empty());
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_expired"), 0);
}

class RetentionKilledAt : public RetentionTest, public ::testing::WithParamInterface<std::pair<const char*, int>> {
 protected:
  [[noreturn]] void keep_until(std::string_view step, int nth) {
    auto connection = postgres::Connection::open(options_);
    if (!connection) ::_exit(3);
    int seen = 0;
    RetentionKeeper keeper(
        **connection, retention_, [] { return false; },
        [&](std::string_view at) {
          if (at == step && ++seen == nth) ::kill(::getpid(), SIGKILL);
        });
    ::_exit(keeper.pass(rules(), kFirst + 5 * kDay).ok() ? 0 : 4);
  }
  // The first two days lose acme's, the first of all its windows; the third is as it was.
  static RetentionPlan rules() { return plan(2, -1, 3); }
};

TEST_P(RetentionKilledAt, TheNextPassGoesOn) {
  insert_both(4);
  limits_.rows_at_once = 100'000;
  pass();
  script("SELECT storage.hot_again('2024-10-05')");
  retention_.dead_share = 0.1;
  retention_.most_at_once = 700;
  const std::int64_t kept =
      ask("SELECT count(*) FROM storage.point WHERE time >= '2024-10-07 00:00+00' OR "
          "(time >= '2024-10-06 00:00+00' AND device_id = 4)");
  const auto [step, nth] = GetParam();
  EXPECT_EXIT(keep_until(step, nth), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_GE(ask("SELECT count(*) FROM storage.point"), kept) << "never more than is to go";
  const RetentionWork work = retain(rules(), 5);
  EXPECT_EQ(work.days_waiting, 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point"), kept);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE time < '2024-10-06 00:00+00'"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE time < '2024-10-07 00:00+00' AND device_id < 4"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.window_result WHERE start < '2024-10-06 00:00+00'"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup_day WHERE day < '2024-10-07' AND device_id < 4"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM pg_class WHERE relname LIKE 'segment_%_new'"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.day WHERE expired_bytes > 0.1 * bytes_after"), 0);
  EXPECT_EQ(ask("SELECT sum(n)::int8 FROM storage.segment"),
            ask("SELECT sum(points)::int8 FROM storage.day WHERE state = 3"));
}

INSTANTIATE_TEST_SUITE_P(EachStep, RetentionKilledAt,
                         ::testing::Values(std::pair("retention-archive", 1), std::pair("retention-archive-done", 1),
                                           std::pair("retention-look", 1), std::pair("retention-figures", 1),
                                           std::pair("retention-drop", 1), std::pair("retention-drop-done", 1),
                                           std::pair("retention-mark", 1), std::pair("retention-mark-done", 1),
                                           std::pair("retention-drop", 2), std::pair("retention-drop-done", 2),
                                           std::pair("retention-delete", 1), std::pair("retention-delete-done", 1),
                                           std::pair("retention-delete-done", 2), std::pair("retention-mark", 3),
                                           std::pair("rebuild-sweep", 1), std::pair("rebuild", 1),
                                           std::pair("rebuild-done", 1), std::pair("rebuild-swap", 1),
                                           std::pair("rebuild-swap-done", 1)),
                         [](const auto& one) {
                           std::string name = std::string(one.param.first) + std::to_string(one.param.second);
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace millrace::writer
