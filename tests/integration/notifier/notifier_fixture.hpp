#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/types.h>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/kafka/topics.hpp>

#include "eventually.hpp"

namespace httplib {
class Server;
}

namespace millrace::notifier::testing {

using millrace::testing::eventually;

/// A request as the receiver saw it.
struct Seen {
  std::string tenant;  ///< the path says it: `/hook/<tenant>`
  std::string key;     ///< Idempotency-Key
  std::string body;
  std::map<std::string, std::string> headers;
  int answered = 0;  ///< 0: not yet
};

/// An HTTP receiver on 127.0.0.1 for all tenants of a test.
class Receiver {
 public:
  Receiver();
  ~Receiver();

  [[nodiscard]] std::string url(const std::string& tenant) const;
  /// Answers of a tenant's webhook from now on; kHang: none until another is set.
  void answer(const std::string& tenant, int status);
  static constexpr int kHang = 0;
  static constexpr int kRedirect = 307;  ///< to another path of the receiver

  [[nodiscard]] std::vector<Seen> seen(const std::string& tenant) const;
  /// Keys of the requests that were answered 2xx, in the order of the answers.
  [[nodiscard]] std::vector<std::string> delivered(const std::string& tenant) const;
  [[nodiscard]] std::size_t hanging(const std::string& tenant) const;

 private:
  int handle(Seen request);

  std::unique_ptr<httplib::Server> server_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Seen> seen_;
  std::vector<std::pair<std::string, std::string>> delivered_;
  std::map<std::string, int> answers_;
  std::map<std::string, std::size_t> hanging_;
  bool closing_ = false;
  std::thread thread_;
};

/// The program as a child process.
class Process {
 public:
  explicit Process(std::map<std::string, std::string> environment, std::string log_file);
  ~Process();  ///< SIGKILL
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void kill();
  /// SIGTERM; the exit code, or -1 where it does not end in time.
  [[nodiscard]] int terminate();

 private:
  [[nodiscard]] std::optional<int> reap(int options);
  pid_t pid_ = -1;
};

/// Topics of its own on a real broker, a receiver, and the program.
class NotifierTest : public ::testing::Test {
 protected:
  static constexpr int kPartitions = 3;

  void SetUp() override;
  void TearDown() override;

  void set_webhook(const std::string& tenant, const std::string& url);
  void delete_webhook(const std::string& tenant);
  using Settings = std::map<std::string, std::string>;
  /// The program with settings beside those of the fixture (names without their prefix).
  [[nodiscard]] std::unique_ptr<Process> start(Settings settings);
  void run(Settings settings = {}) { process_ = start(std::move(settings)); }
  /// Puts event `number` of an alert into its partition; returns its idempotency key.
  std::string publish(const std::string& tenant, const std::string& device, std::int64_t number);
  void produce(kafka::OutgoingRecord record);
  /// Sum of the positions that are kept, over the partitions.
  [[nodiscard]] std::int64_t kept_position() const;
  /// A counter or gauge of the program's /metrics, all its labels must match; 0 if there is none.
  [[nodiscard]] double metric(const std::string& series) const;

  std::string name_;
  kafka::Settings settings_;
  kafka::TopicNames topics_;
  std::unique_ptr<kafka::SyncProducer> producer_;
  Receiver receiver_;
  std::unique_ptr<Process> process_;
  std::string log_file_;
  int ops_port_ = 0;
};

}  // namespace millrace::notifier::testing
