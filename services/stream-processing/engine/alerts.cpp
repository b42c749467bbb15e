#include "engine/alerts.hpp"

#include <algorithm>

#include <millrace/rules/expression.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::stream {
namespace {

std::string receipt_of(const RuledReading& reading) {
  return telemetry::Receipt{reading.partition, reading.offset, reading.generation}.to_string();
}

// Time of the reading behind the last event; none where a rule's end cleared it: that was log time.
std::optional<TimeUs> reading_time(const Alert& event) {
  if (event.is_open()) return event.raised_at;
  if (event.clear_reason == Alert::ClearReason::kReading) return event.cleared_at;
  return event.raised_at;
}

std::int64_t cost_of(const telemetry::Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return 1 + static_cast<std::int64_t>(text == nullptr ? 0 : std::min(text->size(), rules::kMaxAskedTextBytes) / 64);
}

// The value as an event has it: of a text its beginning, in whole characters; no JSON that is not whole.
std::optional<telemetry::Value> shown(const telemetry::Value& value) {
  if (const auto* json = std::get_if<telemetry::Json>(&value); json != nullptr && json->text.size() > kMostValueBytes)
    return std::nullopt;
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr || text->size() <= kMostValueBytes) return value;
  std::size_t end = kMostValueBytes;
  while (end > 0 && (static_cast<unsigned char>((*text)[end]) & 0xc0U) == 0x80U) --end;
  return text->substr(0, end);
}

// Of a cleared alert only the next one's number is asked, and how far event time had come.
Alert without_texts(const Alert& event) {
  Alert kept;
  kept.event_number = event.event_number;
  kept.state = event.state;
  kept.clear_reason = event.clear_reason;
  kept.raised_at = event.raised_at;
  kept.cleared_at = event.cleared_at;
  return kept;
}

}  // namespace

void Alerts::restore(Alert event) {
  std::string key = event.alert_key;
  Alert& last = last_events_[std::move(key)];
  open_ -= last.is_open() ? 1 : 0;
  open_ += event.is_open() ? 1 : 0;
  last = event.is_open() ? std::move(event) : without_texts(event);
}

void Alerts::set_book(std::shared_ptr<const RuleBook> book, TimeUs log_time, Outputs& outputs) {
  book_ = std::move(book);
  for (auto& [key, event] : last_events_) {
    if (!event.is_open()) continue;
    const CompiledRule* rule = book_->find(event.tenant, event.rule);
    const bool same = rule != nullptr && event.rule_version >= rule->rule.created_version;
    if (same && rule->applies_to(event.tenant, event.device, event.metric)) continue;
    event.state = Alert::State::kCleared;
    event.clear_reason = Alert::ClearReason::kRule;
    event.cleared_at = std::max(log_time, event.raised_at);
    ++event.event_number;
    --open_;
    outputs.alert(event);
    event = without_texts(event);
  }
}

void Alerts::look_up(RuledSeries& series, std::string_view device, std::string_view tenant, std::string_view metric) {
  series.rules.clear();
  series.book_version = book_->version();
  for (const auto& rule : book_->for_metric(tenant, metric)) {
    if (!rule->applies_to(tenant, device, metric)) continue;
    const auto found = last_events_.find(alert_key_of(tenant, rule->rule.rule, device, metric));
    RuledSeries::Applied applied{rule.get(), nullptr};
    if (found != last_events_.end()) {
      applied.alert = &found->second;
      series.last_time = std::max(series.last_time, reading_time(found->second));
    }
    series.rules.push_back(applied);
  }
}

bool Alerts::look_at(RuledSeries& series, std::string_view metric, const RuledReading& reading, Outputs* outputs) {
  if (series.book_version != book_->version()) look_up(series, reading.batch->device, reading.batch->tenant, metric);
  // A time that the device gave is looked at once; the platform's own stamps may be equal.
  if (series.last_time && (reading.time < *series.last_time || (reading.timed && reading.time == *series.last_time)))
    return true;
  series.last_time = reading.time;
  if (outputs == nullptr || series.rules.empty()) return true;
  budget_ -= static_cast<std::int64_t>(series.rules.size()) * cost_of(*reading.value);
  if (budget_ < 0) return false;
  for (RuledSeries::Applied& applied : series.rules) {
    const bool open = applied.alert != nullptr && applied.alert->is_open();
    if (!open) {
      if (applied.rule->raise.evaluate(*reading.value).value_or(false)) raise(applied, metric, reading, *outputs);
      continue;
    }
    // A reading that a condition cannot be asked about (another type) neither raises nor clears.
    const auto ended = applied.rule->clear ? applied.rule->clear->evaluate(*reading.value)
                                           : applied.rule->raise.evaluate(*reading.value);
    if (ended && *ended == applied.rule->clear.has_value()) clear(*applied.alert, *applied.rule, reading, *outputs);
  }
  return true;
}

void Alerts::raise(RuledSeries::Applied& applied, std::string_view metric, const RuledReading& reading,
                   Outputs& outputs) {
  const rules::Rule& rule = applied.rule->rule;
  const telemetry::Batch& batch = *reading.batch;
  Alert event;
  event.alert_key = alert_key_of(batch.tenant, rule.rule, batch.device, metric);
  event.event_number = applied.alert != nullptr ? applied.alert->event_number + 1 : 1;
  event.alert_id = alert_id_of(event.alert_key, reading.time, event.event_number);
  event.state = Alert::State::kRaised;
  event.tenant = batch.tenant;
  event.rule = rule.rule;
  event.rule_version = rule.version;
  event.device = batch.device;
  event.device_key = batch.device_key;
  event.metric = metric;
  event.severity = rule.severity;
  event.description = rule.description;
  event.raised_at = reading.time;
  event.raise_value = shown(*reading.value);
  event.raise_expression = rule.raise;
  event.raise_receipt = receipt_of(reading);
  event.ingest_time = batch.ingest_time;
  event.traceparent = batch.traceparent;
  std::string key = event.alert_key;
  applied.alert = &last_events_.insert_or_assign(std::move(key), std::move(event)).first->second;
  ++open_;
  budget_ -= kEventCost;
  outputs.alert(*applied.alert);
}

void Alerts::clear(Alert& alert, const CompiledRule& rule, const RuledReading& reading, Outputs& outputs) {
  alert.state = Alert::State::kCleared;
  alert.clear_reason = Alert::ClearReason::kReading;
  alert.cleared_at = reading.time;
  alert.clear_value = shown(*reading.value);
  alert.clear_expression = rule.clear ? rule.rule.clear : "!(" + rule.rule.raise + ")";
  alert.clear_receipt = receipt_of(reading);
  alert.rule_version = rule.rule.version;
  alert.severity = rule.rule.severity;
  alert.ingest_time = reading.batch->ingest_time;
  alert.traceparent = reading.batch->traceparent;
  ++alert.event_number;
  --open_;
  budget_ -= kEventCost;
  outputs.alert(alert);
  alert = without_texts(alert);
}

}  // namespace millrace::stream
