#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::notifier {

/// What came of one request.
struct Answer {
  int status = 0;                                        ///< HTTP status; 0: no answer
  std::optional<std::chrono::seconds> retry_after = {};  ///< of the header, if it is readable
  std::string failure = {};                              ///< status 0: why, for the log
  bool address_refused = false;                          ///< status 0: the address policy said no
};

enum class Verdict {
  kDelivered,
  kGiveUp,        ///< the same request would be refused again
  kRetry,         ///< this event again, later; the receiver itself is well
  kReceiverDown,  ///< whatever is sent to this receiver now will fail: all its events wait
};

/// 2xx is delivered; redirects are not followed. 408, 429 and 5xx are tried again, as is what got no answer; of these
/// no answer, a gateway's 502 to 504, 429 and every Retry-After speak of the receiver as a whole.
[[nodiscard]] Verdict judge(const Answer& answer);

/// Retry-After (RFC 9110 section 10.2.3), seconds or an IMF-fixdate; `now` in seconds since the epoch. nullopt if it is
/// neither; a date that has passed is 0.
[[nodiscard]] std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, std::int64_t now);

}  // namespace millrace::notifier
