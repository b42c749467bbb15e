#include "presence/presence_view.hpp"

namespace millrace::query_api {

PresenceView::PresenceView(const kafka::Settings& kafka, const std::string& topic, observability::Metrics& metrics)
    : follower_(kafka, topic,
                {.on_again = [this] { book_.begin_again(); },
                 .on_record = [this](const kafka::Record& record) { take(record); },
                 .on_complete = [this] { book_.end_reading(); }}) {
  const auto clients = metrics.gauge("millrace_query_presence_clients",
                                     "MQTT clients in the copy of the topic presence, gone ones too.");
  const auto ready = metrics.gauge("millrace_query_presence_ready", "1 once the topic presence was read to its end.");
  metrics.on_collect([this, clients, ready] {
    clients.set(static_cast<double>(book_.clients()));
    ready.set(follower_.ready() ? 1 : 0);
  });
}

void PresenceView::take(const kafka::Record& record) {
  if (record.is_tombstone()) return;
  devices::v1::Presence presence;
  const std::string_view value = record.value();
  if (!presence.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    log_.limited(limiter_, observability::Level::kError, "record of the topic presence ignored",
                 {{"partition", record.partition()}, {"offset", record.offset()}});
    return;
  }
  book_.take(std::move(presence), static_cast<std::uint64_t>(record.offset()));
}

}  // namespace millrace::query_api
