#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>

#include "rules/rule_book.hpp"

namespace millrace::stream {

/// The rules as the topic `rules` has them, followed on a thread of its own. A rule that does not compile (the registry
/// accepts none) is logged and left out.
class RuleFeed {
 public:
  RuleFeed(kafka::Settings settings, std::string topic);

  void start() { follower_.start(); }
  void stop() { follower_.stop(); }

  /// False until the topic was read to the end seen at the start.
  [[nodiscard]] bool ready() const { return follower_.ready(); }

  /// Changes with every change of a rule. Thread-safe, one load.
  [[nodiscard]] std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  /// The rules as they are now. Thread-safe; builds a new book only after a change.
  [[nodiscard]] std::shared_ptr<const RuleBook> book();

 private:
  using Rules = std::map<std::string, std::shared_ptr<const CompiledRule>, std::less<>>;  // by the record's key

  void take(const kafka::Record& record);
  void read_again();
  void complete();

  observability::Logger log_{"rules"};
  observability::LogLimiter limiter_;
  std::mutex mutex_;
  Rules rules_;           // guarded by mutex_, as the following
  Rules read_;            // of a further reading, until it is complete
  bool reading_ = false;  // a further reading is under way: rules_ stays as it was
  std::shared_ptr<const RuleBook> book_ = std::make_shared<RuleBook>();
  std::atomic<std::uint64_t> version_{1};
  kafka::TopicFollower follower_;  // last: its thread uses all of the above
};

}  // namespace millrace::stream
