#include "retained_store.hpp"

namespace millrace::mqtt {

bool RetainedStore::store(const MessagePtr& message, std::string_view publisher, TimePoint now) {
  drop_expired(now);
  if (Node* old = trie_.find(message->topic); old != nullptr && !old->value.empty()) remove(*old);
  if (message->payload.empty()) return true;                            // [MQTT-3.3.1-6], -7
  if (message->expires_at && *message->expires_at <= now) return true;  // kept for no time at all
  if (count_levels(message->topic) > kMaximumLevels) return false;
  Entry entry{message, std::string(publisher)};
  if (size_ >= limits_.messages || bytes_ + cost(entry) > limits_.bytes) return false;
  if (!places_.take(place_bytes(entry))) return false;
  Node& node = trie_.make(message->topic);
  ++size_;
  bytes_ += cost(entry);
  if (message->expires_at) expiries_.emplace(*message->expires_at, &node);
  node.value = std::move(entry);
  return true;
}

void RetainedStore::remove(Node& node) {
  --size_;
  bytes_ -= cost(node.value);
  places_.give_back(place_bytes(node.value));
  if (node.value.message->expires_at) expiries_.erase({*node.value.message->expires_at, &node});
  node.value = {};
  trie_.prune(node);
}

void RetainedStore::drop_expired(TimePoint now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) remove(*expiries_.begin()->second);
}

}  // namespace millrace::mqtt
