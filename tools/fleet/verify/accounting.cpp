#include "verify/accounting.hpp"

#include <algorithm>
#include <unordered_map>

namespace millrace::fleet {
namespace {

constexpr std::size_t kExamples = 10;

class DeviceAccount {
 public:
  DeviceAccount(std::size_t device, const std::string& name, const Readings& readings,
                std::span<const LedgerEntry> ledger)
      : device_(device), name_(name), readings_(readings), ledger_(ledger), copies_(ledger.size(), 0) {
    for (std::size_t i = 0; i < ledger.size(); ++i) {
      if (ledger[i].timed) by_time_.emplace(ledger[i].time_us, i);
    }
    timed_seen_.resize(readings.metrics().size());
    untimed_values_.resize(readings.metrics().size());
  }

  void take(const StoredPoint& point) {
    if (point.metric == StoredPoint::kSequence) {
      take_sequence(point);
    } else if (point.untimed) {
      untimed_values_[static_cast<std::size_t>(point.metric)].push_back(point.value);
    } else {
      take_timed(point);
    }
  }

  Tally finish() {
    for (std::size_t i = 0; i < ledger_.size(); ++i) count(i);
    for (std::size_t metric = 0; metric < readings_.metrics().size(); ++metric) {
      check_timed(metric);
      check_untimed(metric);
    }
    return std::move(tally_);
  }

 private:
  Message message_of(std::size_t i) const {
    return {static_cast<std::uint32_t>(i + 1), ledger_[i].timed, ledger_[i].time_us, 0};
  }

  void fault(std::uint64_t& counter, std::size_t i, const std::string& what) {
    ++counter;
    if (tally_.examples.size() >= kExamples) return;
    std::string text = name_ + " sequence " + std::to_string(readings_.sequence_of(message_of(i))) + ": " + what;
    if (ledger_[i].receipt.given()) text += " (receipt " + ledger_[i].receipt.to_string() + ")";
    tally_.examples.push_back(std::move(text));
  }

  void take_sequence(const StoredPoint& point) {
    if (!point.value) return;
    const double index = *point.value - static_cast<double>(readings_.options().sequence_base);
    if (index < 1 || index > static_cast<double>(ledger_.size())) return;  // another run's
    const std::size_t i = static_cast<std::size_t>(index) - 1;
    if (++copies_[i] == 2) fault(tally_.doubled, i, "stored twice");
    if (point.untimed == ledger_[i].timed || (ledger_[i].timed && point.time_us != ledger_[i].time_us)) {
      fault(tally_.wrong_value, i, "stored at " + format_rfc3339(point.time_us) + ", not at the time it gave");
    }
  }

  void take_timed(const StoredPoint& point) {
    const auto found = by_time_.find(point.time_us);
    if (found == by_time_.end()) return;  // another run's
    const auto metric = static_cast<std::size_t>(point.metric);
    const std::size_t i = found->second;
    auto& seen = timed_seen_[metric];
    if (seen.empty()) seen.resize(ledger_.size(), false);
    if (seen[i]) fault(tally_.wrong_value, i, readings_.metrics()[metric] + " stored twice at one time");
    seen[i] = true;
    const auto expected = readings_.expected(device_, message_of(i), metric);
    if (expected && point.value != expected)
      fault(tally_.wrong_value, i, readings_.metrics()[metric] + " has another value");
  }

  void count(std::size_t i) {
    const LedgerEntry& entry = ledger_[i];
    const bool stored = copies_[i] > 0;
    if (entry.fate != Fate::kMade) ++tally_.sent;
    if (stored) ++tally_.stored;
    switch (entry.fate) {
      case Fate::kMade:
        if (stored) fault(tally_.wrong_value, i, "stored, but never sent");
        break;
      case Fate::kSent:
        if (stored) ++tally_.stored_unanswered;
        break;
      case Fate::kAcknowledged:
        ++tally_.acknowledged;
        if (!stored) fault(tally_.lost, i, "acknowledged, but not stored");
        break;
      case Fate::kRefused:
        ++tally_.refused;
        if (stored) fault(tally_.wrong_value, i, "refused, but stored");
        break;
    }
  }

  void check_timed(std::size_t metric) {
    const auto& seen = timed_seen_[metric];
    for (std::size_t i = 0; i < ledger_.size(); ++i) {
      if (!ledger_[i].timed || copies_[i] == 0) continue;
      if (!readings_.expected(device_, message_of(i), metric)) continue;
      if (seen.empty() || !seen[i]) fault(tally_.wrong_value, i, readings_.metrics()[metric] + " is missing");
    }
  }

  /// Points without time carry nothing that ties them to their message, so they are compared as a whole: the values
  /// that the stored messages must have brought against the values that are there.
  void check_untimed(std::size_t metric) {
    std::vector<std::pair<double, std::size_t>> expected;
    for (std::size_t i = 0; i < ledger_.size(); ++i) {
      if (ledger_[i].timed) continue;
      const auto value = readings_.expected(device_, message_of(i), metric);
      for (std::uint32_t copy = 0; value && copy < copies_[i]; ++copy) expected.emplace_back(*value, i);
    }
    std::vector<double> stored;
    for (const auto& value : untimed_values_[metric]) {
      if (value) stored.push_back(*value);
    }
    std::ranges::sort(expected);
    std::ranges::sort(stored);
    std::size_t at = 0;
    for (const auto& [value, i] : expected) {
      while (at < stored.size() && stored[at] < value) {
        fault(tally_.wrong_value, i, readings_.metrics()[metric] + " is stored with a value nobody sent");
        ++at;
      }
      if (at < stored.size() && stored[at] == value) {
        ++at;
      } else {
        fault(tally_.wrong_value, i, readings_.metrics()[metric] + " is missing");
      }
    }
    for (; at < stored.size() && !ledger_.empty(); ++at) {
      fault(tally_.wrong_value, 0, readings_.metrics()[metric] + " is stored with a value nobody sent");
    }
  }

  const std::size_t device_;
  const std::string& name_;
  const Readings& readings_;
  const std::span<const LedgerEntry> ledger_;
  std::vector<std::uint32_t> copies_;
  std::unordered_map<TimeUs, std::size_t> by_time_;
  std::vector<std::vector<bool>> timed_seen_;
  std::vector<std::vector<std::optional<double>>> untimed_values_;
  Tally tally_;
};

}  // namespace

void Tally::add(const Tally& other) {
  sent += other.sent;
  acknowledged += other.acknowledged;
  refused += other.refused;
  stored += other.stored;
  stored_unanswered += other.stored_unanswered;
  lost += other.lost;
  doubled += other.doubled;
  wrong_value += other.wrong_value;
  for (const std::string& example : other.examples) {
    if (examples.size() < kExamples) examples.push_back(example);
  }
}

Tally account(std::size_t device, const std::string& name, const Readings& readings,
              std::span<const LedgerEntry> ledger, const std::vector<StoredPoint>& points) {
  DeviceAccount account(device, name, readings, ledger);
  for (const StoredPoint& point : points) account.take(point);
  return account.finish();
}

}  // namespace millrace::fleet
