#include "routing.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace millrace::mqtt {
namespace {

struct Target {
  SessionRecord* session = nullptr;
  SubscriptionOptions options;
};

/// Kept per thread so that matching allocates nothing. Not in use while callbacks run, so never by two calls at once.
struct Scratch {
  std::vector<const FilterEntry*> entries;
  std::vector<Target> targets;
};
Scratch& scratch() {
  static thread_local Scratch mine;
  return mine;
}

std::vector<std::uint32_t> only(std::uint32_t id) {
  return id == 0 ? std::vector<std::uint32_t>{} : std::vector<std::uint32_t>{id};
}

}  // namespace

void Routing::run(const TopicTree& tree) {
  auto& entries = scratch().entries;
  entries.clear();
  tree.match(message_->topic, [&](const FilterEntry& entry) { entries.push_back(&entry); });
  if (entries.size() == 1) {
    to_subscribers(entries.front()->subscribers);
  } else if (entries.size() > 1) {
    to_merged(entries);
  }
  for (const FilterEntry* entry : entries) {
    for (const auto& [name, group] : entry->groups) to_group(group);
  }
}

/// [MQTT-3.8.3-3] speaks of the client id, so it also holds between a session and the one that it replaced.
bool Routing::is_local(const Subscriber& subscriber) const {
  return subscriber.options.no_local && publisher_ != nullptr &&
         publisher_->client_id() == subscriber.session->session->client_id();
}

void Routing::to_subscribers(std::span<const Subscriber> subscribers) {
  for (const Subscriber& subscriber : subscribers) {
    if (is_local(subscriber)) continue;
    deliver(*subscriber.session, subscriber.options, only(subscriber.options.id));
  }
}

/// Several filters match: one copy for each session, at the highest QoS and with all subscription identifiers (section
/// 3.3.4).
void Routing::to_merged(std::span<const FilterEntry* const> entries) {
  auto& targets = scratch().targets;
  targets.clear();
  for (const FilterEntry* entry : entries) {
    for (const Subscriber& subscriber : entry->subscribers) {
      if (!is_local(subscriber)) targets.push_back({subscriber.session, subscriber.options});
    }
  }
  std::ranges::sort(targets, std::less<>{}, &Target::session);
  for (std::size_t i = 0; i < targets.size();) {
    const std::size_t first = i;
    SubscriptionOptions merged = targets[first].options;
    std::vector<std::uint32_t> ids = only(merged.id);
    for (++i; i < targets.size() && targets[i].session == targets[first].session; ++i) {
      const SubscriptionOptions& other = targets[i].options;
      merged.maximum_qos = std::max(merged.maximum_qos, other.maximum_qos);
      merged.retain_as_published |= other.retain_as_published;
      if (other.id != 0) ids.push_back(other.id);
    }
    deliver(*targets[first].session, merged, std::move(ids));
  }
}

void Routing::deliver(SessionRecord& record, const SubscriptionOptions& options, std::vector<std::uint32_t> ids) {
  if (record.is_full()) return;
  ++matched;
  switch (offer(record, options, std::move(ids))) {
    case Session::Offer::kQueued:
      ++delivered;
      return;
    case Session::Offer::kDropped:
      ++dropped_qos0;
      return;
    case Session::Offer::kOverflow:
      mark_overflowed(record, overflowed);
      return;
  }
}

Session::Offer Routing::offer(SessionRecord& record, const SubscriptionOptions& options,
                              std::vector<std::uint32_t> ids) const {
  const Qos qos = std::min(message_->qos, options.maximum_qos);  // [MQTT-3.8.4-8]
  if (qos == Qos::kAtMostOnce && !record.connected()) return Session::Offer::kDropped;
  const bool retain = message_->retain && options.retain_as_published;  // [MQTT-3.3.1-12], -13
  return record.session->offer({message_, qos, retain, std::move(ids)}, now_);
}

/// Section 4.8.2: one member gets it. In turn, those with a connection first; a message above QoS 0 may wait for a
/// member without one where nobody else takes it. If all refuse, one of them is ended: a gap must not go unnoticed.
void Routing::to_group(const ShareGroup& group) {
  const std::size_t size = group.members.size();
  const std::size_t start = group.turn.load(std::memory_order_relaxed) % size;
  SessionRecord* refused = nullptr;
  bool anybody = false;
  for (const bool connected : {true, false}) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t index = start + i < size ? start + i : start + i - size;
      const Subscriber& member = group.members[index];
      if (member.session->connected() != connected || member.session->is_full()) continue;
      anybody = true;
      const Session::Offer answer = offer(*member.session, member.options, only(member.options.id));
      if (answer == Session::Offer::kQueued) {
        group.turn.store(index + 1, std::memory_order_relaxed);
        ++matched;
        ++delivered;
        return;
      }
      if (answer == Session::Offer::kOverflow && refused == nullptr) refused = member.session;
    }
  }
  if (!anybody) return;
  ++matched;
  if (refused != nullptr) {
    mark_overflowed(*refused, overflowed);
  } else {
    ++dropped_qos0;
  }
}

}  // namespace millrace::mqtt
