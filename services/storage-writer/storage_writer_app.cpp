#include "storage_writer_app.hpp"

#include <cstdio>
#include <thread>

#include <millrace/postgres/migrations.hpp>
#include <millrace/storage_schema/schema.hpp>

namespace millrace::writer {
namespace {

// An integer key that belongs to somebody else would mix two devices' series for good.
DeviceCheck check_against(const registry_view::RegistryView& registry) {
  return [&registry](std::int32_t key, std::string_view tenant, std::string_view device) -> std::optional<std::string> {
    const auto known = registry.find_by_key(key);
    if (!known || (known->tenant == tenant && known->device == device)) return std::nullopt;
    return "the record says that device key " + std::to_string(key) + " is " + std::string(tenant) + "/" +
           std::string(device) + ", the registry says " + known->tenant + "/" + known->device +
           ": database, registry and log are not of one installation (docs/operations.md)";
  };
}

}  // namespace

StorageWriterApp::StorageWriterApp(Config config)
    : config_(std::move(config)),
      registry_({config_.kafka, config_.topics.registry(), registry_view::Types::kNames}, metrics_),
      committer_(config_, handover_, names_, writer_metrics_),
      reader_(config_, handover_, names_, writer_metrics_, check_against(registry_)),
      derived_(config_, writer_metrics_),
      maintenance_(config_, registry_, writer_metrics_),
      acknowledged_(config_),
      trimmer_(config_, writer_metrics_) {}

StorageWriterApp::~StorageWriterApp() {
  handover_.stop();
  reader_.join();
  committer_.join();
  derived_.join();
  maintenance_.stop();
  trimmer_.stop();
}

void StorageWriterApp::add_checks() {
  health_.add("database", [this] {
    const auto state = committer_.state();
    return runtime::CheckResult{state.database_ok, state.detail};
  });
  health_.add_detail("registry", [this] { return registry_.detail(); });
  // A detail only: telemetry goes on without it.
  health_.add_detail("derived", [this] { return derived_.detail(); });
  health_.add_detail("maintenance", [this] { return maintenance_.detail(); });
  health_.add_detail("log trimming", [this] { return trimmer_.detail(); });
  health_.add("log", [this] {
    const auto state = reader_.state();
    return runtime::CheckResult{state.ok, state.detail};
  });
}

Status StorageWriterApp::start() {
  add_checks();
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  registry_.start();
  committer_.start();
  reader_.start();
  derived_.start();
  maintenance_.start();
  acknowledged_.start();
  trimmer_.start();
  return {};
}

Status StorageWriterApp::drain(runtime::Deadline deadline) {
  while (!reader_.is_drained()) {
    if (std::chrono::steady_clock::now() >= deadline)
      return Error{ErrorKind::kUnavailable, "the last batch was not taken; it is read again at the next start"};
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  if (!handover_.wait_idle(deadline))
    return Error{ErrorKind::kUnavailable, "the last batch was not committed; it is read again at the next start"};
  while (!derived_.is_drained()) {
    if (std::chrono::steady_clock::now() >= deadline)
      return Error{ErrorKind::kUnavailable, "the last windows and alerts were not committed; they are read again"};
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return {};
}

std::vector<runtime::Phase> StorageWriterApp::stop_phases() {
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
         derived_.stop_intake();
         return Status{};
       }},
      {"drain", [this](Deadline deadline) { return drain(deadline); }},
      {"flush",
       [this](Deadline) {
         handover_.stop();
         committer_.join();
         return Status{};
       }},
      {"close",
       [this](Deadline) {
         reader_.join();
         derived_.join();
         maintenance_.stop();
         acknowledged_.stop();
         trimmer_.stop();
         return Status{};
       }},
  };
}

int migrate(const Config& config) {
  auto connection = postgres::Connection::open(config.database);
  if (!connection) {
    std::fprintf(stderr, "storage-writer: %s\n", connection.error().message.c_str());
    return 1;
  }
  // A later migration may have to wait for readers; the server's own statement time-out still holds.
  (*connection)->set_deadline(postgres::Clock::now() + std::chrono::minutes{10});
  const auto applied = postgres::migrate(**connection, storage_schema::kSchema, storage_schema::migrations());
  if (!applied) {
    std::fprintf(stderr, "storage-writer: %s\n", applied.error().message.c_str());
    return 1;
  }
  if (auto granted = storage_schema::grant_reads_to_default_roles(**connection); !granted) {
    std::fprintf(stderr, "storage-writer: %s\n", granted.error().message.c_str());
    return 1;
  }
  const auto mode = (*connection)->exec("SELECT value FROM storage.setting WHERE name = 'database_mode'");
  if (!mode || mode->empty()) {
    std::fprintf(stderr, "storage-writer: %s\n",
                 mode ? "the database's mode is not set" : mode.error().message.c_str());
    return 1;
  }
  std::printf("schema storage: %d migrations applied; database mode: %s\n", *applied,
              std::string(mode->text(0, 0)).c_str());
  return 0;
}

}  // namespace millrace::writer
