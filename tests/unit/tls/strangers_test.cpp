#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/tls/strangers.hpp>

namespace millrace::tls {
namespace {

TEST(StrangersTest, AnAddressHasNoMoreThanItsShareAndGetsPlacesBack) {
  const auto strangers = std::make_shared<Strangers>(2);
  std::vector<Strangers::Place> places{strangers->enter("a"), strangers->enter("a")};
  EXPECT_TRUE(places[0] && places[1]);
  EXPECT_FALSE(strangers->enter("a"));
  EXPECT_FALSE(strangers->enter("a")) << "a refusal takes no place and gives none back";
  EXPECT_TRUE(strangers->enter("b")) << "the others are let in";
  const Strangers::Place copy = places[0];
  places[0].reset();
  EXPECT_FALSE(strangers->enter("a")) << "a copy keeps the place";
  places[1].reset();
  EXPECT_TRUE(strangers->enter("a"));
}

TEST(StrangersTest, APlaceMayOutliveWhatGaveIt) {
  auto strangers = std::make_shared<Strangers>(1);
  const Strangers::Place place = strangers->enter("a");
  strangers.reset();
  EXPECT_TRUE(place);
}

}  // namespace
}  // namespace millrace::tls
