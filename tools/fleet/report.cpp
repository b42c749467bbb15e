#include "report.hpp"

#include <cmath>
#include <iomanip>
#include <sstream>

#include <nlohmann/json.hpp>

namespace millrace::fleet {
namespace {

double rounded(double value) { return std::round(value * 1000) / 1000; }

nlohmann::ordered_json percentiles(const Latencies& latencies) {
  return {{"count", latencies.count()},
          {"p50", rounded(latencies.percentile_ms(0.5))},
          {"p90", rounded(latencies.percentile_ms(0.9))},
          {"p99", rounded(latencies.percentile_ms(0.99))},
          {"p999", rounded(latencies.percentile_ms(0.999))},
          {"max", rounded(latencies.max_ms())}};
}

void row(std::ostream& out, const std::string& name, const std::string& value) {
  out << "  " << std::left << std::setw(36) << name << std::right << std::setw(24) << value << '\n';
}

void row(std::ostream& out, const std::string& name, std::uint64_t value) { row(out, name, std::to_string(value)); }

std::string decimal(double value) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(value < 10 ? 2 : 1) << value;
  return text.str();
}

/// Messages a second: acknowledged, or of QoS 0 sent and read by the server.
double rate_of(const Report& report) {
  const Outcome& o = report.outcome;
  const std::uint64_t messages = report.options.qos == 0 ? o.sent_count.load() : o.acknowledged_count.load();
  return report.load.seconds > 0 ? static_cast<double>(messages) / report.load.seconds : 0;
}

void latency_row(std::ostream& out, const std::string& name, const Latencies& latencies) {
  if (latencies.count() == 0) return;
  row(out, name + " p50 / p99 / max, ms",
      decimal(latencies.percentile_ms(0.5)) + " / " + decimal(latencies.percentile_ms(0.99)) + " / " +
          decimal(latencies.max_ms()));
}

}  // namespace

void print_json(const Report& report, std::ostream& out) {
  const Outcome& o = report.outcome;
  nlohmann::ordered_json json{
      {"sent", o.sent_count.load()},
      {"acknowledged", o.acknowledged_count.load()},
      {"refused", o.refused_count.load()},
      {"unanswered", o.sent_count.load() - o.acknowledged_count.load() - o.refused_count.load()},
      {"never_sent", o.made_count.load() - o.sent_count.load()},
      {"resent", o.resent_count.load()},
  };
  if (report.verdict) {
    const Verdict& verdict = *report.verdict;
    json["stored"] = verdict.tally.stored;
    json["stored_unanswered"] = verdict.tally.stored_unanswered;
    json["lost"] = verdict.tally.lost;
    json["doubled"] = verdict.tally.doubled;
    json["wrong_value"] = verdict.tally.wrong_value;
    json["receipts"] = {{"asked", verdict.receipts_asked}, {"wrong", verdict.receipts_wrong}};
    json["ranges"] = {{"asked", verdict.ranges_asked}, {"wrong", verdict.ranges_wrong}};
    json["caught_up_s"] = rounded(verdict.caught_up_s);
    json["faults"] = verdict.tally.examples;
  }
  json["ack_ms"] = percentiles(o.ack_latencies);
  if (report.readable != nullptr) {
    json["readable_ms"] = percentiles(*report.readable);
    json["never_readable"] = report.never_readable;
  }
  json["seconds"] = rounded(report.load.seconds);
  json["rate"] = rounded(rate_of(report));
  json["cpu_us_per_message"] = rounded(report.load.cpu_us_per_message);
  json["connects"] = o.connects.load();
  json["lost_connections"] = o.lost_connections.load();
  json["turned_away"] = o.turned_away.load();
  json["pushed_back"] = o.pushed_back.load();
  json["unknown"] = o.unknown.load();
  json["devices"] = report.devices;
  json["protocol"] = report.options.protocols;
  json["prefix"] = report.options.prefix;
  json["seed"] = report.options.seed;
  json["sequence_base"] = report.options.sequence_base;
  out << json.dump() << std::endl;
}

void print_table(const Report& report, std::ostream& out) {
  const Outcome& o = report.outcome;
  out << "millrace-fleet: " << report.devices << " devices, " << report.options.protocols << ", "
      << decimal(report.load.seconds) << " s, seed " << report.options.seed << '\n';
  row(out, "sent", o.sent_count.load());
  row(out, "acknowledged", o.acknowledged_count.load());
  if (o.refused_count != 0) row(out, "refused", o.refused_count.load());
  row(out, "sent again", o.resent_count.load());
  row(out, "without answer", o.sent_count - o.acknowledged_count - o.refused_count);
  if (o.made_count != o.sent_count) row(out, "due, but never sent", o.made_count - o.sent_count);
  if (report.verdict) {
    const Tally& tally = report.verdict->tally;
    row(out, "stored", tally.stored);
    row(out, "lost", tally.lost);
    row(out, "doubled", tally.doubled);
    row(out, "wrong value", tally.wrong_value);
    row(out, "receipts asked / not stored",
        std::to_string(report.verdict->receipts_asked) + " / " + std::to_string(report.verdict->receipts_wrong));
    row(out, "Range against database / differ",
        std::to_string(report.verdict->ranges_asked) + " / " + std::to_string(report.verdict->ranges_wrong));
  }
  latency_row(out, "publish to ack", o.ack_latencies);
  if (report.readable != nullptr) latency_row(out, "publish to readable", *report.readable);
  if (report.load.seconds > 0) {
    row(out, report.options.qos == 0 ? "sent and read per second" : "acknowledged per second", decimal(rate_of(report)));
  }
  row(out, "CPU per message, us", decimal(report.load.cpu_us_per_message));
  if (o.lost_connections != 0) row(out, "connections lost", o.lost_connections.load());
  if (o.turned_away != 0) row(out, "turned away", o.turned_away.load());
  if (report.verdict) {
    for (const std::string& example : report.verdict->tally.examples) out << "  ! " << example << '\n';
    out << (report.verdict->clean() ? "every acknowledged message is stored, once, as it was sent\n" : "NOT CLEAN\n");
  }
}

}  // namespace millrace::fleet
