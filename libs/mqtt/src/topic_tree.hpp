// Which subscriptions match a topic (sections 4.7 and 4.8). Filters without a wildcard are in one hash table, so a
// topic costs one look-up however many there are; those with a wildcard are in a tree of levels, and a match visits at
// most the nodes that agree with the topic so far.
//
// Not thread-safe, but matching changes nothing: any number of threads may match while none adds or removes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/mqtt/protocol.hpp>

#include "level_trie.hpp"

namespace millrace::mqtt {

struct SessionRecord;  // whose it is; never looked into here
struct Subscriber;

/// Where a subscription stands, kept by its owner at a fixed address: so it goes in constant time, also when a hundred
/// thousand sessions have the same filter.
struct Place {
  std::vector<Subscriber>* list = nullptr;
  std::size_t index = 0;
};

struct SubscriptionOptions {
  Qos maximum_qos = Qos::kAtMostOnce;
  bool no_local = false;
  bool retain_as_published = false;
  std::uint32_t id = 0;  ///< 0 = none
};

struct Subscriber {
  SessionRecord* session = nullptr;
  SubscriptionOptions options;
  Place* place = nullptr;
};

/// The members of one `$share/<name>/<filter>`.
struct ShareGroup {
  std::vector<Subscriber> members;
  mutable std::atomic<std::size_t> turn{0};  ///< whose turn it is next (an index, may be past the end)
};

/// Everybody who has subscribed to one filter.
struct FilterEntry {
  std::vector<Subscriber> subscribers;
  std::map<std::string, ShareGroup, std::less<>> groups;
  bool empty() const { return subscribers.empty() && groups.empty(); }
};

class TopicTree {
 public:
  using Trie = LevelTrie<FilterEntry>;

  /// `filter` is valid, perhaps shared, and has no more than kMaximumLevels levels. The session has no subscription to
  /// it yet; `place` is filled in and must stay where it is until remove().
  void add(std::string_view filter, SessionRecord* session, const SubscriptionOptions& options, Place& place);
  static void replace(const Place& place, const SubscriptionOptions& options) {
    (*place.list)[place.index].options = options;
  }
  static const SubscriptionOptions& options(const Place& place) { return (*place.list)[place.index].options; }
  void remove(std::string_view filter, const Place& place);

  /// Calls on_entry(const FilterEntry&) once for every filter that matches, in no particular order. Allocates nothing.
  template <typename OnEntry>
  void match(std::string_view topic, OnEntry&& on_entry) const {
    if (const auto found = exact_.find(topic); found != exact_.end()) on_entry(found->second);
    // [MQTT-4.7.2-1]: "$..." is not for filters that begin with a wildcard.
    if (!wildcards_.empty()) walk(wildcards_.root(), Levels(topic), !topic.starts_with('$'), on_entry);
  }

 private:
  template <typename OnEntry>
  static void walk(const Trie::Node& node, Levels levels, bool wildcards, OnEntry& on_entry) {
    if (wildcards && node.hash != nullptr) on_entry(node.hash->value);  // "a/#" is also for "a", section 4.7.1.2
    if (levels.done()) {
      if (!node.value.empty()) on_entry(node.value);
      return;
    }
    const std::string_view level = levels.next();
    if (const Trie::Node* child = node.child(level)) walk(*child, levels, true, on_entry);
    if (wildcards && node.plus != nullptr) walk(*node.plus, levels, true, on_entry);
  }

  StringMap<FilterEntry> exact_;
  Trie wildcards_;
};

/// What a subscription occupies at most, in bytes.
inline std::size_t subscription_bytes(std::string_view filter) {
  const bool wildcard = filter.find_first_of("+#") != std::string_view::npos;
  return 256 + filter.size() + (wildcard ? trie_bytes(filter) : filter.size());
}

/// `$share/<group>/<filter>` in its parts; the group of an ordinary filter is empty.
struct FilterParts {
  std::string_view group;
  std::string_view filter;
};
FilterParts split_filter(std::string_view filter);

}  // namespace millrace::mqtt
