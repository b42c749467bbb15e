#include "readings/meter_readings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

namespace millrace::fleet {
namespace {

/// A quantity in thousandths: middle, how far the day moves it, noise to either side, and what a fault makes of it.
struct Quantity {
  const char* name;
  std::int64_t middle;
  std::int64_t daily;
  std::int64_t noise;
  std::int64_t fault;
};

constexpr Quantity kQuantities[] = {
    {"voltage", 230'000, 2'500, 1'200, 0},
    {"power", 900'000, 700'000, 150'000, 0},
    {"temperature", 21'000, 6'000, 400, -127'000},
    {"current", 4'000, 3'000, 600, 0},
    {"frequency", 50'000, 15, 20, 0},
    {"reactive_power", 120'000, 60'000, 30'000, 0},
};

constexpr std::int64_t kFaultsOneIn = 400;
constexpr std::size_t kNameBytes = 128;  // what a metric's name may have
constexpr std::string_view kSuffix = "_mean_of_phase_one_over_ten_seconds";
constexpr TimeUs kSomeTime = 1'790'000'000'000'000;

void append_number(std::int64_t value, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void append_thousandths(std::int64_t value, std::string& out) {
  if (value < 0) out.push_back('-');
  const std::int64_t size = std::abs(value);
  append_number(size / 1000, out);
  const std::int64_t rest = size % 1000;
  const char fraction[] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                           static_cast<char>('0' + rest % 10)};
  out.append(fraction, sizeof fraction);
}

}  // namespace

MeterReadings::MeterReadings(const ReadingsOptions& options, std::size_t points, std::size_t payload_bytes)
    : Readings(options) {
  points = std::clamp<std::size_t>(points, 1, 100);
  for (std::size_t i = 0; i < points; ++i) {
    metrics_.push_back(i < std::size(kQuantities) ? kQuantities[i].name : "channel_" + std::to_string(i + 1));
  }
  lengthen_names(payload_bytes);
}

void MeterReadings::lengthen_names(std::size_t payload_bytes) {
  std::string payload;
  MeterReadings::write(0, Message{.index = 1000, .timed = true, .time_us = kSomeTime, .due_ns = 0}, payload);
  std::size_t missing = payload_bytes - std::min(payload_bytes, payload.size());
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    std::string& name = metrics_[i];
    const std::size_t left = metrics_.size() - i;
    const std::size_t more = std::min((missing + left - 1) / left, kNameBytes - std::min(name.size(), kNameBytes));
    for (std::size_t n = 0; n < more; ++n) name.push_back(kSuffix[n % kSuffix.size()]);
    missing -= more;
  }
}

std::optional<Message> MeterReadings::make(std::size_t device, std::uint32_t index, TimeUs now_us,
                                           TimeUs last_time_us) const {
  return Message{index, is_timed(device, index), std::max(now_us, last_time_us + 1), 0};
}

std::int64_t MeterReadings::thousandths(std::size_t device, const Message& message, std::size_t metric) const {
  const Quantity& quantity = kQuantities[metric % std::size(kQuantities)];
  const std::uint64_t bits = random_bits(device, message.index, static_cast<std::uint32_t>(metric + 1));
  if (bits % kFaultsOneIn == 0) return quantity.fault;
  constexpr double kDayUs = 86'400e6;
  const double phase = static_cast<double>(message.time_us % static_cast<TimeUs>(kDayUs)) / kDayUs;
  const double shape = -std::cos(2 * std::numbers::pi * (phase + static_cast<double>(device % 24) / 240));
  const auto noise = static_cast<std::int64_t>((bits >> 16) % static_cast<std::uint64_t>(2 * quantity.noise + 1));
  return quantity.middle + std::llround(shape * static_cast<double>(quantity.daily)) + noise - quantity.noise;
}

std::optional<double> MeterReadings::expected(std::size_t device, const Message& message, std::size_t metric) const {
  // Division is correctly rounded, and so is the reading of the decimal text: both give the same double.
  return static_cast<double>(thousandths(device, message, metric)) / 1000;
}

void MeterReadings::write(std::size_t device, const Message& message, std::string& out) const {
  if (message.timed) {
    out.append("{\"ts\":");
    append_number(message.time_us, out);
    out.append(",\"sequence\":");
  } else {
    out.append("{\"sequence\":");
  }
  append_number(sequence_of(message), out);
  for (std::size_t metric = 0; metric < metrics_.size(); ++metric) {
    out.append(",\"").append(metrics_[metric]).append("\":");
    append_thousandths(thousandths(device, message, metric), out);
  }
  out.push_back('}');
}

}  // namespace millrace::fleet
