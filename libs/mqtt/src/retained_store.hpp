// The retained messages of one name space by topic (section 3.3.1.3). Not thread-safe; the caller's lock guards it.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/mqtt/message.hpp>

#include "level_trie.hpp"

namespace millrace::mqtt {

struct RetainedLimits {
  std::size_t messages = 0;
  std::size_t bytes = 0;  ///< sum of Message::cost() and the publishers' client ids
};

class RetainedStore {
 public:
  struct Entry {
    MessagePtr message;
    std::string publisher;  ///< client id, for No Local; empty = the server
    bool empty() const { return message == nullptr; }
  };

  /// `memory` (may be null) is for the places of the messages; each message is on its publisher's account.
  explicit RetainedStore(RetainedLimits limits, std::shared_ptr<MemoryShare> memory = nullptr)
      : limits_(limits), places_(std::move(memory)) {}

  /// Keeps the message in place of an earlier one of its topic; an empty payload only takes that away. False: there is
  /// no room, or the topic has more than kMaximumLevels levels. The earlier message is gone then too: it must be
  /// replaced [MQTT-3.3.1-5], and an old value must not pass for the present one.
  bool store(const MessagePtr& message, std::string_view publisher, TimePoint now);

  /// Calls on_entry(const Entry&) for every message that has not expired and whose topic the filter matches, until it
  /// answers false.
  template <typename OnEntry>
  void match(std::string_view filter, TimePoint now, OnEntry&& on_entry) {
    drop_expired(now);
    static_cast<void>(visit(trie_.root(), Levels(filter), true, on_entry));
  }

  void drop_expired(TimePoint now);

  std::size_t size() const { return size_; }
  std::size_t bytes() const { return bytes_; }

 private:
  using Trie = LevelTrie<Entry>;
  using Node = Trie::Node;

  static std::size_t cost(const Entry& entry) { return entry.message->cost() + entry.publisher.size(); }
  static std::size_t place_bytes(const Entry& entry) {
    return sizeof(Entry) + entry.publisher.size() + trie_bytes(entry.message->topic);
  }
  void remove(Node& node);

  // Each answers false when the callback wants no more. `top` = `node` is the root, where wildcards do not stand for
  // levels that begin with '$' [MQTT-4.7.2-1].
  template <typename OnEntry>
  static bool visit(const Node& node, Levels levels, bool top, OnEntry& on_entry) {
    if (levels.done()) return node.value.empty() || on_entry(node.value);
    const std::string_view level = levels.next();
    if (level == "#") return visit_all(node, top, on_entry);
    if (level != "+") {
      const Node* child = node.child(level);
      return child == nullptr || visit(*child, levels, false, on_entry);
    }
    for (const auto& [name, child] : node.children) {
      if (top && name.starts_with('$')) continue;
      if (!visit(*child, levels, false, on_entry)) return false;
    }
    return true;
  }
  template <typename OnEntry>
  static bool visit_all(const Node& node, bool top, OnEntry& on_entry) {
    if (!node.value.empty() && !on_entry(node.value)) return false;
    for (const auto& [name, child] : node.children) {
      if (top && name.starts_with('$')) continue;
      if (!visit_all(*child, false, on_entry)) return false;
    }
    return true;
  }

  const RetainedLimits limits_;
  MemoryCharge places_;
  Trie trie_;
  std::set<std::pair<TimePoint, Node*>> expiries_;
  std::size_t size_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace millrace::mqtt
