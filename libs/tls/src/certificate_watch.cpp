#include <algorithm>

#include <millrace/tls/certificate_watch.hpp>

namespace millrace::tls {
namespace {

constexpr std::chrono::seconds kLookEvery{1};

observability::Counter reloads(observability::Metrics& metrics, const char* outcome) {
  return metrics.counter("millrace_tls_reloads_total", "Certificates read again, by outcome.", {{"outcome", outcome}});
}

}  // namespace

CertificateWatch::CertificateWatch(std::vector<std::shared_ptr<ServerContext>> contexts,
                                   observability::Metrics& metrics)
    : contexts_(std::move(contexts)),
      reloaded_(reloads(metrics, "done")),
      failed_(reloads(metrics, "failed")),
      expiry_(
          metrics.gauge("millrace_tls_certificate_expiry_seconds",
                        "When the first of the server's certificates ends, in seconds since 1970; 0 without TLS.")) {}

CertificateWatch::~CertificateWatch() { stop(); }

void CertificateWatch::start() {
  if (contexts_.empty()) return;
  for (const auto& context : contexts_) look(*context, false);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void CertificateWatch::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void CertificateWatch::reload() {
  const std::lock_guard lock(mutex_);
  asked_ = true;
  wake_.notify_all();
}

void CertificateWatch::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, kLookEvery, [this] { return asked_; });
    const bool asked = std::exchange(asked_, false);
    lock.unlock();
    for (const auto& context : contexts_) {
      if (!stop.stop_requested()) look(*context, asked);
    }
  }
}

void CertificateWatch::look(ServerContext& context, bool asked) {
  if (asked || context.changed()) {
    if (const Status status = context.reload(); status.ok()) {
      reloaded_.add();
      log_.info("certificates read again", {});
    } else {
      failed_.add();
      log_.limited(limiter_, observability::Level::kError, "certificates cannot be read again; the old ones stay",
                   {{"error", status.error().message}});
    }
  }
  auto first = std::chrono::system_clock::time_point::max();
  for (const auto& each : contexts_) first = std::min(first, each->expires());
  expiry_.set(std::chrono::duration<double>(first.time_since_epoch()).count());
}

}  // namespace millrace::tls
