// Measures how long a message takes from its due time until a Range of query-api holds it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "load/device.hpp"
#include "load/outcome.hpp"
#include "verify/services.hpp"

namespace millrace::fleet {

/// One message at a time: asks every 5 ms until the answer holds it, then takes the next that is sent. Follows messages
/// that give a time, or any where none does.
class ReadableSampler : public Observer {
 public:
  ReadableSampler(const rpc::ClientOptions& query, const std::string& tenant, const Readings& readings,
                  const std::vector<Device>& devices);
  ~ReadableSampler() override;

  void start();
  /// Waits for the message it is following, at most a minute.
  void stop();
  /// From the load's thread; costs one atomic while a message is being followed.
  void on_sent(std::size_t device, const Message& message) override;

  /// After stop().
  [[nodiscard]] const Latencies& latencies() const { return latencies_; }
  [[nodiscard]] std::uint64_t gave_up() const { return gave_up_; }

 private:
  struct Sample {
    std::size_t device = 0;
    Message message;
  };
  void run(const std::stop_token& stop);
  void follow(const Sample& sample);

  QueryClient client_;
  const Readings& readings_;
  const std::vector<Device>& devices_;
  const bool take_untimed_;
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;
  std::optional<Sample> sample_;
  Latencies latencies_;
  std::uint64_t gave_up_ = 0;
  std::jthread thread_;
};

}  // namespace millrace::fleet
