#include "notifier_app.hpp"

namespace millrace::notifier {

NotifierApp::NotifierApp(Config config)
    : config_(std::move(config)),
      sender_(config_.sender),
      dispatcher_(
          config_.dispatcher, sender_, [this](std::string_view tenant) { return webhooks_.find(tenant); },
          notifier_metrics_),
      webhooks_(config_.kafka, config_.topics.registry(),
                [this](std::string_view tenant) { dispatcher_.webhook_changed(tenant); }),
      store_(config_),
      writer_(config_.progress_interval, store_, dispatcher_, notifier_metrics_),
      backlog_(config_, dispatcher_, notifier_metrics_),
      reader_(config_, webhooks_, store_, dispatcher_, notifier_metrics_) {}

NotifierApp::~NotifierApp() {
  ops_.reset();
  close();
}

// The sender goes first: its answers come to the dispatcher.
void NotifierApp::close() {
  sender_.stop();
  reader_.stop();
  backlog_.stop();
  webhooks_.stop();
}

void NotifierApp::refresh() const {
  const Book::Figures figures = dispatcher_.figures();
  notifier_metrics_.events.set(static_cast<double>(figures.events));
  notifier_metrics_.in_flight.set(static_cast<double>(figures.in_flight));
  notifier_metrics_.tenants_down.set(static_cast<double>(figures.tenants_down));
  notifier_metrics_.tenants_behind.set(static_cast<double>(figures.tenants_behind));
  notifier_metrics_.partitions.set(static_cast<double>(figures.partitions));
  notifier_metrics_.webhooks.set(static_cast<double>(webhooks_.size()));
}

void NotifierApp::add_checks() {
  health_.add("alerts", [this] {
    const auto state = reader_.state();
    return runtime::CheckResult{state.ok, state.detail};
  });
  health_.add("webhooks", [this] { return runtime::CheckResult{webhooks_.ready(), webhooks_.detail()}; });
  // A receiver that is down is its tenant's matter: never a reason to be unready.
  health_.add_detail("deliveries", [this] {
    const Book::Figures figures = dispatcher_.figures();
    return std::to_string(figures.events) + " events in memory, " + std::to_string(figures.tenants_down) +
           " receivers down, " + std::to_string(figures.tenants_behind) + " tenants with events left in the log";
  });
  metrics_.on_collect([this] { refresh(); });
}

Status NotifierApp::start() {
  add_checks();
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  webhooks_.start();
  dispatcher_.start();
  writer_.start();
  backlog_.start();
  reader_.start();
  return {};
}

Status NotifierApp::drain(runtime::Deadline deadline) {
  dispatcher_.stop_starting();
  if (dispatcher_.wait_idle(deadline)) return {};
  return Error{ErrorKind::kUnavailable, "requests are still under way; their events are sent again at the next start"};
}

std::vector<runtime::Phase> NotifierApp::stop_phases() {
  using runtime::Deadline;
  return {
      {"not-ready",
       [this](Deadline) {
         health_.set_stopping();
         return Status{};
       }},
      {"stop intake",
       [this](Deadline) {
         reader_.stop_intake();
         backlog_.stop();
         return Status{};
       }},
      {"drain", [this](Deadline deadline) { return drain(deadline); }},
      {"commit",
       [this](Deadline) {
         writer_.stop();
         return writer_.write();
       }},
      {"close",
       [this](Deadline) {
         close();
         return Status{};
       }},
  };
}

}  // namespace millrace::notifier
