#pragma once

#include <string>
#include <vector>

#include <google/protobuf/repeated_ptr_field.h>

#include "text.hpp"

namespace CLI {
class App;
}

namespace millrace::registry::v1 {
class TopicRule;
}

namespace millrace::cli {

using TopicRules = google::protobuf::RepeatedPtrField<registry::v1::TopicRule>;

/// `--publish FILTER`, `--subscribe FILTER` and `--both FILTER`, each as often as wanted.
struct TopicOptions {
  std::vector<std::string> publish;
  std::vector<std::string> subscribe;
  std::vector<std::string> both;

  /// In the order of the options; a filter that is named twice is one rule.
  [[nodiscard]] TopicRules rules() const;
};

void add_topic_options(CLI::App& command, TopicOptions& options);

/// FILTER, MAY: `publish`, `subscribe` or `publish, subscribe`.
[[nodiscard]] Table topic_table(const TopicRules& rules);
/// An array of objects with `filter`, `publish`, `subscribe`.
[[nodiscard]] std::string topics_json(const TopicRules& rules);

}  // namespace millrace::cli
