#pragma once

#include <string>

#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>

#include "presence/presence_book.hpp"

namespace millrace::query_api {

/// A copy of who is connected, fed by the topic `presence`. Thread-safe; look-ups do not block for I/O.
class PresenceView {
 public:
  /// `metrics` must outlive it: millrace_query_presence_{clients,ready}.
  PresenceView(const kafka::Settings& kafka, const std::string& topic, observability::Metrics& metrics);

  void start() { follower_.start(); }
  void stop() { follower_.stop(); }

  /// Whether the topic was read to its end once; before that the book says too little.
  [[nodiscard]] bool ready() const { return follower_.ready(); }
  [[nodiscard]] const PresenceBook& book() const { return book_; }

 private:
  void take(const kafka::Record& record);

  PresenceBook book_;
  observability::Logger log_{"presence"};
  observability::LogLimiter limiter_;
  kafka::TopicFollower follower_;  // last: its thread uses the above
};

}  // namespace millrace::query_api
