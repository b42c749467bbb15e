#include "rules/rule_feed.hpp"

namespace millrace::stream {

RuleFeed::RuleFeed(kafka::Settings settings, std::string topic)
    : follower_(std::move(settings), std::move(topic),
                {.on_again = [this] { read_again(); },
                 .on_record = [this](const kafka::Record& record) { take(record); },
                 .on_complete = [this] { complete(); }}) {}

void RuleFeed::take(const kafka::Record& record) {
  std::shared_ptr<const CompiledRule> compiled;
  if (!record.is_tombstone()) {
    auto rule = rules::decode(record.value());
    auto made = rule ? CompiledRule::compile(std::move(*rule)) : Result<CompiledRule>(rule.error());
    if (made) {
      compiled = std::make_shared<const CompiledRule>(std::move(*made));
    } else {
      log_.limited(limiter_, observability::Level::kError, "a rule is left out",
                   {{"key", record.key()}, {"error", made.error().message}});
    }
  }
  const std::scoped_lock lock(mutex_);
  Rules& rules = reading_ ? read_ : rules_;
  if (compiled)
    rules[std::string(record.key())] = std::move(compiled);
  else
    rules.erase(std::string(record.key()));
  if (!reading_) version_.fetch_add(1, std::memory_order_release);
}

void RuleFeed::read_again() {
  const std::scoped_lock lock(mutex_);
  reading_ = true;
  read_.clear();
}

void RuleFeed::complete() {
  const std::scoped_lock lock(mutex_);
  if (!reading_) return;
  rules_ = std::move(read_);
  read_.clear();
  reading_ = false;
  version_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const RuleBook> RuleFeed::book() {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t version = version_.load(std::memory_order_acquire);
  if (book_->version() != version) {
    std::vector<std::shared_ptr<const CompiledRule>> rules;
    for (const auto& [key, rule] : rules_) rules.push_back(rule);
    book_ = std::make_shared<const RuleBook>(version, rules);
  }
  return book_;
}

}  // namespace millrace::stream
