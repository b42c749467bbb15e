#include <array>
#include <chrono>
#include <cstdio>

#include <millrace/base/time.hpp>

namespace millrace {
namespace {

using std::chrono::days;
using std::chrono::microseconds;
using std::chrono::sys_days;
using std::chrono::year_month_day;

// Reads exactly `digits` digits at `at`; -1 if they are not there.
int number_at(std::string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const char c = text[at + i];
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

bool char_at(std::string_view text, std::size_t at, std::string_view allowed) {
  return at < text.size() && allowed.find(text[at]) != std::string_view::npos;
}

Error bad(std::string_view why) { return Error{ErrorKind::kInvalid, "not an RFC 3339 time: " + std::string(why)}; }

// Reads the fraction behind the seconds and moves `at` past it.
Result<TimeUs> fraction_at(std::string_view text, std::size_t& at) {
  if (!char_at(text, at, ".")) return TimeUs{0};
  ++at;
  TimeUs fraction = 0;
  int digits = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
    if (digits < 6) fraction = fraction * 10 + (text[at] - '0');
  }
  if (digits == 0) return bad("no digits after the decimal point");
  for (; digits < 6; ++digits) fraction *= 10;
  return fraction;
}

Result<TimeUs> offset_at(std::string_view text, std::size_t& at) {
  if (char_at(text, at, "Zz")) {
    ++at;
    return TimeUs{0};
  }
  if (!char_at(text, at, "+-")) return bad("the zone is missing (Z or +hh:mm)");
  const int sign = text[at] == '-' ? -1 : 1;
  const int hours = number_at(text, at + 1, 2);
  const int minutes = number_at(text, at + 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || text[at + 3] != ':')
    return bad("the zone is not +hh:mm");
  at += 6;
  return sign * (hours * 3600LL + minutes * 60LL) * kUsPerSecond;
}

/// As `%0*d`: exports write a time for each point, and snprintf would be a third of their price.
void append_digits(std::string& out, int number, std::size_t least) {
  std::array<char, 16> digits{};
  std::size_t at = digits.size();
  const bool negative = number < 0;
  for (unsigned rest = negative ? 0U - static_cast<unsigned>(number) : static_cast<unsigned>(number);
       rest != 0 || digits.size() - at + (negative ? 1 : 0) < least; rest /= 10) {
    digits.at(--at) = static_cast<char>('0' + rest % 10);
  }
  if (negative) out += '-';
  out.append(digits.data() + at, digits.size() - at);
}

}  // namespace

TimeUs now_us() {
  return std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string format_rfc3339(TimeUs time) {
  const std::chrono::sys_time<microseconds> point{microseconds{time}};
  const sys_days day = std::chrono::floor<days>(point);
  const year_month_day date{day};
  const TimeUs of_day = (point - day).count();
  const int seconds = static_cast<int>(of_day / kUsPerSecond);
  const int fraction = static_cast<int>(of_day % kUsPerSecond);
  std::string out;
  out.reserve(32);
  append_digits(out, static_cast<int>(date.year()), 4);
  append_digits(out += '-', static_cast<int>(static_cast<unsigned>(date.month())), 2);
  append_digits(out += '-', static_cast<int>(static_cast<unsigned>(date.day())), 2);
  append_digits(out += 'T', seconds / 3600, 2);
  append_digits(out += ':', seconds / 60 % 60, 2);
  append_digits(out += ':', seconds % 60, 2);
  if (fraction % 1000 != 0) {
    append_digits(out += '.', fraction, 6);
  } else if (fraction != 0) {
    append_digits(out += '.', fraction / 1000, 3);
  }
  return out + 'Z';
}

Result<TimeUs> parse_rfc3339(std::string_view text) {
  const int year = number_at(text, 0, 4);
  const int month = number_at(text, 5, 2);
  const int day = number_at(text, 8, 2);
  const int hour = number_at(text, 11, 2);
  const int minute = number_at(text, 14, 2);
  const int second = number_at(text, 17, 2);
  if (year < 0 || month < 0 || day < 0 || !char_at(text, 4, "-") || !char_at(text, 7, "-"))
    return bad("the date is not yyyy-mm-dd");
  if (!char_at(text, 10, "Tt ")) return bad("no T between date and time");
  if (hour < 0 || minute < 0 || second < 0 || !char_at(text, 13, ":") || !char_at(text, 16, ":")) {
    return bad("the time is not hh:mm:ss");
  }
  const year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                            std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return bad("there is no such date");
  if (hour > 23 || minute > 59 || second > 60) return bad("there is no such time");
  std::size_t at = 19;
  const auto fraction = fraction_at(text, at);
  if (!fraction) return fraction.error();
  const auto offset = offset_at(text, at);
  if (!offset) return offset.error();
  if (at != text.size()) return bad("text after the zone");
  const TimeUs midnight = microseconds{sys_days{date}.time_since_epoch()}.count();
  return midnight + (hour * 3600LL + minute * 60LL + second) * kUsPerSecond + *fraction - *offset;
}

}  // namespace millrace
