#include "engine/resume_point.hpp"

#include <gtest/gtest.h>

#include <millrace/telemetry_log/replay_start.hpp>

namespace millrace::stream {
namespace {

ResumePoint full_point() {
  ResumePoint point;
  point.replay_from = 4'711;
  point.generation = 2;
  point.cluster_id = "MkU3OEVBNTcwNTJENDM2Qk";
  point.log_time = 1'764'000'000'000'000;
  telemetry::RecordMark mark;
  for (std::size_t i = 0; i < mark.ingest_id.start.size(); ++i)
    mark.ingest_id.start[i] = static_cast<std::uint8_t>(i * 17);
  mark.ingest_id.counter = ~0ULL;
  mark.checksum = 0xffffffffU;
  point.last = mark;
  for (std::size_t i = 0; i < ResumePoint::kMostTicks; ++i)
    point.ticks.push_back({static_cast<std::int64_t>(1'000'000'000'000 + i), 1'764'000'000'000'000});
  return point;
}

TEST(ResumePoint, ComesBackAsItWas) {
  const auto decoded = decode_resume_point(encode(full_point()));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(*decoded, full_point());
  ResumePoint least;
  const auto empty = decode_resume_point(encode(least));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(*empty, least);
}

// storage-writer keeps of the log what a restart reads.
TEST(ResumePoint, SaysToOthersFromWhereARestartReads) {
  const auto start = telemetry_log::read_replay_start(encode(full_point()));
  ASSERT_TRUE(start.ok()) << start.error().message;
  EXPECT_EQ(start->offset, 4'711);
  EXPECT_EQ(start->generation, 2);
  EXPECT_EQ(start->cluster_id, full_point().cluster_id);
  EXPECT_EQ(start->log_time, full_point().log_time);
  for (const std::string text :
       {"", "2;from=1;gen=0;cluster=c;log=0", "1;gen=0;cluster=c;log=0", "1;from=x;gen=0;cluster=c;log=0"})
    EXPECT_FALSE(telemetry_log::read_replay_start(text).ok()) << text;
}

TEST(ResumePoint, FitsIntoTheMetadataOfAnOffset) { EXPECT_LT(encode(full_point()).size(), 4'000U); }

TEST(ResumePoint, AnythingElseIsAnErrorAndNoCrash) {
  const std::string whole = encode(full_point());
  for (const std::string text :
       {"", "2;from=1", "1", "1;from=x;gen=0;log=0", "1;from", "1;from=1;gen=0;log=0;last=zz:1:1",
        "1;from=1;gen=0;log=0;ticks=1", "1;from=1;gen=0;log=0;last=00:1"}) {
    const auto decoded = decode_resume_point(text);
    ASSERT_FALSE(decoded.ok()) << text;
    EXPECT_EQ(decoded.error().kind, ErrorKind::kCorrupt);
  }
  for (std::size_t cut = 0; cut < whole.size(); ++cut)
    static_cast<void>(decode_resume_point(std::string_view(whole).substr(0, cut)));
}

}  // namespace
}  // namespace millrace::stream
