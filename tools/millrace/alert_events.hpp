#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <millrace/base/time.hpp>

#include "millrace/alerts/v1/alert.pb.h"

namespace millrace::cli {

/// Makes events out of lists of alerts as they are, each event once. Pure; one thread.
class AlertEvents {
 public:
  /// What is new about an alert: nothing, its last event, or raise and clear of one that came and went in between.
  [[nodiscard]] std::vector<alerts::v1::Alert> take(const alerts::v1::Alert& now);

  /// Begins a look at everything that is open: see missing().
  void begin_look() { ++look_; }
  /// Alerts that were open and did not come since begin_look(): they were cleared, or their rule is gone.
  [[nodiscard]] std::vector<alerts::v1::Alert> missing() const;
  /// Nobody knows it any more.
  void drop(const alerts::v1::Alert& alert) { known_.erase(alert.alert_id()); }
  /// Forgets cleared alerts that were raised before `time`; they are not listed any more.
  void forget_before(TimeUs time);

 private:
  struct Known {
    alerts::v1::Alert alert;
    std::uint64_t seen = 0;
  };
  std::map<std::string, Known> known_;  // by alert id
  std::uint64_t look_ = 0;
};

}  // namespace millrace::cli
