#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include <millrace/http/server.hpp>

#include "gateway_metrics.hpp"
#include "http/waiting_room.hpp"
#include "identity/authenticator.hpp"
#include "ingest/ingest_worker.hpp"
#include "io/io_threads.hpp"

namespace millrace::gateway {

/// `POST /v1/telemetry`, and for a gateway device `/v1/devices/{child}/telemetry`: one message or a batch, answered
/// from the delivery report.
class TelemetryHandler {
 public:
  struct Options {
    std::chrono::milliseconds answer_deadline{10'000};
    /// Requests that wait until a password is checked or a device is made, together; 503 beyond it.
    std::size_t most_waiting_bytes = std::size_t{16} * 1024 * 1024;
  };
  /// `workers` by io thread. All references must outlive the handler, which must outlive the server it serves.
  TelemetryHandler(IoThreads& threads, std::vector<std::unique_ptr<IngestWorker>>& workers,
                   const registry_view::RegistryView& registry, Authenticator& authenticator, GatewayMetrics& metrics,
                   const Options& options);
  ~TelemetryHandler();
  TelemetryHandler(const TelemetryHandler&) = delete;
  TelemetryHandler& operator=(const TelemetryHandler&) = delete;

  /// Arms the deadline timers; the threads may already run.
  void start();

  /// On the connection's io thread.
  void handle(const http::Request& request, const http::Responder& responder);

 private:
  class Pending;
  // Requests of one io thread in the order of their deadlines, which all have the same length.
  struct Deadlines {
    explicit Deadlines(boost::asio::io_context& context) : timer(context) {}
    boost::asio::steady_timer timer;
    std::deque<std::shared_ptr<Pending>> waiting;
  };

  [[nodiscard]] Result<Shown> shown_by(const http::Request& request) const;
  void ingest(const http::Request& request, const http::Responder& responder);
  void take(const http::Request& request, const std::shared_ptr<const Identity>& identity,
            const http::Responder& responder);
  [[nodiscard]] bool answers_when_stored(const registry_view::Device& device) const;
  void refuse(const Error& error, const http::Responder& responder);
  void arm(std::size_t index);
  void expire(std::size_t index);

  IoThreads& threads_;
  std::vector<std::unique_ptr<IngestWorker>>& workers_;
  const registry_view::RegistryView& registry_;
  Authenticator& authenticator_;
  GatewayMetrics& metrics_;
  std::chrono::milliseconds answer_deadline_;
  WaitingRoom waiting_room_;
  std::vector<std::unique_ptr<Deadlines>> deadlines_;
};

}  // namespace millrace::gateway
