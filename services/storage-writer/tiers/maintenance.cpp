#include "tiers/maintenance.hpp"

#include <memory>
#include <utility>

namespace millrace::writer {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

postgres::ConnectOptions own_connection(const Config& config) {
  postgres::ConnectOptions options = config.database;
  options.application_name = "storage-writer-maintenance";
  options.statement_timeout = std::chrono::minutes{31};  // a packing step reads a good part of a day
  return options;
}

}  // namespace

Maintenance::Maintenance(const Config& config, const registry_view::RegistryView& registry,
                         const WriterMetrics& metrics)
    : config_(config), registry_(registry), metrics_(metrics) {}

Maintenance::~Maintenance() { stop(); }

void Maintenance::start() {
  if (config_.maintenance_interval.count() == 0) {
    note("off (MILLRACE_STORAGE_WRITER_MAINTENANCE_INTERVAL_MS=0)");
    return;
  }
  thread_ = std::jthread([this] { run(); });
}

void Maintenance::stop() {
  stopping_ = true;
  if (!thread_.joinable()) return;
  auto again = steady_clock::now();
  while (!ended_) {
    if (steady_clock::now() >= again) {
      cancel();
      again = steady_clock::now() + std::chrono::seconds{1};
    }
    std::this_thread::sleep_for(milliseconds{5});
  }
  thread_.join();
}

// The thread may be about to begin its next statement: the caller repeats this until it has ended.
void Maintenance::cancel() {
  const int backend = backend_;
  if (backend == 0) return;
  if (auto other = postgres::Connection::open(config_.database)) {
    static_cast<void>((*other)->exec("SELECT pg_cancel_backend($1::int4)", postgres::Params{}.integer(backend)));
  }
}

std::string Maintenance::detail() const {
  const std::scoped_lock lock(detail_mutex_);
  return detail_;
}

void Maintenance::note(std::string detail) {
  const std::scoped_lock lock(detail_mutex_);
  detail_ = std::move(detail);
}

void Maintenance::run() {
  auto due = steady_clock::now();
  while (!stopping_) {
    if (steady_clock::now() < due) {
      std::this_thread::sleep_for(milliseconds{20});
      continue;
    }
    if (const Status done = pass(); !done && !stopping_) {
      note(done.error().message);
      log_.limited(limiter_, observability::Level::kWarn, "a pass of the maintenance failed",
                   {{"error", done.error().message}});
    }
    due = steady_clock::now() + config_.maintenance_interval;
  }
  ended_ = true;
}

Status Maintenance::connect() {
  if (connection_ && connection_->usable()) return {};
  backend_ = 0;
  keeper_.reset();
  retention_.reset();
  auto opened = postgres::Connection::open(own_connection(config_));
  if (!opened) return opened.error();
  connection_ = std::move(*opened);
  const auto stopped = [this] { return stopping_.load(); };
  keeper_ = std::make_unique<DayKeeper>(*connection_, config_.days, stopped);
  retention_ = std::make_unique<RetentionKeeper>(*connection_,
                                                 RetentionLimits{.most_at_once = config_.days.rows_at_once}, stopped);
  backend_ = connection_->backend_pid();
  return {};
}

// A copy of the registry that lacks a device would put it under its tenant's rule, an old one could lack what an admin
// has decided since.
Status Maintenance::retain() {
  if (!registry_.ready() || !registry_.connected()) return {};
  const auto work = retention_->pass(registry_.retention_plan(registry_.retention_rules({})), now_us());
  if (!work) return work.error();
  if (!work->elsewhere) report(*work);
  return {};
}

Status Maintenance::pass() {
  if (auto connected = connect(); !connected) return connected;
  auto strays = connection_->exec("SELECT count(*) FROM (SELECT 1 FROM storage.sample_default LIMIT 1000) s");
  if (!strays) return strays.error();
  metrics_.default_partition_rows.set(static_cast<double>(strays->integer(0, 0)));
  // Before the compaction: what goes need not be packed.
  if (auto retained = retain(); !retained) return retained;
  const auto work = keeper_->pass(now_us());
  if (!work) return work.error();
  if (work->elsewhere) {
    note("another writer does it");
    return {};
  }
  report(*work);
  return {};
}

void Maintenance::report(const RetentionWork& work) {
  for (const RetentionRemoval& one : work.removed) {
    metrics_.points_expired.add(static_cast<double>(one.points));
    metrics_.bytes_expired.add(static_cast<double>(one.bytes));
    log_.info("points removed: their days are over",
              {{"tenant", one.tenant},
               {"type", one.type},
               {"day", format_rfc3339(one.day * 86'400 * kUsPerSecond).substr(0, 10)},
               {"points", one.points},
               {"bytes", one.bytes}});
  }
  metrics_.days_rebuilt.add(static_cast<double>(work.days_rebuilt));
  metrics_.retention_waiting.set(static_cast<double>(work.days_waiting));
  metrics_.retention_failed.set(static_cast<double>(work.days_failed));
  for (const double seconds : work.locked_seconds) metrics_.swap_seconds.observe(seconds);
  if (work.days_failed > 0)
    log_.limited(limiter_, observability::Level::kWarn, "days cannot be cleared of what is over; tried again",
                 {{"days", work.days_failed}, {"error", work.failure}});
}

void Maintenance::report(const DayWork& work) {
  metrics_.days_compacted.add(static_cast<double>(work.days_compacted));
  metrics_.points_compacted.add(static_cast<double>(work.points_compacted));
  metrics_.series_repacked.add(static_cast<double>(work.series_repacked));
  metrics_.days_waiting.set(static_cast<double>(work.days_waiting));
  metrics_.days_failed.set(static_cast<double>(work.days_failed));
  for (const double seconds : work.locked_seconds) metrics_.swap_seconds.observe(seconds);
  note(work.days_failed == 0 ? "as it should be"
                             : std::to_string(work.days_failed) + " days fail: see storage.day.failure");
  if (work.days_failed > 0)
    log_.limited(limiter_, observability::Level::kWarn, "days cannot be compacted; see storage.day.failure",
                 {{"days", work.days_failed}});
  if (work.days_compacted > 0)
    log_.info("days compacted", {{"days", work.days_compacted}, {"points", work.points_compacted}});
}

}  // namespace millrace::writer
