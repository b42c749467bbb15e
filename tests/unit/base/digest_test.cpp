#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>

namespace millrace {
namespace {

TEST(Digest, Sha256OfAbc) {
  EXPECT_EQ(to_hex(bytes_of(sha256("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, Crc32cCheckValue) { EXPECT_EQ(crc32c("123456789"), 0xe3069283U); }

// RFC 3720 appendix B.4: lengths that are eight bytes at a time throughout.
TEST(Digest, Crc32cRfc3720Vectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(crc32c(rising), 0x46dd794eU);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(Digest, Hash64TellsLengthsAndPartsApart) {
  EXPECT_NE(hash64(""), hash64(std::string_view("\0", 1)));
  EXPECT_NE(hash64("a"), hash64("b"));
  EXPECT_NE(hash64("ab"), hash64("b", hash64("a")));
  EXPECT_EQ(hash64("0123456789abcdefXYZ"), hash64("0123456789abcdefXYZ"));
}

TEST(Digest, Base64Rfc4648Vectors) {
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(*from_base64("Zg=="), "f");
  EXPECT_EQ(*from_base64("Zm9vYg=="), "foob");
  EXPECT_FALSE(from_base64("Zg").ok());
  EXPECT_FALSE(from_base64("Z===").ok());
  EXPECT_FALSE(from_base64("Zm 8").ok());
}

TEST(Digest, HmacRfc4231Vectors) {
  EXPECT_EQ(to_hex(bytes_of(hmac_sha256(std::string(20, '\x0b'), "Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(bytes_of(hmac_sha256("Jefe", "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Digest, Base64UrlHasNoPaddingAndNoSlash) {
  EXPECT_EQ(to_base64url("\xfb\xff\xbe"), "-_--");
  EXPECT_EQ(to_base64url("fo"), "Zm8");
}

TEST(Digest, HexRoundTrips) {
  EXPECT_EQ(*from_hex(to_hex(std::string("\x00\xff\x10", 3))), std::string("\x00\xff\x10", 3));
  EXPECT_FALSE(from_hex("abc").ok());
  EXPECT_FALSE(from_hex("zz").ok());
}

TEST(Digest, TokensAreLongAndDiffer) {
  const std::string a = random_token(24);
  EXPECT_EQ(a.size(), 32U);
  EXPECT_NE(a, random_token(24));
}

TEST(Digest, ConstantTimeComparisonComparesValues) {
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "ab"));
}

}  // namespace
}  // namespace millrace
