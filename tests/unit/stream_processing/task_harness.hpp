#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/partition_task.hpp"

namespace millrace::stream::test {

inline constexpr TimeUs kMinute = 60 * kUsPerSecond;
inline constexpr TimeUs kNoon = 1'764'072'000 * kUsPerSecond;  // a whole minute

/// What came out, as text and values that tests compare.
struct Collected final : Outputs {
  struct Result {
    std::string series;  // tenant/device/metric
    TimeUs start = 0;
    Figures figures;
    bool operator==(const Result&) const = default;
  };
  struct Late {
    std::int64_t offset = 0;
    std::vector<std::int32_t> points;
    std::vector<TimeUs> windows;
    bool operator==(const Late&) const = default;
  };
  std::vector<Result> windows;
  std::vector<Alert> alerts;
  std::vector<Late> lates;

  void window(const ClosedWindow& closed) override {
    windows.push_back({std::string(closed.tenant) + "/" + std::string(closed.device) + "/" + std::string(closed.metric),
                       closed.start, closed.figures});
  }
  void alert(const Alert& event) override { alerts.push_back(event); }
  void late(const LateReadings& late) override {
    lates.push_back(
        {late.source.offset, {late.points.begin(), late.points.end()}, {late.windows.begin(), late.windows.end()}});
  }
};

inline std::shared_ptr<const RuleBook> book_of(std::vector<rules::Rule> rules, std::uint64_t version = 1) {
  std::vector<std::shared_ptr<const CompiledRule>> compiled;
  for (rules::Rule& rule : rules) {
    auto made = CompiledRule::compile(std::move(rule));
    if (!made) std::abort();
    compiled.push_back(std::make_shared<const CompiledRule>(std::move(*made)));
  }
  return std::make_shared<const RuleBook>(version, compiled);
}

inline rules::Rule rule(std::string id, std::string metric, std::string raise, std::string clear = {}) {
  rules::Rule made;
  made.tenant = "t";
  made.rule = std::move(id);
  made.version = 1;
  made.metric = std::move(metric);
  made.raise = std::move(raise);
  made.clear = std::move(clear);
  return made;
}

/// A log of one partition that is written and processed record by record.
struct LogRecord {
  TimeUs append = 0;
  telemetry::Batch batch;
};

inline telemetry::Batch message(std::int32_t device, std::vector<telemetry::Point> points) {
  static std::uint64_t counter = 0;
  telemetry::Batch batch;
  batch.ingest_id.start[0] = 1;
  batch.ingest_id.counter = ++counter;
  batch.tenant = "t";
  batch.device = "d" + std::to_string(device);
  batch.device_key = device;
  batch.protocol = telemetry::Protocol::kHttp;
  batch.points = std::move(points);
  return batch;
}

inline telemetry::Point point(std::string metric, telemetry::Value value, std::optional<TimeUs> time) {
  return {std::move(metric), std::move(value), time};
}

}  // namespace millrace::stream::test
