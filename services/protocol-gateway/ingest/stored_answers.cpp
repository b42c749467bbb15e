#include "ingest/stored_answers.hpp"

#include <string>
#include <utility>

namespace millrace::gateway {
namespace {

using Fate = telemetry_log::StoredPosition::Fate;

constexpr std::chrono::seconds kSweepEvery{5};

std::string dead_text(const telemetry_log::StoredPosition::Dead& dead) {
  if (dead.points.empty()) return "the whole message is a dead letter: " + dead.reason;
  std::string text = dead.points.size() == 1 ? "point " : "points ";
  for (std::size_t i = 0; i < dead.points.size(); ++i)
    text.append(i == 0 ? "" : ", ").append(std::to_string(dead.points[i]));
  return text + (dead.points.size() == 1 ? " is" : " are") + " a dead letter, the others are stored: " + dead.reason;
}

}  // namespace

StoredMark StoredAnswers::mark(std::int32_t partition) const {
  const std::scoped_lock lock(mutex_);
  const auto found = partitions_.find(partition);
  if (found == partitions_.end()) return {};
  return {found->second.position.generation, found->second.position.next_offset};
}

Outcome StoredAnswers::unknown() const {
  metrics_.stored_answers_unknown.add();
  return {};
}

// Of a record below the position.
Outcome StoredAnswers::outcome(const Position& position, const telemetry::Receipt& receipt) const {
  Outcome outcome;
  outcome.receipt = receipt;
  switch (position.fate(receipt.offset)) {
    case Fate::kStored:
      metrics_.stored_answers_stored.add();
      outcome.kind = Outcome::Kind::kStored;
      return outcome;
    case Fate::kDead:
      metrics_.stored_answers_not_stored.add();
      outcome.kind = Outcome::Kind::kNotStored;
      outcome.error = {ErrorKind::kInvalid, dead_text(*position.find_dead(receipt.offset))};
      return outcome;
    case Fate::kUntold:
    case Fate::kNotYet:
      break;
  }
  return unknown();
}

void StoredAnswers::hold_one(Held& held, std::vector<Settlement>& now) {
  Waiter& waiter = held.settlement.waiter;
  const telemetry::Receipt receipt = held.settlement.outcome.receipt;
  Partition& part = partitions_[receipt.partition];
  // An offset that was stored before its record was produced: what the writer said is of another record.
  const bool is_cut = part.position.generation != held.mark.generation || receipt.offset < held.mark.next_offset;
  if (is_cut) {
    log_.limited(limiter_, observability::Level::kError,
                 "the log gave an offset that is stored already: it was cut or replaced (millrace admin log)",
                 {{"partition", receipt.partition}, {"offset", receipt.offset}});
    now.push_back({std::move(waiter), unknown()});
    return;
  }
  if (receipt.offset < part.position.next_offset) {
    now.push_back({std::move(waiter), outcome(part.position, receipt)});
    return;
  }
  if (waiter.until > Clock::now()) {
    part.waiting.insert_or_assign(receipt.offset, Waiting{waiter.sink, waiter.token, waiter.until, receipt});
  }
  // The waiter itself goes back to its own thread: that may be the end of its connection.
  held.settlement.outcome.kind = Outcome::Kind::kInLog;
  now.push_back(std::move(held.settlement));
}

void StoredAnswers::hold(std::vector<Held> held) {
  std::vector<Settlement> now;
  {
    const std::scoped_lock lock(mutex_);
    for (Held& one : held) hold_one(one, now);
    sweep(Clock::now());
    recount();
  }
  if (!now.empty()) settle_(std::move(now));
}

void StoredAnswers::take(Position position) {
  std::vector<Settlement> now;
  {
    const std::scoped_lock lock(mutex_);
    Partition& part = partitions_[position.partition];
    const bool is_older = std::pair(position.generation, position.next_offset) <
                          std::pair(part.position.generation, part.position.next_offset);
    if (is_older) return;
    const bool is_broken = position.generation != part.position.generation;
    part.position = std::move(position);
    auto next = part.waiting.begin();
    while (next != part.waiting.end() && (is_broken || next->first < part.position.next_offset)) {
      if (auto sink = next->second.sink.lock()) {
        // What an earlier generation held of them was perhaps lost in the break.
        Outcome known = is_broken ? unknown() : outcome(part.position, next->second.receipt);
        now.push_back({{std::move(sink), next->second.token}, std::move(known)});
      }
      next = part.waiting.erase(next);
    }
    sweep(Clock::now());
    recount();
  }
  if (!now.empty()) settle_(std::move(now));
}

void StoredAnswers::sweep(Clock::time_point now) {
  if (now - swept_ < kSweepEvery) return;
  swept_ = now;
  for (auto& [partition, part] : partitions_) {
    std::erase_if(part.waiting,
                  [&](const auto& entry) { return entry.second.until <= now || entry.second.sink.expired(); });
  }
}

void StoredAnswers::recount() {
  std::size_t count = 0;
  for (const auto& [partition, part] : partitions_) count += part.waiting.size();
  count_.store(count, std::memory_order_relaxed);
  metrics_.stored_answers_waiting.set(static_cast<double>(count));
}

}  // namespace millrace::gateway
