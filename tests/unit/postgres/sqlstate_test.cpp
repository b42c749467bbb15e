#include <gtest/gtest.h>

#include <millrace/postgres/sqlstate.hpp>

namespace millrace::postgres {
namespace {

TEST(Sqlstate, SaysWhatToDoWithTheData) {
  for (const char* state : {"08006", "53300", "57P01", "57014", "40001", "40P01", "58030", "55P03", ""}) {
    EXPECT_EQ(disposition_of(state), Disposition::kRetry) << state;
    EXPECT_EQ(error_kind_of(state), ErrorKind::kUnavailable) << state;
  }
  for (const char* state : {"22021", "22P05", "23514", "23502"}) {
    EXPECT_EQ(disposition_of(state), Disposition::kPoison) << state;
    EXPECT_EQ(error_kind_of(state), ErrorKind::kInvalid) << state;
  }
  EXPECT_EQ(error_kind_of("23505"), ErrorKind::kAlreadyExists);
  EXPECT_EQ(error_kind_of("42501"), ErrorKind::kForbidden);
  for (const char* state : {"42P01", "42703", "XX000"}) EXPECT_EQ(disposition_of(state), Disposition::kStop) << state;
}

TEST(Sqlstate, ReadsTheLineOfACopy) {
  EXPECT_EQ(copy_line_of("COPY sample, line 3217"), 3217);
  EXPECT_EQ(copy_line_of("COPY sample, line 12, column other"), 12);
  EXPECT_EQ(copy_line_of("COPY sample, line 0"), std::nullopt);
  EXPECT_EQ(copy_line_of("COPY sample, line x"), std::nullopt);
  EXPECT_EQ(copy_line_of("PL/pgSQL function f() line 3"), std::nullopt);
}

}  // namespace
}  // namespace millrace::postgres
