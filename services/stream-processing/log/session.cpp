#include "log/session.hpp"

#include <algorithm>
#include <thread>

#include <millrace/telemetry_log/log_check.hpp>

namespace millrace::stream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kAnswer{10'000};
constexpr milliseconds kCommit{15'000};
constexpr milliseconds kHousekeeping{200};
// Positions without results are committed this often: what is read again after a crash is suppressed anyway.
constexpr milliseconds kPositionsOnly{1'000};
// A partition whose end was reached this long ago has its log time moved on by the clock, but never closer to now than
// the clocks of gateways, brokers and this machine may differ.
constexpr seconds kIdle{2};
constexpr TimeUs kClockMargin = 5 * kUsPerSecond;

kafka::ConsumerOptions consumer_options(const Session::Parts& parts) {
  kafka::ConsumerOptions options;
  options.group_id = parts.config.group;
  options.group_instance_id = parts.member;
  options.session_timeout = parts.config.session_timeout;
  // For the group's positions: it makes committed() wait for open transactions.
  options.isolation = kafka::Isolation::kReadCommitted;
  options.prefetch_bytes = parts.config.prefetch_bytes;
  options.in_bulk();
  return options;
}

}  // namespace

Session::Session(const Parts& parts)
    : parts_(parts),
      producer_(parts.config.kafka, {.transactional_id = parts.member, .timeout = parts.config.transaction_timeout}),
      consumer_(parts.config.kafka, consumer_options(parts)),
      outputs_(producer_, parts.config.topics),
      opener_(parts.config, parts.rules, parts.generations) {}

Status Session::join() {
  parts_.state.beat();
  // Ends what a predecessor of the same name left open.
  if (auto ready = producer_.init(kCommit); !ready) return ready;
  kafka::RebalanceCallbacks callbacks;
  callbacks.on_assigned = [this](std::span<const kafka::TopicPartition> partitions) { return assigned(partitions); };
  callbacks.on_revoked = [this](std::span<const kafka::TopicPartition>, kafka::Revocation how) { revoked(how); };
  return consumer_.subscribe({parts_.config.topics.telemetry()}, std::move(callbacks));
}

Status Session::run() {
  if (auto joined = join(); !joined) return joined;
  while (!parts_.stopping) {
    if (auto done = step(); !done) return done;
  }
  return commit();
}

// Closing calls on_revoked, which needs all members: it must not be left to the consumer's own destructor.
Session::~Session() {
  leaving_ = true;
  consumer_.close();
}

Result<std::vector<kafka::Position>> Session::assigned(std::span<const kafka::TopicPartition> partitions) {
  const auto begun = Clock::now();
  runs_.clear();
  at_end_.clear();
  opened_.clear();
  std::vector<kafka::Position> positions;
  if (partitions.empty()) {
    parts_.state.note(true, "no partition is assigned: other workers have them");
    show();
    return positions;
  }
  auto opened = opener_.open(consumer_, partitions, [this] {
    parts_.state.beat();
    return parts_.stopping.load();
  });
  if (!opened) return opened.error();
  runs_ = std::move(*opened);
  book_version_ = 0;  // open alerts of rules that are gone end with the next step
  std::size_t to_replay = 0;
  for (auto& [partition, run] : runs_) {
    if (run->stopped()) continue;
    positions.push_back({{parts_.config.topics.telemetry(), partition}, run->next_offset()});
    opened_[partition] = begun;
    to_replay += run->is_live() ? 0 : 1;
  }
  parts_.state.note(true, std::to_string(runs_.size()) + " partitions");
  for (auto& [partition, run] : runs_) {
    if (run->stopped()) stop_partition(*run, *run->stopped());
  }
  show();
  log_.info("partitions taken", {{"partitions", runs_.size()},
                                 {"to_replay", to_replay},
                                 {"seconds", std::chrono::duration<double>(Clock::now() - begun).count()}});
  return positions;
}

void Session::revoked(kafka::Revocation how) {
  if (leaving_) return;
  if (how == kafka::Revocation::kOrderly) {
    if (auto done = commit(); !done) failed_ = done;
  } else if (outputs_.is_open()) {
    failed_ = Error{ErrorKind::kConflict, "the group gave the partitions to another worker"};
  }
  runs_.clear();
  show();
}

Status Session::step() {
  parts_.state.beat();
  kafka::Polled polled = consumer_.poll(patience());
  if (!failed_) return failed_;
  switch (polled.kind) {
    case kafka::Polled::Kind::kRecord:
      if (consumer_.connection_losses() != losses_seen_) {
        // What comes now may come from another log.
        if (auto checked = check_log(); !checked) return checked;
        losses_seen_ = consumer_.connection_losses();
      }
      if (auto taken = take(polled.record); !taken) return taken;
      break;
    case kafka::Polled::Kind::kEndOfPartition:
      at_end_.try_emplace(polled.position.where.partition, Clock::now());
      break;
    case kafka::Polled::Kind::kFault:
      if (auto handled = on_fault(polled); !handled) return handled;
      break;
    case kafka::Polled::Kind::kNothing:
      break;
  }
  if (parts_.rules.version() != book_version_) apply_rules();
  if (Clock::now() - housekeeping_ >= kHousekeeping) {
    housekeeping_ = Clock::now();
    tick_idle();
    show();
    if (auto same = check_generations(); !same) return same;
  }
  if (!outputs_.status()) return outputs_.status();
  return is_commit_due() ? commit() : Status{};
}

Status Session::take(const kafka::Record& record) {
  const auto found = runs_.find(record.partition());
  if (found == runs_.end() || found->second->stopped()) return {};
  PartitionRun& run = *found->second;
  at_end_.erase(run.partition());
  outputs_.set_source(run.partition(), record.value());
  const bool was_open = outputs_.is_open();
  const bool was_live = run.is_live();
  const TaskCounts before = run.task().counts();
  run.take({record.offset(), record.timestamp_us(), record.value()}, decoder_, outputs_);
  if (run.stopped()) stop_partition(run, *run.stopped());
  if (!was_open && outputs_.is_open()) begun_at_ = Clock::now();
  if (was_live) {
    ++uncommitted_;
    count(run, before);
  } else {
    parts_.metrics.replayed.add();
  }
  if (const auto opened = opened_.find(run.partition()); opened != opened_.end() && run.is_live()) {
    parts_.metrics.recovery_seconds.observe(std::chrono::duration<double>(Clock::now() - opened->second).count());
    opened_.erase(opened);
  }
  return {};
}

void Session::count(const PartitionRun& run, const TaskCounts& before) {
  const TaskCounts& now = run.task().counts();
  parts_.metrics.records.add();
  const auto add = [](const observability::Counter& counter, std::uint64_t from, std::uint64_t to) {
    if (to > from) counter.add(static_cast<double>(to - from));
  };
  add(parts_.metrics.readings, before.readings, now.readings);
  add(parts_.metrics.copies, before.copies, now.copies);
  add(parts_.metrics.late, before.late, now.late);
  add(parts_.metrics.future, before.future, now.future);
  add(parts_.metrics.unruled, before.unruled, now.unruled);
  add(parts_.metrics.undecodable, before.undecodable, now.undecodable);
}

Status Session::on_fault(const kafka::Polled& polled) {
  switch (polled.fault) {
    case kafka::Fault::kTransient:
    case kafka::Fault::kUnknownTopic:
      log_.limited(limiter_, observability::Level::kWarn, "Kafka", {{"error", polled.message}});
      return {};
    case kafka::Fault::kOffsetOutOfRange:
      if (const auto found = runs_.find(polled.position.where.partition); found != runs_.end()) {
        stop_partition(*found->second, "partition " + std::to_string(found->first) + ": the next offset " +
                                           std::to_string(found->second->next_offset()) + " is not in the log");
      }
      return {};
    case kafka::Fault::kPollTooSlow:
      return {};
    case kafka::Fault::kFenced:
      return Error{ErrorKind::kConflict, "another process has the same KAFKA_INSTANCE: " + polled.message};
    case kafka::Fault::kFatal:
      return Error{ErrorKind::kUnavailable, polled.message};
  }
  return {};
}

Status Session::check_log() {
  std::vector<telemetry_log::KeptPosition> positions;
  for (const auto& [partition, run] : runs_) {
    if (!run->stopped()) positions.push_back({partition, run->next_offset(), run->mark()});
  }
  const auto found = telemetry_log::contradictions(parts_.config.kafka, parts_.config.topics.telemetry(), positions);
  if (!found) return found.error();
  for (const auto& [partition, why] : *found) stop_partition(*runs_.at(partition), why);
  return {};
}

// An operator has begun another generation of a partition (millrace admin log): the next session opens it.
Status Session::check_generations() const {
  for (const auto& [partition, run] : runs_) {
    if (parts_.generations.of(partition) > run->generation())
      return Error{ErrorKind::kConflict, "partition " + std::to_string(partition) + " has a new generation"};
  }
  return {};
}

void Session::stop_partition(PartitionRun& run, const std::string& why) {
  run.stop(why);
  const kafka::TopicPartition where{parts_.config.topics.telemetry(), run.partition()};
  static_cast<void>(consumer_.pause(std::span(&where, 1)));  // one that was never assigned gives nothing anyway
  parts_.state.note(false, *run.stopped());
  log_.error("partition stopped", {{"partition", run.partition()}, {"reason", *run.stopped()}});
}

// Between records, and only where everything committed was read again: what an alert is, is known from its topic.
void Session::apply_rules() {
  const bool live = std::all_of(runs_.begin(), runs_.end(),
                                [](const auto& one) { return one.second->is_live() || one.second->stopped(); });
  if (!live) return;
  const auto book = parts_.rules.book();
  const bool was_open = outputs_.is_open();
  for (auto& [partition, run] : runs_) {
    outputs_.set_source(partition, {});
    run->task().set_book(book, outputs_);
  }
  if (!was_open && outputs_.is_open()) begun_at_ = Clock::now();
  book_version_ = book->version();
}

void Session::tick_idle() {
  const auto now = Clock::now();
  for (const auto& [partition, since] : at_end_) {
    const auto found = runs_.find(partition);
    if (found == runs_.end() || now - since < kIdle) continue;
    outputs_.set_source(partition, {});
    const bool was_open = outputs_.is_open();
    found->second->tick(now_us() - kClockMargin, outputs_);
    if (!was_open && outputs_.is_open()) begun_at_ = now;
  }
}

bool Session::is_commit_due() const {
  if (uncommitted_ >= parts_.config.commit_records) return true;
  const auto now = Clock::now();
  if (outputs_.is_urgent() && now >= urgent_from()) return true;
  if (outputs_.is_open()) return now - begun_at_ >= parts_.config.commit_interval;
  const bool ahead = std::any_of(runs_.begin(), runs_.end(), [](const auto& one) { return one.second->is_ahead(); });
  return ahead && now - committed_at_ >= kPositionsOnly;
}

// Half of the time at least is for records: a storm of critical alerts shares its commits instead of falling behind.
Session::Clock::time_point Session::urgent_from() const {
  return committed_at_ + std::min<Clock::duration>(commit_took_, parts_.config.commit_interval);
}

// How long to wait for a record.
milliseconds Session::patience() const {
  constexpr milliseconds kLongest{50};
  if (!outputs_.is_open()) return kLongest;
  const auto due = begun_at_ + parts_.config.commit_interval;
  const auto left = (outputs_.is_urgent() ? std::min(due, urgent_from()) : due) - Clock::now();
  return std::clamp(std::chrono::duration_cast<milliseconds>(left), milliseconds{1}, kLongest);
}

Status Session::commit() {
  std::vector<kafka::CommittedPosition> positions;
  for (const auto& [partition, run] : runs_) {
    if (!run->is_ahead() || run->stopped()) continue;
    positions.push_back(
        {{parts_.config.topics.telemetry(), partition}, run->next_offset(), encode(run->resume_point())});
  }
  if (positions.empty() && !outputs_.is_open()) return {};
  const auto begun = Clock::now();
  parts_.state.beat();
  outputs_.begin();
  if (!outputs_.status()) return outputs_.status();
  if (!positions.empty()) {
    if (auto sent = producer_.send_positions(positions, consumer_.group_metadata(), kAnswer); !sent) return sent;
  }
  parts_.state.beat();
  if (auto done = producer_.commit(kCommit); !done) return done;
  count_commit(begun);
  for (const auto& [partition, run] : runs_) {
    if (run->is_ahead() && !run->stopped()) run->note_committed();
  }
  outputs_.reset();
  uncommitted_ = 0;
  committed_at_ = Clock::now();
  commit_took_ = committed_at_ - begun;
  return {};
}

void Session::count_commit(Clock::time_point begun) {
  const TransactionOutputs::Content& content = outputs_.content();
  parts_.metrics.transactions.add();
  parts_.metrics.commit_seconds.observe(std::chrono::duration<double>(Clock::now() - begun).count());
  parts_.metrics.windows.add(static_cast<double>(content.windows));
  parts_.metrics.alerts_raised.add(static_cast<double>(content.raised));
  parts_.metrics.alerts_cleared.add(static_cast<double>(content.cleared));
  const TimeUs now = now_us();
  for (const TimeUs ingest : content.raised_from) {
    parts_.metrics.alert_seconds.observe(static_cast<double>(now - ingest) / static_cast<double>(kUsPerSecond));
  }
}

void Session::show() {
  WorkerState::Figures figures;
  figures.partitions = runs_.size();
  const TransactionOutputs::Content& content = outputs_.content();
  figures.uncommitted = content.windows + content.raised + content.cleared;
  for (const auto& [partition, run] : runs_) {
    figures.stopped += run->stopped() ? 1 : 0;
    figures.open_windows += run->task().open_windows();
    figures.open_alerts += run->task().open_alerts();
    figures.devices += run->task().devices();
    const auto marks = consumer_.cached_watermarks({parts_.config.topics.telemetry(), partition});
    if (marks) figures.lag_records += std::max<std::int64_t>(0, marks->high - run->next_offset());
  }
  parts_.state.note(figures);
}

}  // namespace millrace::stream
