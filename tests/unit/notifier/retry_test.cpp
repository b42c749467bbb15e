#include "delivery/retry.hpp"

#include <gtest/gtest.h>

namespace millrace::notifier {
namespace {

using std::chrono::seconds;

struct Case {
  const char* description;
  Answer answer;
  Verdict verdict;
};

TEST(Judge, DecidesByStatus) {
  const Case cases[] = {
      {"ok", {.status = 200}, Verdict::kDelivered},
      {"no content", {.status = 204}, Verdict::kDelivered},
      {"any 2xx", {.status = 299}, Verdict::kDelivered},
      {"redirects are not followed", {.status = 307}, Verdict::kGiveUp},
      {"bad request", {.status = 400}, Verdict::kGiveUp},
      {"unauthorized", {.status = 401}, Verdict::kGiveUp},
      {"not found", {.status = 404}, Verdict::kGiveUp},
      {"gone", {.status = 410}, Verdict::kGiveUp},
      {"gone, whatever Retry-After says", {.status = 410, .retry_after = seconds{5}}, Verdict::kGiveUp},
      {"request time-out", {.status = 408}, Verdict::kRetry},
      {"internal error", {.status = 500}, Verdict::kRetry},
      {"internal error that names a time", {.status = 500, .retry_after = seconds{5}}, Verdict::kReceiverDown},
      {"too many", {.status = 429}, Verdict::kReceiverDown},
      {"bad gateway", {.status = 502}, Verdict::kReceiverDown},
      {"unavailable", {.status = 503}, Verdict::kReceiverDown},
      {"gateway time-out", {.status = 504}, Verdict::kReceiverDown},
      {"an unknown 5xx", {.status = 599}, Verdict::kRetry},
      {"no answer", {.failure = "connect: refused"}, Verdict::kReceiverDown},
      {"an address that is not allowed", {.failure = "x", .address_refused = true}, Verdict::kReceiverDown},
      {"no HTTP status", {.status = 999}, Verdict::kReceiverDown},
  };
  for (const Case& one : cases) EXPECT_EQ(judge(one.answer), one.verdict) << one.description;
}

TEST(RetryAfter, ReadsSecondsAndDates) {
  constexpr std::int64_t kNow = 784'111'777;  // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
  EXPECT_EQ(parse_retry_after("120", kNow), seconds{120});
  EXPECT_EQ(parse_retry_after("0", kNow), seconds{0});
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", kNow), seconds{60});
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", kNow), seconds{0});
}

TEST(RetryAfter, IgnoresWhatItCannotRead) {
  for (const char* text : {"", "-5", "soon", "12x", "99999999999999999999", "1994-11-06T08:49:37Z"}) {
    EXPECT_EQ(parse_retry_after(text, 0), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace millrace::notifier
