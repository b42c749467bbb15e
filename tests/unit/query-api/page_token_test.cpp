#include "read/page_token.hpp"

#include <array>

#include <gtest/gtest.h>

#include "read/series_reader.hpp"

namespace millrace::query_api {
namespace {

const std::array<std::int64_t, 3> kPosition{0, -1, 1'767'225'600'000'001};

TEST(PageToken, ReadsBackWhatWasMade) {
  const auto read = read_page_token("scope", make_page_token("scope", kPosition));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value(), std::vector<std::int64_t>(kPosition.begin(), kPosition.end()));
}

TEST(PageToken, BelongsToOneRequest) {
  const auto read = read_page_token("another scope", make_page_token("scope", kPosition));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().kind, ErrorKind::kInvalid);
}

TEST(PageToken, RefusesEveryChangedOrCutText) {
  const std::string token = make_page_token("scope", kPosition);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == '0' ? '1' : '0';
    EXPECT_FALSE(read_page_token("scope", changed).ok()) << i;
    EXPECT_FALSE(read_page_token("scope", token.substr(0, i)).ok()) << i;
  }
  for (const std::string text : {"nonsense", "00", "zz"}) EXPECT_FALSE(read_page_token("scope", text).ok()) << text;
  EXPECT_FALSE(read_page_token("scope", std::string(1 << 20, '0')).ok());
}

TEST(PageToken, HoldsText) {
  for (const std::string& text :
       {std::string(), std::string("a"), std::string("exactly8"), std::string("d\0client", 8)}) {
    const auto back = text_of_numbers(numbers_of_text(text));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back.value(), text);
  }
  for (const std::vector<std::int64_t>& numbers : {std::vector<std::int64_t>{}, {-1}, {9, 1}, {1}}) {
    EXPECT_FALSE(text_of_numbers(numbers).ok());
  }
}

}  // namespace
}  // namespace millrace::query_api
