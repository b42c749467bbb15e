#include "topic_tree.hpp"

namespace millrace::mqtt {
namespace {

bool has_wildcard(std::string_view filter) { return filter.find_first_of("+#") != std::string_view::npos; }

void append(std::vector<Subscriber>& list, SessionRecord* session, const SubscriptionOptions& options, Place& place) {
  list.push_back({session, options, &place});
  place = {&list, list.size() - 1};
}

/// The last one takes the free place.
void take_out(const Place& place) {
  std::vector<Subscriber>& list = *place.list;
  if (place.index + 1 != list.size()) {
    list[place.index] = list.back();
    list[place.index].place->index = place.index;
  }
  list.pop_back();
  if (list.size() < list.capacity() / 4) list.shrink_to_fit();
}

}  // namespace

FilterParts split_filter(std::string_view filter) {
  if (!is_shared_filter(filter)) return {{}, filter};
  filter.remove_prefix(std::string_view("$share/").size());
  const std::size_t slash = filter.find('/');
  return {filter.substr(0, slash), filter.substr(slash + 1)};
}

void TopicTree::add(std::string_view filter, SessionRecord* session, const SubscriptionOptions& options, Place& place) {
  const FilterParts parts = split_filter(filter);
  FilterEntry* entry = nullptr;
  if (has_wildcard(parts.filter)) {
    entry = &wildcards_.make(parts.filter).value;
  } else if (const auto found = exact_.find(parts.filter); found != exact_.end()) {
    entry = &found->second;
  } else {
    entry = &exact_.try_emplace(std::string(parts.filter)).first->second;
  }
  if (parts.group.empty()) {
    append(entry->subscribers, session, options, place);
    return;
  }
  auto group = entry->groups.find(parts.group);
  if (group == entry->groups.end()) group = entry->groups.try_emplace(std::string(parts.group)).first;
  append(group->second.members, session, options, place);
}

void TopicTree::remove(std::string_view filter, const Place& place) {
  const FilterParts parts = split_filter(filter);
  take_out(place);
  const auto drop_group = [&](FilterEntry& entry) {
    if (parts.group.empty()) return;
    const auto group = entry.groups.find(parts.group);
    if (group->second.members.empty()) entry.groups.erase(group);
  };
  if (has_wildcard(parts.filter)) {
    Trie::Node& node = *wildcards_.find(parts.filter);
    drop_group(node.value);
    wildcards_.prune(node);
  } else {
    const auto found = exact_.find(parts.filter);
    drop_group(found->second);
    if (found->second.empty()) exact_.erase(found);
  }
}

}  // namespace millrace::mqtt
