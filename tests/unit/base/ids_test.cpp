#include <gtest/gtest.h>

#include <millrace/base/ids.hpp>

namespace millrace {
namespace {

TEST(Ids, GrammarIsOneToSixtyFourOfTheAllowedCharacters) {
  for (const char* good : {"a", "Meter-0001", "urn:dev:1", "a.b_c", "9"}) EXPECT_TRUE(is_valid_id(good)) << good;
  for (const char* bad : {"", ".a", "a/b", "a b", "\xc3\xa4", "a+", "a#"}) EXPECT_FALSE(is_valid_id(bad)) << bad;
  EXPECT_TRUE(is_valid_id(std::string(64, 'a')));
  EXPECT_FALSE(is_valid_id(std::string(65, 'a')));
}

TEST(Ids, RecordKeyRoundTrips) {
  const std::string key = record_key("acme", "m:1");
  EXPECT_EQ(key, "acme/m:1");
  const auto parsed = parse_record_key(key);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->first, "acme");
  EXPECT_EQ(parsed->second, "m:1");
  EXPECT_FALSE(parse_record_key("acme").ok());
  EXPECT_FALSE(parse_record_key("a/b/c").ok());
}

// Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2, masked as the partitioner does.
TEST(Ids, PartitionsAsKafkaDoes) {
  const auto masked = [](int hash) { return static_cast<int>(static_cast<unsigned>(hash) & 0x7fffffffU); };
  EXPECT_EQ(partition_of("21", 0x7fffffff), masked(-973932308) % 0x7fffffff);
  EXPECT_EQ(partition_of("foobar", 0x7fffffff), masked(-790332482) % 0x7fffffff);
  EXPECT_EQ(partition_of("a-little-bit-long-string", 0x7fffffff), masked(-985981536) % 0x7fffffff);
  EXPECT_EQ(partition_of("abc", 0x7fffffff), masked(479470107) % 0x7fffffff);
}

}  // namespace
}  // namespace millrace
