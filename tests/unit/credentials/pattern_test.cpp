#include <gtest/gtest.h>

#include <millrace/credentials/certificate.hpp>

namespace millrace::credentials {
namespace {

TEST(Pattern, HasOnePlaceForTheDevice) {
  EXPECT_TRUE(check_pattern("{device}").ok());
  EXPECT_TRUE(check_pattern("urn:meter:{device}").ok());
  EXPECT_TRUE(check_pattern("{device}.meters.example").ok());
  for (const char* pattern :
       {"", "device", "{Device}", "{device}{device}", "{device}-{device}", "{device", "a\n{device}", "a\x7F{device}"}) {
    EXPECT_EQ(check_pattern(pattern).error().kind, ErrorKind::kInvalid) << pattern;
  }
  EXPECT_TRUE(check_pattern("{device}" + std::string(248, 'x')).ok());
  EXPECT_FALSE(check_pattern("{device}" + std::string(249, 'x')).ok());
}

TEST(Pattern, DeviceIsWhatStandsInItsPlace) {
  EXPECT_EQ(device_of("{device}", "meter-7"), "meter-7");
  EXPECT_EQ(device_of("urn:meter:{device}", "urn:meter:7"), "7");
  EXPECT_EQ(device_of("{device}.meters.example", "m7.meters.example"), "m7");
  EXPECT_EQ(device_of("a{device}a", "aba"), "b");
}

TEST(Pattern, WhatDoesNotFitIsNoDevice) {
  const std::string longest(64, 'x');
  EXPECT_EQ(device_of("{device}", longest), longest);
  EXPECT_EQ(device_of("{device}", longest + "x"), std::nullopt);
  EXPECT_EQ(device_of("{device}", ""), std::nullopt);
  EXPECT_EQ(device_of("{device}", "../7"), std::nullopt);
  EXPECT_EQ(device_of("{device}", "meter 7"), std::nullopt);
  EXPECT_EQ(device_of("{device}", std::string_view("m\0x", 3)), std::nullopt);
  EXPECT_EQ(device_of("urn:meter:{device}", "urn:Meter:7"), std::nullopt);
  EXPECT_EQ(device_of("urn:meter:{device}", "urn:meter:"), std::nullopt);
  EXPECT_EQ(device_of("a{device}a", "a"), std::nullopt) << "one byte cannot be both ends";
  EXPECT_EQ(device_of("{device}.example", "m7.example.org"), std::nullopt);
  EXPECT_EQ(device_of("none", "none"), std::nullopt);
}

}  // namespace
}  // namespace millrace::credentials
