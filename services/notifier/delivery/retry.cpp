#include "delivery/retry.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <iomanip>
#include <locale>
#include <sstream>

namespace millrace::notifier {

Verdict judge(const Answer& answer) {
  const int status = answer.status;
  if (status >= 200 && status < 300) return Verdict::kDelivered;
  if (status == 429 || status == 502 || status == 503 || status == 504) return Verdict::kReceiverDown;
  if (status == 408 || (status >= 500 && status < 600)) {
    return answer.retry_after ? Verdict::kReceiverDown : Verdict::kRetry;
  }
  if (status >= 300 && status < 500) return Verdict::kGiveUp;
  return Verdict::kReceiverDown;  // no answer, or one that is not HTTP
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, std::int64_t now) {
  std::int64_t seconds = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (end == text.data() + text.size() && !text.empty()) {
    if (code == std::errc{} && seconds >= 0) return std::chrono::seconds{seconds};
    return std::nullopt;
  }
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  std::tm parts{};
  stream >> std::get_time(&parts, "%a, %d %b %Y %H:%M:%S GMT");
  if (stream.fail()) return std::nullopt;
  return std::chrono::seconds{std::max<std::int64_t>(0, timegm(&parts) - now)};
}

}  // namespace millrace::notifier
