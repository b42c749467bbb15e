// The life of a day: from rows to segments and roll-ups, with everything that may come in between.
#include <csignal>
#include <random>
#include <set>
#include <thread>

#include <sys/wait.h>

#include "days_fixture.hpp"
#include "store/day_partitions.hpp"

namespace millrace::writer {
namespace {

TEST_F(DaysTest, ACompactedDayHoldsTheSamePointsInATenthOfTheSpace) {
  insert_days(2);
  script(
      "INSERT INTO storage.sample SELECT timestamptz '2024-10-04 00:00+00' + i * interval '4 seconds', 9, 1,"
      " round((20 + random())::numeric, 2) FROM generate_series(0, 21599) i");
  const std::int64_t before = fingerprint();
  const DayWork work = pass();
  EXPECT_EQ(work.days_compacted, 2);
  EXPECT_EQ(work.days_failed, 0);
  EXPECT_EQ(work.days_waiting, 0);
  ASSERT_EQ(work.locked_seconds.size(), 2U);
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 0);
  EXPECT_LT(ask("SELECT sum(bytes_after)::int8 FROM storage.day"),
            ask("SELECT sum(bytes_before)::int8 / 5 FROM storage.day"));
  EXPECT_EQ(ask("SELECT n FROM storage.rollup_day WHERE device_id = 9"), 21'600);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup WHERE device_id = 9"), 2) << "by hour and by minute";
  EXPECT_EQ(ask("SELECT count(*) FROM storage.segment WHERE device_id = 9"), 3) << "at most 10,000 points in one";
  EXPECT_EQ(pass().days_compacted, 0) << "a second pass finds nothing to do";
}

TEST_F(DaysTest, KeepsWhatNoIntegerCanHold) {
  script("SELECT storage.ensure_days('{2024-10-04}')");
  script(
      "INSERT INTO storage.sample (time, device_id, metric, value) SELECT timestamptz '2024-10-04 00:00+00' + i * "
      "interval "
      "'1 us' * 12345678, m, m, (ARRAY[0.1 + 0.2, 'NaN', '-0', 1e300, 'Infinity', 123456789.123, 5e-324, 2147483648, "
      "32768, -32768])[CASE m WHEN 11 THEN i ELSE m END]::float8 FROM generate_series(1, 10) i, generate_series(1, 11) "
      "m");
  const std::int64_t before = fingerprint();
  EXPECT_EQ(pass().days_compacted, 1);
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup_day WHERE metric IN (2, 4, 5, 11)"), 0)
      << "no roll-up where a sum could fail";
  EXPECT_EQ(ask("SELECT count(*) FROM storage.rollup_day"), 7);
}

TEST_F(DaysTest, ADayThatIsStillHotOrBusyStaysInRows) {
  insert_days(1);
  limits_.quiet = std::chrono::hours{1};
  EXPECT_EQ(pass().days_compacted, 0);
  limits_.quiet = std::chrono::seconds{0};
  limits_.hot = std::chrono::hours{24 * 365 * 100};
  EXPECT_EQ(pass().days_compacted, 0);
  limits_.hot = std::chrono::hours{0};
  EXPECT_EQ(pass().days_compacted, 1);
}

TEST_F(DaysTest, RowsThatComeDuringTheCompactionAreInIt) {
  insert_days(1);
  int late = 0;
  const DayWork work = pass([&](std::string_view step) {
    // A late row, a correction and a row that goes, each time a step is done.
    if (step != "build-done" && step != "check-done" && step != "close-done") return;
    const std::string n = std::to_string(++late);
    script("INSERT INTO storage.sample VALUES (timestamptz '2024-10-04 12:00:00.5+00' + " + n +
           " * interval '1 second', 1, 1, " + n +
           ", NULL, NULL, true);"
           "UPDATE storage.sample SET value = -" +
           n +
           " WHERE device_id = 3 AND metric = 1 AND time = '2024-10-04 00:07+00';"
           "DELETE FROM storage.sample WHERE device_id = 2 AND metric = 1 AND time = timestamptz '2024-10-04 00:00+00' "
           "+ " +
           n + " * interval '7 minutes'");
  });
  EXPECT_EQ(work.days_compacted, 1);
  EXPECT_GT(late, 3);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE device_id = 1 AND metric = 1 AND untimed"), late);
  EXPECT_EQ(
      ask("SELECT value::int8 FROM storage.point WHERE device_id = 3 AND metric = 1 AND time = '2024-10-04 00:07+00'"),
      -late);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE device_id = 2 AND metric = 1"), 205 - late);
  EXPECT_EQ(ask("SELECT n FROM storage.rollup_day WHERE device_id = 1 AND metric = 1"), 205 + late);
}

TEST_F(DaysTest, LateRowsOfACompactedDayAreReadAtOnceAndPackedByTheNextPass) {
  insert_days(1);
  pass();
  script("INSERT INTO storage.sample VALUES ('2024-10-04 12:00:01.5+00', 1, 1, 1000)");
  EXPECT_EQ(ask("SELECT count(*) FROM storage.points(1, 1, '2024-10-04 00:00+00', '2024-10-05 00:00+00')"), 206);
  EXPECT_EQ(
      ask("SELECT max::int8 FROM storage.buckets(1, 1, '2024-10-04 00:00+00', '2024-10-05 00:00+00', 86400000000)"),
      1000)
      << "not the roll-up of before";
  const std::int64_t before = fingerprint();
  EXPECT_EQ(pass().series_repacked, 1);
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.changed"), 0);
  EXPECT_EQ(ask("SELECT max::int8 FROM storage.rollup_day WHERE device_id = 1 AND metric = 1"), 1000);
}

TEST_F(DaysTest, AStatementThatBeganBeforeTheLastPackingKeepsItsRows) {
  insert_days(1);
  limits_.swap_patience = std::chrono::milliseconds{100};
  const auto reader = patient_session();
  ASSERT_TRUE(reader->script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM storage.metric"));
  EXPECT_EQ(pass().days_compacted, 0) << "the swap would take the rows away from the old snapshot";
  const auto seen = reader->exec("SELECT count(*) FROM storage.point");
  ASSERT_TRUE(seen.ok()) << seen.error().message;
  EXPECT_EQ(seen->integer(0, 0), 12 * 205);
  reader->rollback();
  EXPECT_EQ(pass().days_compacted, 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point"), 12 * 205);
}

TEST_F(DaysTest, AWriterInTheDayPostponesTheSwapAndIsNotHeldUpLong) {
  insert_days(1);
  limits_.swap_patience = std::chrono::milliseconds{300};
  const auto writer = patient_session();
  bool held = false;
  const DayWork work = pass([&](std::string_view step) {
    if (step != "check-done" || held) return;
    held = true;
    // Rows of another series: no mark comes before the commit, only the lock holds the swap up.
    ASSERT_TRUE(writer->script("BEGIN; INSERT INTO storage.sample VALUES ('2024-10-04 12:00:01.5+00', 7, 7, 1)"));
  });
  EXPECT_TRUE(held);
  EXPECT_EQ(work.days_compacted, 0);
  EXPECT_EQ(work.days_failed, 0) << "postponed, not failed";
  EXPECT_EQ(work.days_waiting, 1);
  ASSERT_TRUE(writer->script("COMMIT"));
  EXPECT_EQ(pass().days_compacted, 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE device_id = 7"), 1);
}

TEST_F(DaysTest, SegmentsThatLackARowAreNeverSwappedIn) {
  insert_days(1);
  const std::int64_t before = fingerprint();
  bool broken = false;
  const DayWork work = pass([&](std::string_view step) {
    if (step != "check" || broken) return;
    broken = true;
    script("DELETE FROM storage.segment_20241004 WHERE device_id = 2 AND metric = 1");
  });
  EXPECT_TRUE(broken);
  EXPECT_EQ(work.days_compacted, 0);
  EXPECT_EQ(work.days_failed, 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.day WHERE failure LIKE '%another number of points%'"), 1);
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(pass().days_compacted, 1);
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.day WHERE failure IS NOT NULL"), 0);
}

// What a killed keeper leaves is what the next one goes on from.
class Killed : public DaysTest {
 protected:
  // In a process of its own, which the test's reporting does not reach.
  [[noreturn]] void keep_until(std::string_view step, int nth) {
    auto connection = postgres::Connection::open(options_);
    if (!connection) ::_exit(3);
    int seen = 0;
    DayKeeper keeper(
        **connection, limits_, [] { return false; },
        [&](std::string_view at) {
          if (at == step && ++seen == nth) ::kill(::getpid(), SIGKILL);
        });
    ::_exit(keeper.pass(now_us()).ok() ? 0 : 4);
  }
};

class KilledAt : public Killed, public ::testing::WithParamInterface<std::pair<const char*, int>> {};

TEST_P(KilledAt, LosesNothingAndHasNothingTwice) {
  insert_days(2);
  const std::int64_t before = fingerprint();
  const auto [step, nth] = GetParam();
  EXPECT_EXIT(keep_until(step, nth), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(fingerprint(), before) << "after the kill";
  script("INSERT INTO storage.sample VALUES ('2024-10-04 12:00:01.5+00', 1, 1, 1000)");
  const std::int64_t with_late = fingerprint();
  DayWork work = pass();
  EXPECT_EQ(work.days_failed, 0);
  EXPECT_EQ(work.days_waiting, 0);
  EXPECT_EQ(fingerprint(), with_late) << "after the next pass";
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.changed"), 0);
  EXPECT_EQ(ask("SELECT sum(n)::int8 FROM storage.rollup_day WHERE metric < 4"), 9 * 410 + 1);
  // Late rows of the compacted day, and killed while they are packed.
  script(
      "INSERT INTO storage.sample SELECT timestamptz '2024-10-04 13:00:01.5+00', d, 1, 1001 FROM generate_series(1, 3) "
      "d");
  const std::int64_t later = fingerprint();
  EXPECT_EXIT(keep_until("repack-done", 1), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(fingerprint(), later);
  EXPECT_EQ(pass().days_failed, 0);
  EXPECT_EQ(fingerprint(), later);
}

INSTANTIATE_TEST_SUITE_P(EachStep, KilledAt,
                         ::testing::Values(std::pair("close", 1), std::pair("close-done", 1), std::pair("build", 1),
                                           std::pair("build", 2), std::pair("build-done", 1),
                                           std::pair("build-done", 3), std::pair("repack", 1),
                                           std::pair("repack-done", 1), std::pair("check", 1),
                                           std::pair("check-done", 1), std::pair("swap", 1), std::pair("swap-done", 1),
                                           std::pair("close", 2), std::pair("swap", 2)),
                         [](const auto& one) {
                           std::string name = std::string(one.param.first) + std::to_string(one.param.second);
                           std::erase(name, '-');
                           return name;
                         });

TEST_F(Killed, AnyMomentInsideAStatement) {
  insert_days(3);
  const std::int64_t before = fingerprint();
  const auto seed = static_cast<unsigned>(now_us());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) keep_until("", 0);
    std::this_thread::sleep_for(std::chrono::milliseconds{10 + random() % 400});
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(fingerprint(), before);
  }
  DayWork work = pass();
  EXPECT_EQ(work.days_failed, 0);
  EXPECT_EQ(work.days_waiting, 0);
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 0);
}

TEST_F(DaysTest, ACompactedDayCanBeMadeHotAgain) {
  insert_days(2);
  const std::int64_t before = fingerprint();
  EXPECT_EQ(pass().days_compacted, 2);
  EXPECT_EQ(ask("SELECT storage.hot_again('2024-10-04')"), 12 * 206);
  EXPECT_EQ(ask("SELECT storage.hot_again('2024-10-04')"), 0) << "it is hot";
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 12 * 206);
  script("INSERT INTO storage.sample VALUES ('2024-10-04 12:00:01.5+00', 1, 1, 1000)");
  EXPECT_EQ(ask("SELECT count(*) FROM storage.changed"), 0);
  const std::int64_t with_row = fingerprint();
  EXPECT_EQ(pass().days_compacted, 1);
  EXPECT_EQ(fingerprint(), with_row);
}

TEST_F(DaysTest, TheArchiverAndTheKeeperNeverHaveADayAtOnce) {
  insert_days(2);
  const std::int64_t before = fingerprint();
  bool asked = false;
  pass([&](std::string_view step) {
    if (step != "build-done" || asked) return;
    asked = true;
    EXPECT_FALSE(session_->exec("SELECT storage.hot_again('2024-10-04'), storage.archive_begin('2024-10-04')::text"));
    EXPECT_EQ(session_->last_error().sqlstate, "55P03");
  });
  EXPECT_TRUE(asked);
  script("SELECT storage.hot_again('2024-10-04'), storage.archive_begin('2024-10-04')");
  EXPECT_EQ(fingerprint(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample"), 12 * 206) << "the day is rows, as the archiver reads it";
  EXPECT_EQ(pass().days_compacted, 0);
  EXPECT_FALSE(session_->exec("SELECT storage.close_day('2024-10-04')"));
  EXPECT_EQ(ask("SELECT count(*) FROM storage.day"), 1);
}

TEST_F(DaysTest, ADroppedDayGivesItsSpaceBackAndTakesRowsAgain) {
  insert_days(2);
  pass();
  script("SELECT storage.drop_day('2024-10-04')");
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point WHERE time < '2024-10-05 00:00+00'"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.point"), 12 * 204);
  EXPECT_EQ(ask("SELECT count(*) FROM pg_class WHERE relname = 'segment_20241004'"), 0);
  EXPECT_EQ(ask("SELECT pg_relation_size('storage.sample_20241004')"), 0);
  script("INSERT INTO storage.sample VALUES ('2024-10-04 12:00:01.5+00', 1, 1, 1000)");
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample_default"), 0);
  EXPECT_EQ(pass().days_compacted, 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.points(1, 1, '2024-10-04 00:00+00', '2024-10-05 00:00+00')"), 1);
}

TEST_F(DaysTest, WhereDaysTakeLongToMakeTheyAreMadeAFewAtATime) {
  script("ALTER FUNCTION storage.ensure_days(date[]) RENAME TO really_ensure_days");
  script(
      "CREATE FUNCTION storage.ensure_days(days date[]) RETURNS int4 LANGUAGE plpgsql AS $$ BEGIN"
      " PERFORM pg_sleep(0.1 * cardinality(days)); RETURN storage.really_ensure_days(days); END $$");
  std::set<std::int32_t> wanted;
  for (std::int32_t day = 10'000; day < 10'040; ++day) wanted.insert(day);  // of 1997
  DayPartitions days(kSampleDays, 4'000);
  options_.call_timeout = std::chrono::seconds{2};
  Status made;
  int failed = -1;
  do {
    auto connection = postgres::Connection::open(options_);
    ASSERT_TRUE(connection.ok()) << connection.error().message;
    made = days.ensure(**connection, wanted);
  } while (++failed < 20 && !made.ok());
  EXPECT_TRUE(made.ok()) << made.error().message;
  EXPECT_GT(failed, 0) << "forty at once take longer than a call may";
  EXPECT_EQ(ask("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^sample_1997'"), 40);
}

TEST_F(DaysTest, ALookUpTouchesNoDayFarFromItsPoints) {
  script(
      "SELECT storage.ensure_days(ARRAY['1990-01-01', '1993-01-01', '1996-01-01']::date[]);"
      " INSERT INTO storage.sample VALUES ('1990-01-01 00:00+00', 1, 1, 7), ('1996-01-01 00:00+00', 1, 1, 8)");
  Store store(options_, "topic");
  ASSERT_TRUE(store.connect().ok());
  ASSERT_TRUE(store.connection().script("SET lock_timeout = '5s'"));
  script("BEGIN; LOCK TABLE storage.sample_19930101 IN ACCESS EXCLUSIVE MODE");
  const TimeUs first = 7'305 * kDay;
  const std::vector<SampleKey> keys{{{1, 1}, 9'496 * kDay}, {{1, 1}, first + 1}, {{1, 1}, first}};
  const auto found = store.find(keys);
  script("COMMIT");
  ASSERT_TRUE(found.ok()) << found.error().message;
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].key.time, first);
  EXPECT_EQ((*found)[0].cell.number, 7);
  EXPECT_EQ((*found)[1].key.time, 9'496 * kDay);
  EXPECT_EQ((*found)[1].cell.number, 8);
}

TEST_F(DaysTest, TheModeOfTheDatabaseIsRecordedOnce) {
  const auto mode =
      session_->exec("SELECT value, storage.database_mode() FROM storage.setting WHERE name = 'database_mode'");
  ASSERT_TRUE(mode.ok()) << mode.error().message;
  ASSERT_EQ(mode->size(), 1);
  EXPECT_EQ(mode->text(0, 0), mode->text(0, 1));
  // ./dev test runs this once more, with the extension, where the machine has it, and says so where not.
  const bool extended = ask("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == 1;
  EXPECT_EQ(extended, std::getenv("MILLRACE_TEST_TIMESCALEDB") != nullptr);
  EXPECT_EQ(extended, mode->text(0, 0) != "plain");
}

}  // namespace
}  // namespace millrace::writer
