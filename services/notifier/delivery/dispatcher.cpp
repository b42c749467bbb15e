#include "delivery/dispatcher.hpp"

#include <utility>

#include <millrace/observability/trace.hpp>

namespace millrace::notifier {

Dispatcher::Dispatcher(const DispatcherOptions& options, Sender& sender, FindWebhook find,
                       const NotifierMetrics& metrics)
    : options_(options), sender_(sender), find_(std::move(find)), metrics_(metrics), book_(options.limits) {}

Dispatcher::~Dispatcher() = default;

void Dispatcher::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Dispatcher::stop_starting() {
  const Lock lock(mutex_);
  starting_ = false;
}

bool Dispatcher::wait_idle(Clock::time_point deadline) {
  Lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [this] { return in_flight_ == 0; });
}

void Dispatcher::run(const std::stop_token& stop) {
  Lock lock(mutex_);
  while (!stop.stop_requested()) {
    while (auto request = next(Clock::now())) {
      ++in_flight_;
      lock.unlock();
      send(std::move(request->first), request->second);
      lock.lock();
    }
    const std::uint64_t seen = changes_;
    const auto wake = in_flight_ < options_.concurrency && starting_ ? book_.wake_at() : std::nullopt;
    const auto is_new = [this, seen] { return changes_ != seen; };
    if (wake) {
      changed_.wait_until(lock, stop, *wake, is_new);
    } else {
      changed_.wait(lock, stop, is_new);
    }
  }
}

std::optional<std::pair<Event, Webhook>> Dispatcher::next(Clock::time_point now) {
  while (starting_ && in_flight_ < options_.concurrency) {
    auto due = book_.start(now, now_us());
    if (!due) return std::nullopt;
    if (due->expired) {
      ended(due->event, Ending::kExpired, {});
      continue;
    }
    if (auto webhook = find_(due->event.tenant)) return std::pair{std::move(due->event), std::move(*webhook)};
    book_.finish_without_webhook(due->event, now);
    ended(due->event, Ending::kNoWebhook, {});
  }
  return std::nullopt;
}

void Dispatcher::send(Event event, const Webhook& webhook) {
  Outgoing request = make_request(event, webhook, now_us() / kUsPerSecond, options_.version);
  event.body.clear();  // the queue has it
  sender_.send(std::move(request),
               [this, event = std::move(event), origin = webhook.target.origin(),
                sent = Clock::now()](const Answer& answer) { answered(event, origin, answer, sent); });
}

void Dispatcher::answered(const Event& event, const std::string& origin, const Answer& answer, Clock::time_point sent) {
  const auto now = Clock::now();
  metrics_.attempt_seconds.observe(std::chrono::duration<double>(now - sent).count());
  note_attempt(event, origin, answer);
  const Lock lock(mutex_);
  --in_flight_;
  ++changes_;
  if (const auto ending = book_.finish(event, answer, now, now_us())) ended(event, *ending, answer);
  changed_.notify_all();
}

void Dispatcher::note_attempt(const Event& event, const std::string& origin, const Answer& answer) const {
  if (answer.address_refused) {
    metrics_.attempts_address_refused.add();
  } else if (answer.status == 0) {
    metrics_.attempts_no_answer.add();
  } else {
    switch (judge(answer)) {
      case Verdict::kDelivered:
        metrics_.attempts_delivered.add();
        break;
      case Verdict::kGiveUp:
        metrics_.attempts_refused.add();
        break;
      case Verdict::kRetry:
      case Verdict::kReceiverDown:
        metrics_.attempts_failed.add();
        break;
    }
  }
  log_.debug("attempt", {{"tenant", event.tenant},
                         {"event", event.idempotency_key},
                         {"receiver", origin},
                         {"status", answer.status},
                         {"error", answer.failure}});
}

void Dispatcher::ended(const Event& event, Ending ending, const Answer& answer) const {
  const auto given_up = [&](std::string_view why) {
    log_.warn("event given up", {{"reason", why},
                                 {"tenant", event.tenant},
                                 {"alert_key", event.alert_key},
                                 {"event", event.idempotency_key},
                                 {"partition", event.partition},
                                 {"offset", event.offset},
                                 {"status", answer.status},
                                 {"error", answer.failure},
                                 {"trace_id", observability::trace_id(event.traceparent)}});
  };
  switch (ending) {
    case Ending::kDelivered:
      metrics_.delivered.add();
      metrics_.delivery_seconds.observe(static_cast<double>(now_us() - event.time_us) / kUsPerSecond);
      return;
    case Ending::kRefused:
      metrics_.refused.add();
      return given_up("refused by the receiver");
    case Ending::kExpired:
      metrics_.expired.add();
      return given_up("too old to be tried again");
    case Ending::kNoWebhook:
      metrics_.no_webhook.add();
      return;
  }
}

std::int64_t Dispatcher::open(std::int32_t partition, const Saved& saved) {
  const Lock lock(mutex_);
  ++changes_;
  changed_.notify_all();
  return book_.open(partition, saved);
}

void Dispatcher::close(std::int32_t partition) {
  const Lock lock(mutex_);
  book_.close(partition);
}

void Dispatcher::take(Event event) {
  if (!find_(event.tenant)) {
    metrics_.no_webhook.add();
    return pass(event.partition, event.offset + 1);
  }
  const Lock lock(mutex_);
  if (book_.take(std::move(event), Clock::now()) == Taken::kLeft) metrics_.left.add();
  ++changes_;
  changed_.notify_all();
}

void Dispatcher::pass(std::int32_t partition, std::int64_t next_offset) {
  const Lock lock(mutex_);
  book_.pass(partition, next_offset);
}

std::optional<BacklogJob> Dispatcher::wait_backlog(const std::stop_token& stop) {
  Lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (auto job = book_.next_backlog()) {
      if (find_(job->tenant)) return job;
      book_.forget_backlog(job->tenant);
      continue;
    }
    changed_.wait(lock, stop, [this, seen = book_.backlog_changes()] { return book_.backlog_changes() != seen; });
  }
  return std::nullopt;
}

bool Dispatcher::take_backlog(const BacklogJob& job, Event event) {
  const Lock lock(mutex_);
  const std::int64_t offset = event.offset;
  const Taken taken = book_.take_backlog(job, std::move(event), Clock::now());
  ++changes_;
  changed_.notify_all();
  return book_.reach(job, taken == Taken::kLeft ? offset : offset + 1) && taken != Taken::kLeft;
}

bool Dispatcher::reach(const BacklogJob& job, std::int64_t next_offset) {
  const Lock lock(mutex_);
  return book_.reach(job, next_offset);
}

void Dispatcher::webhook_changed(std::string_view tenant) {
  const Lock lock(mutex_);
  book_.webhook_changed(tenant, Clock::now());
  ++changes_;
  changed_.notify_all();
}

std::map<std::int32_t, Saved> Dispatcher::take_changed() {
  const Lock lock(mutex_);
  return book_.take_changed();
}

std::map<std::int32_t, Saved> Dispatcher::save(const std::vector<std::int32_t>& partitions) const {
  const Lock lock(mutex_);
  return book_.save(partitions);
}

void Dispatcher::keep_again(const std::map<std::int32_t, Saved>& progress) {
  const Lock lock(mutex_);
  book_.keep_again(progress);
}

Book::Figures Dispatcher::figures() const {
  const Lock lock(mutex_);
  return book_.figures();
}

}  // namespace millrace::notifier
