#include "work/archiver.hpp"

#include <optional>
#include <set>

#include <millrace/observability/log.hpp>

namespace millrace::archiver {
namespace {

constexpr int kMostDays = 1'000;

const observability::Logger& logger() {
  static const observability::Logger kLogger("archiver");
  return kLogger;
}

}  // namespace

/// The first failure of a pass; each is counted and logged.
class Archiver::Failures {
 public:
  explicit Failures(const ArchiverMetrics& metrics) : metrics_(metrics) {}
  /// Whether it was none.
  bool note(std::string_view what, const std::string& of, const Status& status) {
    if (status.ok()) return true;
    metrics_.failures.add();
    logger().error("a step failed and is tried again", {{"step", what}, {"of", of}, {"error", status.error().message}});
    if (!first_) first_ = Error{status.error().kind, std::string(what) + " of " + of + ": " + status.error().message};
    return false;
  }
  [[nodiscard]] Status first() const { return first_ ? Status{*first_} : Status{}; }

 private:
  const ArchiverMetrics& metrics_;
  std::optional<Error> first_;
};

Archiver::Archiver(const Config& config, const ArchiverMetrics& metrics)
    : config_(config), metrics_(metrics), catalogue_(config.database), store_(config.store, config.step_timeout) {
  tell(false, "it has not looked for work yet");
  store_.set_interrupt([this] { return stopping(); });
}

Archiver::~Archiver() { stop(); }

void Archiver::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Archiver::stop() {
  stopping_ = true;
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Archiver::tell(bool ok, std::string detail) {
  const std::lock_guard lock(mutex_);
  state_ = {ok, std::move(detail)};
}

Archiver::State Archiver::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void Archiver::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Status done = pass();
    if (stop.stop_requested()) return;
    if (!done) tell(false, done.error().message);
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, config_.interval, [] { return false; });
  }
}

Status Archiver::pass(const std::function<void(std::string_view)>& after_step) {
  Status done = look(after_step);
  // Between two looks nobody leads, and no session waits.
  catalogue_.close();
  return done;
}

Status Archiver::look(const std::function<void(std::string_view)>& after_step) {
  if (!config_.store.on()) {
    tell(true, "ARCHIVE_STORE is off: closed days stay in the database");
    return {};
  }
  auto lead = catalogue_.take_lead();
  if (!lead) return lead.error();
  metrics_.leads.set(*lead ? 1 : 0);
  if (!*lead) {
    tell(true, "stands by: another archiver of this database is at work");
    return {};
  }
  DayArchiver days(catalogue_, store_, config_.spool, [&after_step](std::string_view step) {
    if (after_step) after_step(step);
  });
  Failures failures(metrics_);
  drop_tables(days, failures);
  remove_expired(days, failures);
  archive_days(days, failures);
  sweep(failures);
  if (failures.first()) {
    metrics_.last_pass.set(static_cast<double>(now_us()) / static_cast<double>(kUsPerSecond));
    tell(true, "archives to " + config_.store.place);
  }
  return failures.first();
}

void Archiver::drop_tables(DayArchiver& days, Failures& failures) {
  const auto files = catalogue_.to_drop();
  if (!files) {
    failures.note("listing", "tables to drop", files.error());
    return;
  }
  metrics_.undropped_tables.set(static_cast<double>(files->size()));
  for (const ArchivedFile& file : *files) {
    if (stopping()) return;
    if (failures.note("dropping", file.detached, days.drop(file))) metrics_.dropped.add();
  }
}

// Files of which nothing stays; others are written anew with the days that are due.
void Archiver::remove_expired(DayArchiver& days, Failures& failures) {
  const auto unknown = catalogue_.without_content();
  if (!unknown) {
    failures.note("listing", "files", unknown.error());
    return;
  }
  for (const ArchivedFile& file : *unknown) {
    if (stopping()) return;
    failures.note("counting", file.key, days.count(file));
  }
  const auto over = catalogue_.to_retire();
  if (!over) {
    failures.note("listing", "days that are over", over.error());
    return;
  }
  for (const std::string& day : *over) {
    if (stopping()) return;
    failures.note("removing", day, days.retire(day));
  }
}

void Archiver::archive_days(DayArchiver& days, Failures& failures) {
  const auto id = catalogue_.id();
  const auto due = id ? catalogue_.due(config_.after_days, config_.merge_interval.count(), kMostDays)
                      : Result<std::vector<DueDay>>(id.error());
  if (!due) {
    failures.note("listing", "days", due.error());
    return;
  }
  auto left = static_cast<double>(due->size());
  metrics_.waiting_days.set(left);
  for (const DueDay& day : *due) {
    if (stopping()) return;
    const auto begun = archive::Clock::now();
    auto file = days.archive(day, *id);
    if (!failures.note("archiving", day.day, file ? Status{} : Status{file.error()})) continue;
    metrics_.day_seconds.observe(std::chrono::duration<double>(archive::Clock::now() - begun).count());
    metrics_.days.add();
    metrics_.rows.add(static_cast<double>(file->rows));
    metrics_.bytes.add(static_cast<double>(file->bytes));
    metrics_.waiting_days.set(--left);
    logger().info("archived a day", {{"day", file->day},
                                     {"generation", file->generation},
                                     {"rows", file->rows},
                                     {"bytes", file->bytes},
                                     {"key", file->key}});
    if (failures.note("dropping", file->detached, days.drop(*file))) metrics_.dropped.add();
  }
}

void Archiver::sweep(Failures& failures) {
  if (stopping()) return;
  const auto replaced = catalogue_.to_delete(config_.grace.count());
  if (!replaced) {
    failures.note("listing", "replaced files", replaced.error());
    return;
  }
  for (const ArchivedFile& file : *replaced) {
    if (stopping()) return;
    Status done = store_.remove(file.key);
    if (done) done = catalogue_.note_deleted(file);
    if (failures.note("deleting", file.key, done)) metrics_.deleted.add();
  }
  failures.note("sweeping", config_.store.place, sweep_orphans());
}

Status Archiver::sweep_orphans() {
  const auto id = catalogue_.id();
  if (!id) return id.error();
  // The objects first: what comes into being meanwhile is not among them.
  const auto objects = store_.list(*id);
  if (!objects) return objects.error();
  const auto live = catalogue_.live_keys();
  if (!live) return live.error();
  const std::set<std::string> known(live->begin(), live->end());
  const TimeUs oldest = now_us() - config_.orphan_age.count() * kUsPerSecond;
  for (const StoredObject& object : *objects) {
    if (known.contains(object.key) || object.modified > oldest) continue;
    if (stopping()) return {};
    logger().warn("deletes an object that the database does not know", {{"key", object.key}, {"bytes", object.bytes}});
    if (auto removed = store_.remove(object.key); !removed) return removed;
    metrics_.deleted.add();
  }
  return {};
}

}  // namespace millrace::archiver
