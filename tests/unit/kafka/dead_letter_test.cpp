#include <gtest/gtest.h>

#include <millrace/kafka/dead_letter.hpp>

namespace millrace::kafka::dead_letter {
namespace {

TEST(Indexes, ReadBackTheSame) {
  for (const std::vector<std::int32_t>& indexes : {std::vector{0}, std::vector{0, 3, 999}}) {
    const auto back = parse_indexes(join_indexes(indexes));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, indexes);
  }
  EXPECT_EQ(join_indexes(std::vector{0, 3}), "0,3");
}

TEST(Indexes, AnythingElseIsRefused) {
  for (const char* text : {"", ",", "1,", "-1", "a", "1 ", "4294967296"})
    EXPECT_FALSE(parse_indexes(text).ok()) << text;
}

}  // namespace
}  // namespace millrace::kafka::dead_letter
