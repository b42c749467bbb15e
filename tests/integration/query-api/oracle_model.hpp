#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/storage_schema/value.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::query_api {

/// What is stored, as simply as it can be held, and every answer computed from it in the plainest way.
namespace oracle {

struct Row {
  telemetry::Value value;
  bool untimed = false;
};
/// A time occurs once in a series.
using SeriesRows = std::map<TimeUs, Row>;

struct Model {
  storage_schema::MetricType type = storage_schema::MetricType::kDouble;
  std::map<std::int32_t, SeriesRows> devices;  // of one metric, by device key
};

struct Number {
  TimeUs time = 0;
  double value = 0;
};
/// The numbers of [from, to): doubles and integers.
[[nodiscard]] std::vector<Number> numbers(const SeriesRows& rows, TimeUs from, TimeUs to);

/// The figures of some numbers; sums by the widest type there is.
struct Figures {
  std::int64_t count = 0;
  long double sum = 0;
  long double size = 0;  // sum of the magnitudes: what rounding is measured against
  double min = 0;
  double max = 0;
  Number first;
  Number last;
  void add(const Number& number);
  [[nodiscard]] long double mean() const { return sum / static_cast<long double>(count); }
};

/// Largest multiple of `step` at or before `time`, counted from `origin`.
[[nodiscard]] TimeUs floor_to(TimeUs time, std::int64_t step, TimeUs origin = 0);

enum class Unit { kDay, kWeek, kMonth, kYear };
/// Start of the day, week, month or year of Berlin that holds `time`, by the rule of the European Union of 1996: summer
/// time from the last Sunday of March to that of October, 01:00 UTC.
[[nodiscard]] TimeUs start_in_berlin(TimeUs time, Unit unit);

/// Largest Triangle Three Buckets over the whole vector, by indexes.
[[nodiscard]] std::vector<Number> lttb(const std::vector<Number>& all, int points);

/// Mostly of the type; doubles and integers are sometimes as large as they can be.
[[nodiscard]] telemetry::Value random_value(std::mt19937_64& random, storage_schema::MetricType type);

/// One metric of `device_keys`, its times thick around the borders of days and the changes of the clocks.
[[nodiscard]] Model random_model(std::mt19937_64& random, const std::vector<std::int32_t>& device_keys);
/// A time near those of random_model().
[[nodiscard]] TimeUs random_time(std::mt19937_64& random);

}  // namespace oracle
}  // namespace millrace::query_api
