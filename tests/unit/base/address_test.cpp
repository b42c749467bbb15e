#include <gtest/gtest.h>

#include <millrace/base/address.hpp>

namespace millrace {
namespace {

TEST(OwnerOfAddress, OneOwnersAddressesAreOne) {
  EXPECT_EQ(owner_of_address("2001:db8:1:2::1"), owner_of_address("2001:db8:1:2:ffff::9"));
  EXPECT_NE(owner_of_address("2001:db8:1:2::1"), owner_of_address("2001:db8:1:3::1"));
  EXPECT_EQ(owner_of_address("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(owner_of_address("192.0.2.1"), "192.0.2.1");
  EXPECT_NE(owner_of_address("192.0.2.1"), owner_of_address("192.0.2.2"));
  EXPECT_EQ(owner_of_address("no address"), "no address");
}

}  // namespace
}  // namespace millrace
