#include <algorithm>
#include <filesystem>
#include <fstream>

#include "archiver_fixture.hpp"

namespace millrace::archiver {
namespace {

TEST_P(ArchiverTest, ADayGoesFromTheDatabaseIntoAFileAndComesBack) {
  const std::string old = day_ago(5);
  const std::string recent = day_ago(1);
  fill(old, 5'000);
  fill(recent, 100);
  const Contents before = all();
  ASSERT_EQ(before.size(), 5'100U);
  const Status done = pass();
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(hot().size(), 100U) << "only the day that is not due";
  EXPECT_EQ(all(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_file WHERE rows = 5000 AND detached IS NULL AND generation = 1"),
            1);
  EXPECT_EQ(ask("SELECT count(*) FROM pg_class WHERE relname ~ '_g[0-9]+$'"), 0) << "the table is dropped";
  EXPECT_EQ(ask("SELECT count(*) FROM pg_inherits WHERE inhparent = 'storage.sample'::regclass"), 3);
  EXPECT_EQ(stored_keys().size(), 1U);
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(stored_keys().size(), 1U) << "nothing more to do";
  EXPECT_FALSE(std::filesystem::exists(config_.spool + "/day.parquet"));
}

TEST_P(ArchiverTest, RowsThatComeLateAtAnyMomentAreReadAndGoIntoTheNextFile) {
  const std::string day = day_ago(4);
  fill(day, 2'000);
  int late = 0;
  const auto come_late = [&](std::string_view) {
    ++late;
    insert(day, 100 + late, 40'000, late);
    run("UPDATE storage.sample SET value = 123456.5, kind = NULL, other = NULL WHERE time = '" + day +
        " 00:00:00Z'::timestamptz + " + std::to_string(late) + " * interval '1 second'");
  };
  come_late("before");
  std::vector<Contents> seen;
  ASSERT_TRUE(pass([&](std::string_view step) {
                come_late(step);
                seen.push_back(all());
              }).ok());
  ASSERT_EQ(late, 1 + static_cast<int>(kSteps.size()));
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i].size(), 2'000U + i + 2) << kSteps[i];
  const Contents all_of_it = all();
  EXPECT_GE(hot().size(), 3U) << "what came after the exchange at least";
  // Each replacement before the exchange was of a hot row; the later ones found none, as the writer would not either.
  EXPECT_EQ(std::count_if(all_of_it.begin(), all_of_it.end(),
                          [](const auto& one) { return one.second == "0t123456.500000"; }) +
                std::count_if(all_of_it.begin(), all_of_it.end(),
                              [](const auto& one) { return one.second == "0u123456.500000"; }),
            5);
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(all(), all_of_it);
  EXPECT_TRUE(hot().empty());
  EXPECT_EQ(ask("SELECT generation::int8 FROM storage.archive_file WHERE superseded_at IS NULL"), 2);
  EXPECT_EQ(stored_keys().size(), 1U) << "the first generation is deleted";
}

TEST_P(ArchiverTest, ALaterRowOfTheSameTimeCountsAndAStampedOneMovesOn) {
  const std::string day = day_ago(4);
  run("SELECT storage.ensure_days(ARRAY['" + day + "'::date])");
  insert(day, 1, 10, 1.0);
  insert(day, 1, 20, 2.0, true);
  ASSERT_TRUE(pass().ok());
  insert(day, 1, 10, 1.5);
  insert(day, 1, 20, 2.5);
  ASSERT_TRUE(pass().ok());
  std::vector<std::string> values;
  for (const auto& [key, text] : cold()) values.push_back(text);
  EXPECT_EQ(values, (std::vector<std::string>{"0t1.500000", "0t2.500000", "0u2.000000"}));
}

TEST_P(ArchiverTest, ARowThatIsGoneMeanwhileMakesItBeginAgain) {
  const std::string day = day_ago(4);
  fill(day, 100);
  const Status first = pass([&](std::string_view step) {
    if (step == "written") run("DELETE FROM storage.sample WHERE device_id = 3");
  });
  ASSERT_FALSE(first.ok());
  EXPECT_EQ(first.error().kind, ErrorKind::kConflict);
  const Contents rest = all();
  EXPECT_EQ(hot(), rest);
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(cold(), rest);
}

TEST_P(ArchiverTest, AFileThatIsDamagedBeforeTheDropIsMadeAgain) {
  const std::string day = day_ago(4);
  fill(day, 500);
  const Contents before = all();
  ASSERT_TRUE(pass([&](std::string_view step) {
                if (step != "exchanged") return;
                const std::string path = path_of(stored_keys().at(0));
                std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
                insert(day, 77, 3, 4.0);
              }).ok());
  EXPECT_EQ(all().size(), before.size() + 1);
  EXPECT_EQ(cold(), before);
}

TEST_P(ArchiverTest, SeriesThatAreOverAreLeftOutOfTheNextFile) {
  const std::string day = day_ago(4);
  run("SELECT storage.ensure_days(ARRAY['" + day + "'::date])");
  for (int device = 1; device <= 3; ++device) {
    for (int second = 0; second < 40; ++second) insert(day, device, second, device);
  }
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(ask("SELECT (SELECT sum(p) FROM unnest(points) p)::int8 FROM storage.archive_content"), 120);
  EXPECT_EQ(expire(day, "{2}"), 40);
  EXPECT_EQ(expire(day, "{2}"), 0) << "it was told";
  Contents expected = cold();
  ASSERT_EQ(expected.size(), 120U);
  insert(day, 3, 50, 7);
  expected = all();
  std::erase_if(expected, [](const auto& one) { return one.first.starts_with("2/"); });
  ASSERT_EQ(expected.size(), 81U);
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(all(), expected);
  EXPECT_EQ(ask("SELECT generation::int8 FROM storage.archive_file WHERE superseded_at IS NULL"), 2);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_expired"), 0);
  EXPECT_EQ(ask("SELECT (SELECT sum(p) FROM unnest(points) p)::int8 FROM storage.archive_content WHERE generation = 2"),
            81);
  EXPECT_EQ(stored_keys().size(), 1U) << "the space is back";
}

TEST_P(ArchiverTest, AFileOfWhichNothingStaysIsDeleted) {
  const std::string day = day_ago(4);
  run("SELECT storage.ensure_days(ARRAY['" + day + "'::date])");
  insert(day, 1, 10, 1.0);
  insert(day, 2, 10, 2.0);
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(expire(day, "{1,2}"), 2);
  ASSERT_TRUE(pass().ok());
  EXPECT_TRUE(all().empty());
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_file WHERE superseded_at IS NULL"), 0);
  EXPECT_TRUE(stored_keys().empty());
  // What comes later begins a new file; the numbers of generations go on.
  insert(day, 3, 10, 3.0);
  const Contents late = all();
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(cold(), late);
  EXPECT_EQ(ask("SELECT generation::int8 FROM storage.archive_file WHERE superseded_at IS NULL"), 2);
}

TEST_P(ArchiverTest, AFileOfAnOlderVersionIsCounted) {
  const std::string day = day_ago(4);
  fill(day, 300);
  ASSERT_TRUE(pass().ok());
  const std::int64_t before =
      ask("SELECT hashtextextended((devices, metrics, points)::text, 0) FROM storage.archive_content");
  run("DELETE FROM storage.archive_content");
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(ask("SELECT hashtextextended((devices, metrics, points)::text, 0) FROM storage.archive_content"), before);
}

TEST_P(ArchiverTest, AFileThatIsMadeAgainStillLacksWhatIsOver) {
  const std::string day = day_ago(4);
  run("SELECT storage.ensure_days(ARRAY['" + day + "'::date])");
  insert(day, 1, 10, 1.0);
  insert(day, 2, 10, 2.0);
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(expire(day, "{1}"), 1);
  ASSERT_TRUE(pass([&](std::string_view step) {
                if (step != "exchanged") return;
                const std::string path = path_of(stored_keys().back());
                std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
              }).ok());
  EXPECT_EQ(cold().size(), 1U);
  EXPECT_EQ(cold().begin()->second, "0t2.000000");
}

TEST_P(ArchiverTest, WhatTheDatabaseDoesNotKnowIsSweptButNotWhatIsAnothers) {
  fill(day_ago(4), 50);
  ASSERT_TRUE(pass().ok());
  const std::string known = stored_keys().at(0);
  std::filesystem::copy(path_of(known), path_of(known + ".left"));
  std::filesystem::create_directories(path_of("another/sample"));
  std::filesystem::copy(path_of(known), path_of("another/sample/x.parquet"));
  config_.orphan_age = std::chrono::seconds{3'600};
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(stored_keys().size(), 2U) << "too young";
  config_.orphan_age = std::chrono::seconds{0};
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(stored_keys(), std::vector<std::string>{known});
  EXPECT_TRUE(std::filesystem::exists(path_of("another/sample/x.parquet")));
}

TEST_P(ArchiverTest, AStoreThatIsAwayChangesNothing) {
  fill(day_ago(4), 50);
  const Contents before = hot();
  const Config good = config_;
  config_.store.fields["root"] = path_of("not-mounted");
  config_.store.fields["secret_key"] = "wrong";
  const Status failed = pass();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(hot(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.archive_file"), 0);
  config_ = good;
  ASSERT_TRUE(pass().ok());
  EXPECT_EQ(cold(), before);
}

TEST_P(ArchiverTest, OnlyOneWorks) {
  fill(day_ago(4), 50);
  observability::Metrics metrics;
  const ArchiverMetrics archiver_metrics(metrics);
  Archiver first(config_, archiver_metrics);
  Archiver second(config_, archiver_metrics);
  ASSERT_TRUE(first
                  .pass([&second](std::string_view) {
                    EXPECT_TRUE(second.pass().ok());
                    EXPECT_NE(second.state().detail.find("stands by"), std::string::npos) << second.state().detail;
                  })
                  .ok());
  EXPECT_TRUE(second.pass().ok());
  EXPECT_EQ(second.state().detail.find("stands by"), std::string::npos) << second.state().detail;
}

INSTANTIATE_TEST_SUITE_P(Stores, ArchiverTest, ::testing::Values("directory", "s3"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace millrace::archiver
