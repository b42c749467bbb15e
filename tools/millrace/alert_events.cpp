#include "alert_events.hpp"

namespace millrace::cli {
namespace {

/// The raise of an alert that is cleared by now.
alerts::v1::Alert raise_of(alerts::v1::Alert alert) {
  alert.set_state(alerts::v1::STATE_RAISED);
  alert.clear_cleared_at_us();
  alert.clear_clear_value();
  alert.clear_clear_expression();
  alert.clear_clear_receipt();
  alert.clear_clear_reason();
  alert.clear_ingest_time_us();  // of the clear
  return alert;
}

}  // namespace

std::vector<alerts::v1::Alert> AlertEvents::take(const alerts::v1::Alert& now) {
  const auto [found, is_new] = known_.try_emplace(now.alert_id());
  Known& known = found->second;
  known.seen = look_;
  std::vector<alerts::v1::Alert> events;
  if (is_new && now.state() == alerts::v1::STATE_CLEARED) events.push_back(raise_of(now));
  if (is_new || now.event_number() > known.alert.event_number()) {
    events.push_back(now);
    known.alert = now;
  }
  return events;
}

std::vector<alerts::v1::Alert> AlertEvents::missing() const {
  std::vector<alerts::v1::Alert> gone;
  for (const auto& [id, known] : known_) {
    if (known.seen != look_ && known.alert.state() == alerts::v1::STATE_RAISED) gone.push_back(known.alert);
  }
  return gone;
}

void AlertEvents::forget_before(TimeUs time) {
  std::erase_if(known_, [time](const auto& one) {
    const alerts::v1::Alert& alert = one.second.alert;
    return alert.state() == alerts::v1::STATE_CLEARED && alert.raised_at_us() < time;
  });
}

}  // namespace millrace::cli
