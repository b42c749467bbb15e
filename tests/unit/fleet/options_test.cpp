#include <gtest/gtest.h>

#include "fleet_options.hpp"

namespace millrace::fleet {
namespace {

Parsed parse(std::vector<const char*> arguments, FleetOptions& options) {
  arguments.insert(arguments.begin(), "millrace-fleet");
  return parse_options(static_cast<int>(arguments.size()), arguments.data(), options);
}

TEST(FleetOptions, OnceTakesMoreDevicesThanMayBeConnected) {
  FleetOptions options;
  EXPECT_EQ(parse({"--devices", "2000000", "--once", "--connections", "500"}, options), Parsed::kRun);
  EXPECT_TRUE(options.once);
  EXPECT_EQ(options.connections, 500U);
  FleetOptions connected;
  EXPECT_EQ(parse({"--devices", "100001"}, connected), Parsed::kExitUsage);
  FleetOptions most;
  EXPECT_EQ(parse({"--devices", "100000"}, most), Parsed::kRun);
  FleetOptions beyond;
  EXPECT_EQ(parse({"--devices", "2000001", "--once"}, beyond), Parsed::kExitUsage);
}

TEST(FleetOptions, OnceNeedsAcknowledgements) {
  FleetOptions options;
  EXPECT_EQ(parse({"--once", "--qos", "0"}, options), Parsed::kExitUsage);
}

}  // namespace
}  // namespace millrace::fleet
