#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

#include "engine/alert.hpp"
#include "engine/outputs.hpp"
#include "rules/rule_book.hpp"

namespace millrace::stream {

/// A reading as the rules see it. The views live during the call.
struct RuledReading {
  const telemetry::Value* value = nullptr;
  TimeUs time = 0;
  bool timed = false;          ///< the device gave the time
  std::int32_t partition = 0;  ///< of the record, as the next
  std::int64_t offset = 0;
  std::int32_t generation = 0;
  const telemetry::Batch* batch = nullptr;  ///< the record's
};

/// What the rules may do for one record. A tenant's rules and messages are its own business; the partition is
/// everybody's. One reading asked of one condition costs 1, and 1 more for each 64 bytes of text; an event costs
/// kEventCost.
inline constexpr std::int64_t kRecordBudget = 50'000;
inline constexpr std::int64_t kEventCost = 50;
/// An event has so much of a text; its receipt leads to the whole.
inline constexpr std::size_t kMostValueBytes = 256;

/// What the rules know of one series; kept with the series.
struct RuledSeries {
  struct Applied {
    const CompiledRule* rule = nullptr;  // lives as long as the book that the engine holds
    Alert* alert = nullptr;              // its last event; null: it never was raised
  };
  std::uint64_t book_version = 0;  ///< 0: rules are not looked up yet
  std::vector<Applied> rules;
  std::optional<TimeUs> last_time;  ///< greatest event time that was looked at
};

/// The alerts of one partition: one open alert at most for each rule and series. Event times only go forward: a reading
/// older than the last one that was looked at changes nothing. Pure; one thread.
class Alerts {
 public:
  explicit Alerts(std::shared_ptr<const RuleBook> book) : book_(std::move(book)) {}

  /// The last event of an alert key, as the topic `alerts` has it; before any other call.
  void restore(Alert event);

  /// Other rules from now on. Open alerts whose rule is gone or does not apply any more are cleared at `log_time`.
  void set_book(std::shared_ptr<const RuleBook> book, TimeUs log_time, Outputs& outputs);

  /// Another record from now on: the budget is whole again.
  void begin_record() { budget_ = kRecordBudget; }

  /// Looks at one reading. `outputs` null: only the time is noted (what follows from it is known from the topic). False
  /// where the record's budget did not suffice: then only the time is noted too.
  bool look_at(RuledSeries& series, std::string_view metric, const RuledReading& reading, Outputs* outputs);

  [[nodiscard]] std::size_t open() const { return open_; }

 private:
  void look_up(RuledSeries& series, std::string_view device, std::string_view tenant, std::string_view metric);
  void raise(RuledSeries::Applied& applied, std::string_view metric, const RuledReading& reading, Outputs& outputs);
  void clear(Alert& alert, const CompiledRule& rule, const RuledReading& reading, Outputs& outputs);

  std::shared_ptr<const RuleBook> book_;
  std::map<std::string, Alert, std::less<>> last_events_;  // by alert key; node addresses are kept in RuledSeries
  std::size_t open_ = 0;
  std::int64_t budget_ = kRecordBudget;
};

}  // namespace millrace::stream
