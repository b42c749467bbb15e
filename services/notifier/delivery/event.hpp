#pragma once

#include <cstdint>
#include <string>

#include <millrace/base/time.hpp>

namespace millrace::notifier {

/// One record of `alerts`, ready to be sent to its tenant's webhook.
struct Event {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::string tenant;
  std::string alert_key;        ///< events of one key are sent in the order of the log
  std::string idempotency_key;  ///< `<alert id>-<event number>`: equal whenever this event is sent
  std::string body;             ///< proto JSON of the alert
  std::string traceparent;      ///< empty: none
  TimeUs time_us = 0;           ///< when stream-processing wrote it; its age counts from here
  std::uint64_t epoch = 0;      ///< the Book's: of the assignment under which it was read
};

/// How an event ended.
enum class Ending {
  kDelivered,
  kRefused,    ///< the receiver said no for good
  kExpired,    ///< it is too old to be tried again
  kNoWebhook,  ///< its tenant has none (any more)
};

}  // namespace millrace::notifier
