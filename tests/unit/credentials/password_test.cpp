#include <gtest/gtest.h>

#include <millrace/credentials/password.hpp>

namespace millrace::credentials {
namespace {

// Of the reference implementation's command line: `printf 'correct horse' | argon2 somesalt -id -t 2 -m 15 -p 1 -l 32`.
constexpr std::string_view kForeign =
    "$argon2id$v=19$m=32768,t=2,p=1$c29tZXNhbHQ$HKISQDzWoM5GuFABkG9ZOQlcCzSZ8r7vKwIdhI5Lh1s";

std::string with(std::string_view costs, std::string_view salt = "c29tZXNhbHQ",
                 std::string_view hash = "AAAAAAAAAAAAAAAAAAAAAA") {
  return "$argon2id$v=19$" + std::string(costs) + "$" + std::string(salt) + "$" + std::string(hash);
}

TEST(Password, HashKnowsItsPasswordAndNoOther) {
  const auto phc = hash_password("correct horse battery");
  ASSERT_TRUE(phc.ok());
  EXPECT_TRUE(phc->starts_with("$argon2id$v=19$m=19456,t=2,p=1$")) << *phc;
  EXPECT_TRUE(check_phc(*phc).ok());
  EXPECT_EQ(verify_password(*phc, "correct horse battery").value(), true);
  EXPECT_EQ(verify_password(*phc, "correct horse batterz").value(), false);
  EXPECT_EQ(verify_password(*phc, "correct horse batter").value(), false);
}

TEST(Password, SameOneHasAnotherHashEachTime) {
  EXPECT_NE(hash_password("correct horse").value(), hash_password("correct horse").value());
}

TEST(Password, MayHaveNulAndAnyOtherByte) {
  const std::string password("\0\xFF\x80secret\0one", 13);
  const auto phc = hash_password(password);
  ASSERT_TRUE(phc.ok());
  EXPECT_EQ(verify_password(*phc, password).value(), true);
  EXPECT_EQ(verify_password(*phc, std::string("\0\xFF\x80secret\0onf", 13)).value(), false);
}

TEST(Password, HashOfAnotherImplementationIsUnderstood) {
  EXPECT_EQ(verify_password(kForeign, "correct horse").value(), true);
  EXPECT_EQ(verify_password(kForeign, "correct horsf").value(), false);
}

TEST(Password, BoundsOfItsLength) {
  EXPECT_EQ(hash_password("1234567").error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(hash_password(std::string(1025, 'x')).error().kind, ErrorKind::kInvalid);
  const std::string longest(1024, 'x');
  const auto phc = hash_password(longest);
  ASSERT_TRUE(phc.ok());
  EXPECT_EQ(verify_password(*phc, longest).value(), true);
  EXPECT_EQ(verify_password(*phc, longest + "x").value(), false);
}

TEST(Phc, CostsAreBounded) {
  EXPECT_TRUE(check_phc(with("m=65536,t=10,p=4")).ok());
  EXPECT_TRUE(check_phc(with("m=8,t=1,p=1")).ok());
  for (const char* costs :
       {"m=65537,t=1,p=1", "m=4294967295,t=1,p=1", "m=4294967296,t=1,p=1", "m=1024,t=11,p=1", "m=1024,t=1,p=5",
        "m=1024,t=0,p=1", "m=1024,t=1,p=0", "m=0,t=1,p=1", "m=7,t=1,p=1", "m=31,t=1,p=4", "m=-1,t=1,p=1", "m=1024,t=1",
        "t=1,m=1024,p=1", "m=1024,t=1,p=1,x=1", "m=01024,t=1,p=1", "m=,t=1,p=1", ""}) {
    EXPECT_EQ(check_phc(with(costs)).error().kind, ErrorKind::kInvalid) << costs;
    EXPECT_EQ(verify_password(with(costs), "password").error().kind, ErrorKind::kInvalid) << costs;
  }
}

TEST(Phc, OnlyArgon2idOfVersion19) {
  for (const char* phc :
       {"$argon2i$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2d$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=1024,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$m=1024,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$2b$12$abcdefghijklmnopqrstuv", "", "$"}) {
    EXPECT_EQ(check_phc(phc).error().kind, ErrorKind::kInvalid) << phc;
  }
}

TEST(Phc, SaltAndHashAreBounded) {
  const std::string costs = "m=1024,t=1,p=1";
  EXPECT_FALSE(check_phc(with(costs, "c2FsdA")).ok()) << "four bytes of salt";
  EXPECT_FALSE(check_phc(with(costs, "")).ok());
  EXPECT_FALSE(check_phc(with(costs, "c29tZXNhbHQ", "AAAA")).ok()) << "three bytes of hash";
  EXPECT_FALSE(check_phc(with(costs, "c29tZXNhbHQ", std::string(88, 'A'))).ok()) << "66 bytes of hash";
  EXPECT_FALSE(check_phc(with(costs, std::string(88, 'A'))).ok()) << "66 bytes of salt";
  EXPECT_FALSE(check_phc(with(costs, "c29tZXNhbHQ=")).ok()) << "padding";
  EXPECT_FALSE(check_phc(with(costs, "c29t ZXNhbHQ")).ok());
  EXPECT_FALSE(check_phc(with(costs) + "$").ok());
  EXPECT_FALSE(check_phc(with(costs, "c29tZXNhbHQ", std::string(4000, 'A'))).ok());
}

}  // namespace
}  // namespace millrace::credentials
