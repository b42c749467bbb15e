#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>

#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>

#include "send/webhook.hpp"

namespace millrace::notifier {

/// The tenants' webhooks, followed in the compacted topic `registry`; everything else in it is passed over.
/// Thread-safe.
class WebhookTable {
 public:
  /// Called after a tenant's webhook was set, replaced or deleted, on the follower's thread, without a lock held.
  using OnChange = std::function<void(std::string_view tenant)>;

  WebhookTable(const kafka::Settings& settings, const std::string& topic, OnChange on_change);

  void start();
  /// Ends the thread; waits at most about a second.
  void stop();

  /// Blocks until the topic was read to the end seen at the start: before, a tenant without a webhook may have one.
  /// False: stopped.
  [[nodiscard]] bool wait_ready(const std::stop_token& stop) const;

  [[nodiscard]] std::optional<Webhook> find(std::string_view tenant) const;
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool ready() const { return follower_.ready(); }
  /// For /readyz.
  [[nodiscard]] std::string detail() const;

 private:
  void take(const kafka::Record& record);
  void begin_again();
  void complete();
  /// True if it is another one than before; nullopt removes it.
  [[nodiscard]] bool put(const std::string& tenant, std::optional<Webhook> webhook);

  OnChange on_change_;
  observability::Logger log_{"webhooks"};
  observability::LogLimiter invalid_;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any completed_;
  std::map<std::string, Webhook, std::less<>> webhooks_;  // guarded by mutex_, as the following
  bool complete_ = false;
  std::optional<std::set<std::string>> unseen_;  // follower's thread: not named yet by a further reading
  kafka::TopicFollower follower_;                // last: its thread uses all of the above
};

}  // namespace millrace::notifier
