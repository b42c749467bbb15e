#include "log/webhook_table.hpp"

#include <millrace/base/ids.hpp>

#include "millrace/registry/v1/entry.pb.h"

namespace millrace::notifier {
namespace {

constexpr std::string_view kKeyPrefix = "webhook/";

Result<Webhook> decode_webhook(std::string_view value) {
  registry::v1::Entry entry;
  if (!entry.ParseFromArray(value.data(), static_cast<int>(value.size())) || !entry.has_webhook()) {
    return Error{ErrorKind::kInvalid, "the value holds no webhook"};
  }
  auto target = parse_url(entry.webhook().url());
  if (!target.ok()) return target.error();
  return Webhook{entry.webhook().url(), entry.webhook().secret(), std::move(*target)};
}

}  // namespace

WebhookTable::WebhookTable(const kafka::Settings& settings, const std::string& topic, OnChange on_change)
    : on_change_(std::move(on_change)),
      follower_(settings, topic,
                {.on_again = [this] { begin_again(); },
                 .on_record = [this](const kafka::Record& record) { take(record); },
                 .on_complete = [this] { complete(); }}) {}

void WebhookTable::start() { follower_.start(); }

void WebhookTable::stop() { follower_.stop(); }

bool WebhookTable::wait_ready(const std::stop_token& stop) const {
  std::unique_lock lock(mutex_);
  return completed_.wait(lock, stop, [this] { return complete_; });
}

std::optional<Webhook> WebhookTable::find(std::string_view tenant) const {
  const std::scoped_lock lock(mutex_);
  const auto found = webhooks_.find(tenant);
  if (found == webhooks_.end()) return std::nullopt;
  return found->second;
}

std::size_t WebhookTable::size() const {
  const std::scoped_lock lock(mutex_);
  return webhooks_.size();
}

std::string WebhookTable::detail() const {
  return std::to_string(size()) + " webhooks" + (ready() ? "" : ", the registry is not read to the end yet") +
         (follower_.connected() ? "" : ", Kafka is away");
}

void WebhookTable::take(const kafka::Record& record) {
  if (!record.key().starts_with(kKeyPrefix)) return;
  const std::string tenant(record.key().substr(kKeyPrefix.size()));
  if (unseen_) unseen_->erase(tenant);
  std::optional<Webhook> webhook;
  if (!record.is_tombstone()) {
    auto decoded = decode_webhook(record.value());
    if (!decoded.ok() || !is_valid_id(tenant)) {
      log_.limited(invalid_, observability::Level::kError, "entry of the registry ignored",
                   {{"offset", record.offset()},
                    {"error", decoded.ok() ? std::string("the key names no tenant") : decoded.error().message}});
      return;
    }
    webhook = std::move(*decoded);
  }
  if (put(tenant, std::move(webhook))) on_change_(tenant);
}

bool WebhookTable::put(const std::string& tenant, std::optional<Webhook> webhook) {
  const std::scoped_lock lock(mutex_);
  if (!webhook) return webhooks_.erase(tenant) > 0;
  const auto found = webhooks_.find(tenant);
  if (found != webhooks_.end() && found->second.url == webhook->url && found->second.secret == webhook->secret) {
    return false;
  }
  webhooks_.insert_or_assign(tenant, std::move(*webhook));
  return true;
}

void WebhookTable::begin_again() {
  const std::scoped_lock lock(mutex_);
  unseen_.emplace();
  for (const auto& [tenant, webhook] : webhooks_) unseen_->insert(tenant);
}

void WebhookTable::complete() {
  if (unseen_) {
    for (const std::string& tenant : *unseen_) {
      if (put(tenant, std::nullopt)) on_change_(tenant);
    }
    unseen_.reset();
  }
  log_.info("copy of the webhooks complete", {{"webhooks", size()}});
  const std::scoped_lock lock(mutex_);
  complete_ = true;
  completed_.notify_all();
}

}  // namespace millrace::notifier
