#include <gtest/gtest.h>

#include <millrace/base/psk.hpp>

namespace millrace {
namespace {

// printf %s mt_x | openssl dgst -sha256 -binary | basenc --base64url | head -c 16
TEST(Psk, IsTheBeginningOfTheTokensDigestInBase64url) { EXPECT_EQ(psk_of(sha256("mt_x")), "YJxe2PX4ccuFv-4l"); }

}  // namespace
}  // namespace millrace
