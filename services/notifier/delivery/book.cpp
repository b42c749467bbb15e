#include "delivery/book.hpp"

#include <algorithm>
#include <utility>

namespace millrace::notifier {
namespace {

// Ten bytes each at most: half of the largest record.
constexpr std::size_t kOpenOffsetsKept = 50'000;

}  // namespace

std::int64_t Book::open(std::int32_t partition, const Saved& saved) {
  close(partition);
  Partition opened{PartitionProgress(saved)};
  opened.epoch = ++epoch_;
  ++backlog_changes_;
  return partitions_.emplace(partition, std::move(opened)).first->second.progress.next_offset();
}

void Book::close(std::int32_t partition) {
  if (partitions_.erase(partition) == 0) return;
  for (auto tenant = tenants_.begin(); tenant != tenants_.end();) {
    const auto next = std::next(tenant);
    events_ -= tenant->second.queue.size();
    tenant->second.queue.drop_partition(partition);
    events_ += tenant->second.queue.size();
    ++backlog_changes_;
    reschedule(tenant);
    tenant = next;
  }
}

Book::Partition* Book::current(std::int32_t partition, std::uint64_t epoch) {
  const auto found = partitions_.find(partition);
  return found != partitions_.end() && found->second.epoch == epoch ? &found->second : nullptr;
}

bool Book::has_room(std::string_view tenant, std::size_t limit) const {
  const auto found = tenants_.find(tenant);
  const std::size_t held = found == tenants_.end() ? 0 : found->second.queue.size();
  return held < limit && (events_ < limits_.events || held < BookLimits::kReserve);
}

void Book::queue(Partition& partition, Event event, Clock::time_point now) {
  auto tenant = tenants_.find(event.tenant);
  if (tenant == tenants_.end()) {
    tenant = tenants_.emplace(event.tenant, Tenant{TenantQueue(limits_.rules), std::nullopt}).first;
  }
  partition.progress.begin(event.tenant, event.offset);
  event.epoch = partition.epoch;
  tenant->second.queue.push(std::move(event), now);
  ++events_;
  reschedule(tenant);
}

Taken Book::take(Event event, Clock::time_point now) {
  const auto found = partitions_.find(event.partition);
  if (found == partitions_.end()) return Taken::kUnwanted;
  PartitionProgress& progress = found->second.progress;
  const std::int64_t next_offset = event.offset + 1;
  if (event.offset < progress.next_offset()) return Taken::kUnwanted;
  const bool room = !progress.is_behind(event.tenant) && has_room(event.tenant, limits_.tenant_events);
  if (room) {
    queue(found->second, std::move(event), now);
  } else {
    progress.leave(event.tenant, event.offset);
  }
  progress.pass(next_offset);
  return room ? Taken::kQueued : Taken::kLeft;
}

void Book::pass(std::int32_t partition, std::int64_t next_offset) {
  if (const auto found = partitions_.find(partition); found != partitions_.end()) {
    found->second.progress.pass(next_offset);
  }
}

// A queue is filled again once half of it is free, so that each look into the log is worth it.
std::size_t Book::refill_below() const { return std::max<std::size_t>(1, limits_.tenant_events / 2); }

std::optional<BacklogJob> Book::next_backlog() {
  std::optional<std::pair<std::int32_t, std::string>> first;
  std::optional<std::pair<std::int32_t, std::string>> next;
  for (const auto& [number, partition] : partitions_) {
    for (std::string& tenant : partition.progress.tenants_behind()) {
      if (!has_room(tenant, refill_below())) continue;
      std::pair<std::int32_t, std::string> candidate{number, std::move(tenant)};
      if (candidate > last_backlog_ && (!next || candidate < *next)) next = candidate;
      if (!first || candidate < *first) first = std::move(candidate);
    }
  }
  if (!next) next = first;
  if (!next) return std::nullopt;
  last_backlog_ = *next;
  const Partition& partition = partitions_.at(next->first);
  return BacklogJob{next->first, partition.epoch, next->second, *partition.progress.backlog_from(next->second)};
}

Taken Book::take_backlog(const BacklogJob& job, Event event, Clock::time_point now) {
  Partition* partition = current(job.partition, job.epoch);
  if (partition == nullptr || !partition->progress.is_wanted(event.tenant, event.offset)) return Taken::kUnwanted;
  if (!has_room(event.tenant, limits_.tenant_events)) return Taken::kLeft;
  queue(*partition, std::move(event), now);
  return Taken::kQueued;
}

bool Book::reach(const BacklogJob& job, std::int64_t next_offset) {
  Partition* partition = current(job.partition, job.epoch);
  if (partition == nullptr) return false;
  partition->progress.reach(job.tenant, next_offset);
  return partition->progress.is_behind(job.tenant);
}

void Book::reschedule(Tenants::iterator tenant) {
  Tenant& one = tenant->second;
  const auto wake = one.queue.wake_at();
  if (wake != one.wake) {
    if (one.wake) wakes_.erase({*one.wake, tenant->first});
    if (wake) wakes_.emplace(*wake, tenant->first);
    one.wake = wake;
  }
  if (one.queue.size() == 0 && !one.queue.is_down()) tenants_.erase(tenant);
}

std::optional<Clock::time_point> Book::wake_at() const {
  if (wakes_.empty()) return std::nullopt;
  return wakes_.begin()->first;
}

std::optional<Book::Due> Book::start(Clock::time_point now, TimeUs now_us) {
  if (wakes_.empty() || wakes_.begin()->first > now) return std::nullopt;
  const auto tenant = tenants_.find(wakes_.begin()->second);
  std::optional<Due> due;
  if (auto expired = tenant->second.queue.take_expired(now, now_us)) {
    over(*expired);
    due = Due{std::move(*expired), true};
  } else if (const Event* event = tenant->second.queue.start(now); event != nullptr) {
    due = Due{*event, false};
  }
  reschedule(tenant);
  return due;
}

// Called before the event's tenant is rescheduled, which may end it.
void Book::over(const Event& event) {
  const bool was_full = events_-- == limits_.events;
  Partition* partition = current(event.partition, event.epoch);
  if (partition != nullptr) partition->progress.end(event.tenant, event.offset);
  const bool has_room = tenants_.find(event.tenant)->second.queue.size() < refill_below();
  const bool is_behind = std::any_of(partitions_.begin(), partitions_.end(),
                                     [&](const auto& one) { return one.second.progress.is_behind(event.tenant); });
  if (was_full || (has_room && is_behind)) ++backlog_changes_;
}

std::optional<Event> Book::finish(const Event& event, Verdict verdict, const Answer& answer, bool give_up,
                                  Clock::time_point now) {
  const auto tenant = tenants_.find(event.tenant);
  if (tenant == tenants_.end()) return std::nullopt;
  const bool ours = current(event.partition, event.epoch) != nullptr;
  auto ended = tenant->second.queue.finish(event.alert_key, verdict, answer.retry_after, give_up || !ours, now);
  if (ended) over(*ended);
  reschedule(tenant);
  return ours ? std::move(ended) : std::nullopt;
}

std::optional<Ending> Book::finish(const Event& event, const Answer& answer, Clock::time_point now, TimeUs now_us) {
  const auto tenant = tenants_.find(event.tenant);
  if (tenant == tenants_.end()) return std::nullopt;
  const Verdict verdict = judge(answer);
  if (!finish(event, verdict, answer, tenant->second.queue.is_expired(event, now_us), now)) return std::nullopt;
  switch (verdict) {
    case Verdict::kDelivered:
      return Ending::kDelivered;
    case Verdict::kGiveUp:
      return Ending::kRefused;
    case Verdict::kRetry:
    case Verdict::kReceiverDown:
      return Ending::kExpired;
  }
  return std::nullopt;
}

void Book::finish_without_webhook(const Event& event, Clock::time_point now) {
  static_cast<void>(finish(event, Verdict::kGiveUp, {}, true, now));
}

void Book::webhook_changed(std::string_view tenant, Clock::time_point now) {
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return;
  found->second.queue.receiver_changed(now);
  reschedule(found);
}

void Book::forget_backlog(std::string_view tenant) {
  for (auto& [number, partition] : partitions_) partition.progress.forget_backlog(tenant);
}

std::map<std::int32_t, Saved> Book::take_changed() {
  std::map<std::int32_t, Saved> changed;
  for (auto& [number, partition] : partitions_) {
    if (!partition.keep && partition.kept_version == partition.progress.version()) continue;
    partition.keep = false;
    partition.kept_version = partition.progress.version();
    changed.emplace(number, partition.progress.save(kOpenOffsetsKept));
  }
  return changed;
}

std::map<std::int32_t, Saved> Book::save(const std::vector<std::int32_t>& partitions) const {
  std::map<std::int32_t, Saved> saved;
  for (const std::int32_t number : partitions) {
    const auto found = partitions_.find(number);
    if (found != partitions_.end()) saved.emplace(number, found->second.progress.save(kOpenOffsetsKept));
  }
  return saved;
}

void Book::keep_again(const std::map<std::int32_t, Saved>& progress) {
  for (const auto& [number, saved] : progress) {
    if (const auto found = partitions_.find(number); found != partitions_.end()) found->second.keep = true;
  }
}

Book::Figures Book::figures() const {
  Figures figures;
  figures.events = events_;
  figures.partitions = partitions_.size();
  for (const auto& [name, tenant] : tenants_) {
    figures.in_flight += tenant.queue.in_flight();
    if (tenant.queue.is_down()) ++figures.tenants_down;
  }
  std::set<std::string> behind;
  for (const auto& [number, partition] : partitions_) {
    for (std::string& tenant : partition.progress.tenants_behind()) behind.insert(std::move(tenant));
  }
  figures.tenants_behind = behind.size();
  return figures;
}

}  // namespace millrace::notifier
