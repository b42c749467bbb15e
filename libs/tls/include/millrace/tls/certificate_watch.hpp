#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/tls/server_context.hpp>

namespace millrace::tls {

/// Reloads contexts when their files change (looked at once a second) and when told to. Files that do not fit together,
/// as between two writes, leave the old certificates in place and are tried again until they do; that is logged and
/// counted.
class CertificateWatch {
 public:
  CertificateWatch(std::vector<std::shared_ptr<ServerContext>> contexts, observability::Metrics& metrics);
  ~CertificateWatch();
  CertificateWatch(const CertificateWatch&) = delete;
  CertificateWatch& operator=(const CertificateWatch&) = delete;

  void start();
  void stop();
  /// Reads all files again, changed or not (SIGHUP). Any thread; returns at once.
  void reload();

 private:
  void run(const std::stop_token& stop);
  void look(ServerContext& context, bool asked);

  std::vector<std::shared_ptr<ServerContext>> contexts_;
  observability::Counter reloaded_;
  observability::Counter failed_;
  observability::Gauge expiry_;
  observability::Logger log_{"tls"};
  observability::LogLimiter limiter_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool asked_ = false;
  std::jthread thread_;
};

}  // namespace millrace::tls
