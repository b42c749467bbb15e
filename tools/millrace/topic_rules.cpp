#include "topic_rules.hpp"

#include <algorithm>

#include <CLI/CLI.hpp>

#include "millrace/registry/v1/entry.pb.h"

namespace millrace::cli {
namespace {

registry::v1::TopicRule& rule_for(TopicRules& rules, const std::string& filter) {
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const auto& rule) { return rule.filter() == filter; });
  if (found != rules.end()) return *found;
  registry::v1::TopicRule& rule = *rules.Add();
  rule.set_filter(filter);
  return rule;
}

const char* may_text(const registry::v1::TopicRule& rule) {
  if (rule.publish() && rule.subscribe()) return "publish, subscribe";
  return rule.publish() ? "publish" : "subscribe";
}

void add_filters(CLI::App& command, const std::string& name, std::vector<std::string>& filters,
                 const std::string& description) {
  // One value each time: the words behind it are not more of them.
  command.add_option("--" + name, filters, description)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace

TopicRules TopicOptions::rules() const {
  TopicRules rules;
  for (const std::string& filter : publish) rule_for(rules, filter).set_publish(true);
  for (const std::string& filter : subscribe) rule_for(rules, filter).set_subscribe(true);
  for (const std::string& filter : both) {
    rule_for(rules, filter).set_publish(true);
    rule_for(rules, filter).set_subscribe(true);
  }
  return rules;
}

void add_topic_options(CLI::App& command, TopicOptions& options) {
  add_filters(command, "publish", options.publish, "topic filter; {device} in it stands for the device's id");
  add_filters(command, "subscribe", options.subscribe, "the same for subscribing");
  add_filters(command, "both", options.both, "the same for both");
}

Table topic_table(const TopicRules& rules) {
  Table table({"FILTER", "MAY"});
  for (const auto& rule : rules) table.add({printable(rule.filter()), may_text(rule)});
  return table;
}

std::string topics_json(const TopicRules& rules) {
  std::string text;
  for (const auto& rule : rules) {
    text += (text.empty() ? "{\"filter\":" : ",{\"filter\":") + json_string(rule.filter()) +
            ",\"publish\":" + (rule.publish() ? "true" : "false") +
            ",\"subscribe\":" + (rule.subscribe() ? "true" : "false") + "}";
  }
  return "[" + text + "]";
}

}  // namespace millrace::cli
