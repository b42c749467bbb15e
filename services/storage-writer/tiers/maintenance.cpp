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

Maintenance::Maintenance(const Config& config, const WriterMetrics& metrics) : config_(config), metrics_(metrics) {}

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

Status Maintenance::pass() {
  if (!connection_ || !connection_->usable()) {
    backend_ = 0;
    keeper_.reset();
    auto opened = postgres::Connection::open(own_connection(config_));
    if (!opened) return opened.error();
    connection_ = std::move(*opened);
    keeper_ = std::make_unique<DayKeeper>(*connection_, config_.days, [this] { return stopping_.load(); });
    backend_ = connection_->backend_pid();
  }
  auto strays = connection_->exec("SELECT count(*) FROM (SELECT 1 FROM storage.sample_default LIMIT 1000) s");
  if (!strays) return strays.error();
  metrics_.default_partition_rows.set(static_cast<double>(strays->integer(0, 0)));
  const auto work = keeper_->pass(now_us());
  if (!work) return work.error();
  if (work->elsewhere) {
    note("another writer does it");
    return {};
  }
  report(*work);
  return {};
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
