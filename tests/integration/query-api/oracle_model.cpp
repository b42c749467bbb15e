#include "oracle_model.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>

namespace millrace::query_api::oracle {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;
using storage_schema::MetricType;

constexpr TimeUs kHour = 3'600 * kUsPerSecond;
constexpr TimeUs kDay = 24 * kHour;
/// 00:00 UTC of days at which something happens: the clocks of Berlin go forward and back, a year ends, another day.
constexpr std::array<TimeUs, 4> kDays{1'774'742'400'000'000, 1'792'886'400'000'000, 1'798'675'200'000'000,
                                      1'767'225'600'000'000};

TimeUs us_of(sys_days day) { return day.time_since_epoch().count() * kDay; }

/// Of a month of a year, at 01:00 UTC.
TimeUs last_sunday(int year, unsigned month) {
  const auto end = year_month_day{std::chrono::year{year} / std::chrono::month{month} / std::chrono::last};
  sys_days day{end};
  while (std::chrono::weekday{day} != std::chrono::Sunday) day -= days{1};
  return us_of(day) + kHour;
}

year_month_day date_of(TimeUs time) { return year_month_day{sys_days{days{floor_to(time, kDay) / kDay}}}; }

TimeUs berlin_offset(TimeUs time) {
  const int year = static_cast<int>(date_of(time).year());
  return time >= last_sunday(year, 3) && time < last_sunday(year, 10) ? 2 * kHour : kHour;
}

/// Midnight is never within a change of the clocks, so one of the two offsets fits.
TimeUs from_berlin(TimeUs local) {
  const TimeUs summer = local - 2 * kHour;
  return berlin_offset(summer) == 2 * kHour ? summer : local - kHour;
}

int between(std::mt19937_64& random, int least, int most) { return std::uniform_int_distribution(least, most)(random); }

double random_double(std::mt19937_64& random) {
  switch (between(random, 0, 9)) {
    case 0:
      return 1.7e308 * (between(random, 0, 1) == 0 ? 1 : -1);
    case 1:
      return 5e-324;
    case 2:
      return 0.0;
    default:
      return between(random, -10'000, 10'000) / 10.0;
  }
}

}  // namespace

telemetry::Value random_value(std::mt19937_64& random, MetricType type) {
  // Now and then a value of another type than the first one had.
  if (between(random, 0, 9) == 0) type = static_cast<MetricType>(between(random, 1, 5));
  switch (type) {
    case MetricType::kInteger: {
      const std::int64_t small = between(random, -1'000, 1'000);
      if (between(random, 0, 4) != 0) return small;
      return between(random, 0, 1) == 0 ? std::numeric_limits<std::int64_t>::max() - 1'000 + small
                                        : (std::int64_t{1} << 53) + small;
    }
    case MetricType::kBoolean:
      return between(random, 0, 1) == 0;
    case MetricType::kText:
      return std::string("a \"quoted\", text\nof ") + std::to_string(between(random, 0, 99)) + " gr\xC3\xB6\xC3\x9F";
    case MetricType::kJson:
      return telemetry::Json{"[" + std::to_string(between(random, 0, 9)) + ", \"x,y\"]"};
    case MetricType::kUnknown:
    case MetricType::kDouble:
      break;
  }
  return random_double(random);
}

std::vector<Number> numbers(const SeriesRows& rows, TimeUs from, TimeUs to) {
  std::vector<Number> found;
  for (auto row = rows.lower_bound(from); row != rows.end() && row->first < to; ++row) {
    if (const auto* number = std::get_if<double>(&row->second.value)) found.push_back({row->first, *number});
    if (const auto* whole = std::get_if<std::int64_t>(&row->second.value)) {
      found.push_back({row->first, static_cast<double>(*whole)});
    }
  }
  return found;
}

void Figures::add(const Number& number) {
  min = count == 0 ? number.value : std::min(min, number.value);
  max = count == 0 ? number.value : std::max(max, number.value);
  // Numbers come by (time, device): of equal times the first device's is the first, the last one's the last.
  if (count == 0 || number.time < first.time) first = number;
  if (count == 0 || number.time >= last.time) last = number;
  ++count;
  sum += number.value;
  size += std::fabs(static_cast<long double>(number.value));
}

TimeUs floor_to(TimeUs time, std::int64_t step, TimeUs origin) {
  std::int64_t steps = (time - origin) / step;
  if (steps * step > time - origin) --steps;
  return origin + steps * step;
}

TimeUs start_in_berlin(TimeUs time, Unit unit) {
  const TimeUs local = time + berlin_offset(time);
  const year_month_day date = date_of(local);
  sys_days start{date};
  switch (unit) {
    case Unit::kDay:
      break;
    case Unit::kWeek:
      while (std::chrono::weekday{start} != std::chrono::Monday) start -= days{1};
      break;
    case Unit::kMonth:
      start = sys_days{date.year() / date.month() / std::chrono::day{1}};
      break;
    case Unit::kYear:
      start = sys_days{date.year() / std::chrono::January / std::chrono::day{1}};
      break;
  }
  return from_berlin(us_of(start));
}

std::vector<Number> lttb(const std::vector<Number>& all, int points) {
  const auto n = static_cast<std::int64_t>(all.size());
  if (n <= points) return all;
  const auto edge = [&](std::int64_t bucket) { return bucket * (n - 2) / (points - 2) + 1; };
  const auto at = [&](std::int64_t index) { return all[static_cast<std::size_t>(index)]; };
  std::vector<Number> kept{at(0)};
  for (std::int64_t bucket = 0; bucket < points - 2; ++bucket) {
    const std::int64_t begin = edge(bucket + 1);
    const std::int64_t end = bucket == points - 3 ? n : edge(bucket + 2);
    const Number before = kept.back();
    double x = 0;
    double y = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      x += static_cast<double>(at(i).time - before.time) / static_cast<double>(end - begin);
      y += at(i).value / static_cast<double>(end - begin);
    }
    double largest = -1;
    Number best = at(edge(bucket));
    for (std::int64_t i = edge(bucket); i < begin; ++i) {
      const double area = std::fabs(x * (at(i).value - before.value) -
                                    static_cast<double>(at(i).time - before.time) * (y - before.value));
      if (!(area > largest)) continue;
      largest = area;
      best = at(i);
    }
    kept.push_back(best);
  }
  kept.push_back(at(n - 1));
  return kept;
}

TimeUs random_time(std::mt19937_64& random) {
  const TimeUs day = kDays.at(static_cast<std::size_t>(between(random, 0, 3)));
  switch (between(random, 0, 4)) {
    case 0:  // a border of a day, of UTC or of Berlin
      return day - between(random, 0, 2) * kHour + between(random, -2, 2);
    case 1:
      return day + between(random, -48, 48) * kHour;
    case 2:
      return day + between(random, -100, 100) * kUsPerSecond;
    default:
      return day + std::uniform_int_distribution<TimeUs>(-2 * kDay, 2 * kDay)(random);
  }
}

Model random_model(std::mt19937_64& random, const std::vector<std::int32_t>& device_keys) {
  Model model;
  model.type = static_cast<MetricType>(between(random, 0, 3) == 0 ? between(random, 1, 5) : between(random, 1, 2));
  for (const std::int32_t key : device_keys) {
    const int rows = between(random, 0, 3) == 0 ? 0 : between(random, 1, 60);
    for (int i = 0; i < rows; ++i) {
      model.devices[key][random_time(random)] = {random_value(random, model.type), between(random, 0, 9) == 0};
    }
  }
  return model;
}

}  // namespace millrace::query_api::oracle
