#include "limit_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "command_error.hpp"
#include "millrace/registry/v1/entry.pb.h"

namespace millrace::cli {
namespace {

namespace api = registry::v1;

double parse_number(std::string_view text, std::string_view whole) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value <= 0)
    throw usage_error("'" + std::string(whole) + "' is no rate",
                      "give a number above 0 a second, and after a colon what may come at once: 10 or 10:50");
  return value;
}

void append(std::string& out, std::string_view name, const std::string& value) {
  if (!out.empty()) out += ',';
  out.append("\"").append(name).append("\":").append(value);
}

std::string rate_json(const api::RateLimit& rate) {
  std::string out;
  append(out, "per_second", number_json(rate.per_second()));
  if (rate.burst() > 0) append(out, "burst", number_json(rate.burst()));
  return "{" + out + "}";
}

std::string json_of(const api::Limits& limits) {
  std::string out;
  if (limits.has_messages()) append(out, "messages", rate_json(limits.messages()));
  if (limits.has_bytes()) append(out, "bytes", rate_json(limits.bytes()));
  if (limits.has_points()) append(out, "points", rate_json(limits.points()));
  if (limits.has_connects()) append(out, "connects", rate_json(limits.connects()));
  if (limits.connections() != 0) append(out, "connections", std::to_string(limits.connections()));
  return "{" + out + "}";
}

void add_rate(Table& table, const std::string& whose, const char* name, const api::RateLimit& rate) {
  const double burst = rate.burst() > 0 ? rate.burst() : std::max(1.0, rate.per_second());
  table.add({whose, name, rounded_text(rate.per_second()), rounded_text(burst)});
}

}  // namespace

api::RateLimit parse_rate(std::string_view text) {
  api::RateLimit rate;
  const std::size_t colon = text.find(':');
  rate.set_per_second(parse_number(text.substr(0, colon), text));
  if (colon != std::string_view::npos) rate.set_burst(parse_number(text.substr(colon + 1), text));
  return rate;
}

void add_limits(Table& table, const std::string& whose, const api::Limits& limits) {
  if (limits.has_messages()) add_rate(table, whose, "messages", limits.messages());
  if (limits.has_bytes()) add_rate(table, whose, "bytes", limits.bytes());
  if (limits.has_points()) add_rate(table, whose, "points", limits.points());
  if (limits.has_connects()) add_rate(table, whose, "connects", limits.connects());
  if (limits.connections() != 0) table.add({whose, "connections", "", std::to_string(limits.connections())});
}

std::string limits_json(const api::LimitsEntry& entry) {
  std::string out;
  append(out, "tenant", json_string(entry.tenant()));
  if (!entry.device().empty()) append(out, "device", json_string(entry.device()));
  if (entry.has_tenant_total()) append(out, "tenant_total", json_of(entry.tenant_total()));
  if (entry.has_device_default()) append(out, "device_default", json_of(entry.device_default()));
  if (entry.has_device_override()) append(out, "device_override", json_of(entry.device_override()));
  return "{" + out + "}";
}

}  // namespace millrace::cli
