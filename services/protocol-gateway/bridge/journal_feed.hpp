#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <millrace/journal/journal.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "bridge/bridge_entry.hpp"
#include "bridge/bridge_metrics.hpp"
#include "bridge/command_event.hpp"
#include "bridge/hand_on_window.hpp"
#include "gateway_metrics.hpp"
#include "ingest/ingest_worker.hpp"

namespace millrace::gateway {

/// Who a message of the journal is for.
struct BridgeDevices {
  virtual ~BridgeDevices() = default;
  /// Before that nothing is looked up.
  [[nodiscard]] virtual bool ready() const = 0;
  /// None: unknown, or disabled.
  [[nodiscard]] virtual std::optional<registry_view::Device> find(std::string_view tenant,
                                                                  std::string_view device) const = 0;
};

/// Where command events go. Blocks; an Error: some may have been written, and all are sent again.
using SendCommandEvents = std::function<Status(std::span<const kafka::OutgoingRecord>)>;

struct JournalFeedOptions {
  std::string command_topic;
  std::size_t most_entries = 32'768;             ///< half of what rule 0 of the copy rules tells apart
  std::size_t most_bytes = 64ULL * 1024 * 1024;  ///< bodies of entries on their way
};

/// Hands what is in the journal on to the ingest core, in order, and confirms to the journal what Kafka has. It is the
/// only way from the journal on: what is taken now and what a restart finds go through it alike, each entry under the
/// name that the journal gave it, so that one that is handed on twice is one record and a copy of it.
class JournalFeed final : public AckSink, public std::enable_shared_from_this<JournalFeed> {
 public:
  /// All must outlive stop().
  JournalFeed(JournalFeedOptions options, journal::Journal& journal, IngestWorker& worker, RefusedPayloads& refused,
              const BridgeDevices& devices, SendCommandEvents send, const GatewayMetrics& gateway_metrics,
              const BridgeMetrics& metrics);

  void start();
  /// Ends the thread; what has no outcome stays in the journal. Called again, it keeps the outcomes that came since.
  void stop();

  /// Something happened: the journal has more, or the core takes again. Any thread, cheap.
  void wake();

  /// Waits until the journal is empty, the core takes nothing, or the deadline. True: empty.
  [[nodiscard]] bool drain(runtime::Deadline deadline);

  // AckSink; any thread.
  [[nodiscard]] std::size_t io_index() const override { return 0; }
  void settle(std::uint64_t token, const Outcome& outcome) override;
  void flush() override { wake(); }

 private:
  enum class Step { kWentOn, kWait };

  void run(const std::stop_token& stop);
  [[nodiscard]] Step step(journal::Reader& reader);
  [[nodiscard]] Step take_next(journal::Reader& reader, std::uint64_t& token);
  void confirm();
  [[nodiscard]] Step hand_on(std::uint64_t token, const journal::Entry& entry);
  [[nodiscard]] Status hand_on_telemetry(std::uint64_t token, const BridgeEntry& entry, const telemetry::IngestId& id);
  [[nodiscard]] Step send_commands();
  void mark(std::uint64_t token, bool done);

  JournalFeedOptions options_;
  journal::Journal& journal_;
  IngestWorker& worker_;
  RefusedPayloads& refused_;
  const BridgeDevices& devices_;
  SendCommandEvents send_;
  const GatewayMetrics& gateway_metrics_;
  const BridgeMetrics& metrics_;
  observability::Logger log_{"bridge"};
  observability::LogLimiter limiter_;
  std::uint64_t to_replay_ = 0;  // of what was found at the start

  std::vector<kafka::OutgoingRecord> commands_;  // feed's thread only, as the next
  std::vector<std::uint64_t> command_tokens_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  HandOnWindow window_;
  bool woken_ = false;
  bool idle_ = false;  // nothing in the journal that was not handed on
  std::jthread thread_;
};

}  // namespace millrace::gateway
