#include "mqtt/topic_rights.hpp"

#include <algorithm>

#include "mqtt/topic_filter.hpp"

namespace millrace::gateway {
namespace {

using registry_view::TopicRule;

bool allows(const std::vector<TopicRule>& rules, bool TopicRule::* use, std::string_view device,
            std::string_view topic) {
  return std::ranges::any_of(rules, [&](const TopicRule& rule) {
    return rule.*use && covers(registry_view::filter_for(rule.filter, device), topic);
  });
}

}  // namespace

const std::vector<TopicRule>& TopicRights::rules() const {
  static const std::vector<TopicRule> kNone;
  if (grants_ && !grants_->topics.empty()) return grants_->topics;
  return policy_ ? policy_->device_topics : kNone;
}

bool TopicRights::speaks_for(std::string_view child) const {
  if (!grants_) return false;
  return std::ranges::any_of(grants_->children, [&](std::string_view pattern) {
    if (pattern == "*") return true;
    if (!pattern.ends_with('*')) return pattern == child;
    return child.starts_with(pattern.substr(0, pattern.size() - 1));
  });
}

bool TopicRights::may_publish(std::string_view device, std::string_view topic) const {
  return allows(rules(), &TopicRule::publish, device, topic);
}

bool TopicRights::may_subscribe(std::string_view device, std::string_view filter) const {
  return allows(rules(), &TopicRule::subscribe, device, filter);
}

}  // namespace millrace::gateway
