#pragma once

#include <functional>
#include <memory>
#include <string>

#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/settings.hpp>

namespace millrace::kafka {

/// Keeps a copy of a (compacted) topic up to date: reads every partition from its beginning, then whatever comes, on a
/// thread of its own, for as long as it lives. A broker that is away is tried again; a log that was cut or replaced is
/// read again from its beginning.
class TopicFollower {
 public:
  /// All of them run on the follower's thread and must not block. Exceptions are logged, and the topic is read again.
  struct Callbacks {
    /// A further reading from the beginning starts: what it does not name until on_complete is gone. May be empty.
    std::function<void()> on_again;
    std::function<void(const Record&)> on_record;
    /// The end seen at the beginning of this reading is reached. May be empty.
    std::function<void()> on_complete;
  };

  TopicFollower(Settings settings, std::string topic, Callbacks callbacks);
  ~TopicFollower();  ///< stop()
  TopicFollower(const TopicFollower&) = delete;
  TopicFollower& operator=(const TopicFollower&) = delete;

  void start();
  /// Ends the thread; waits at most about a second.
  void stop();

  /// True once the topic was read to the end seen at the first start; stays true: an old copy is better than none.
  [[nodiscard]] bool ready() const;
  /// Whether Kafka answered the last question.
  [[nodiscard]] bool connected() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::kafka
