#include <gtest/gtest.h>

#include "state.hpp"

namespace millrace::registry_view {
namespace {

using Keys = std::vector<std::int32_t>;

TEST(DeviceLists, FollowWhatIsMadeChangedAndDeletedInTheOrderOfTheKeys) {
  State state(Types::kIgnore, Lists::kKeep);
  for (const std::int32_t key : {30, 10, 20}) {
    state.put(DeviceFact{
        .tenant = "acme", .device = "d" + std::to_string(key), .device_key = key, .enabled = true, .tokens = {}});
  }
  state.put(DeviceFact{.tenant = "other", .device = "d10", .device_key = 15, .enabled = true, .tokens = {}});
  EXPECT_EQ(state.lists().after("acme", 0, 10), (Keys{10, 20, 30}));
  EXPECT_EQ(state.lists().after("acme", 10, 1), Keys{20});
  EXPECT_EQ(state.lists().after("other", 0, 10), Keys{15});
  // Deleted and made anew under the same name: another key.
  state.put(DeviceFact{.tenant = "acme", .device = "d20", .device_key = 40, .enabled = false, .tokens = {}});
  state.remove_device("acme", "d10");
  EXPECT_EQ(state.lists().after("acme", 0, 10), (Keys{30, 40}));
  EXPECT_EQ(state.lists().after("nobody", 0, 10), Keys{});
}

TEST(DeviceLists, AreEmptyWhereNobodyWantsThem) {
  State state;
  state.put(DeviceFact{.tenant = "acme", .device = "d1", .device_key = 1, .enabled = true, .tokens = {}});
  EXPECT_TRUE(state.lists().after("acme", 0, 10).empty());
}

}  // namespace
}  // namespace millrace::registry_view
