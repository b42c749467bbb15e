#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/entry.pb.h>
#include <millrace/rules/v1/rule.pb.h>

namespace millrace::registry {

/// Where a change goes; numbers as in registry.outbox.topic.
enum class OutboxTopic : std::int16_t { kRegistry = 0, kRules = 1 };

struct OutboxEntry {
  std::string key;
  v1::Entry entry;
};

/// Writes the entities that a transaction changed into the outbox, inside that transaction. Call as late as possible:
/// the first call takes the lock that puts the outbox into commit order, and every other change waits for it until this
/// one commits.
class Outbox {
 public:
  explicit Outbox(postgres::Connection& connection) : connection_(connection) {}

  /// The entity as it is now; sets its revision.
  [[nodiscard]] Status put(const std::string& key, v1::Entry entry);
  /// The same for many, in three statements.
  [[nodiscard]] Status put_all(std::vector<OutboxEntry> entries);
  /// The entity is gone.
  [[nodiscard]] Status remove(const std::string& key);

  /// The same for the topic `rules`.
  [[nodiscard]] Status put_rule(const rules::v1::Rule& rule);
  [[nodiscard]] Status remove_rule(const std::string& tenant, const std::string& rule);

 private:
  [[nodiscard]] Status lock();
  [[nodiscard]] Result<std::int64_t> next_id();
  [[nodiscard]] Status insert(std::int64_t id, OutboxTopic topic, const std::string& key,
                              const std::optional<std::string>& value);

  postgres::Connection& connection_;
  bool locked_ = false;
};

[[nodiscard]] std::string tenant_entry_key(const std::string& tenant);
[[nodiscard]] std::string device_entry_key(const std::string& tenant, const std::string& device);
[[nodiscard]] std::string api_key_entry_key(const std::string& key_id);
[[nodiscard]] std::string webhook_entry_key(const std::string& tenant);
/// Of the tenant where `device` is empty.
[[nodiscard]] std::string limits_entry_key(const std::string& tenant, const std::string& device);
[[nodiscard]] std::string credentials_entry_key(const std::string& tenant, const std::string& device);
[[nodiscard]] std::string authority_entry_key(const std::string& tenant, const std::string& authority);
[[nodiscard]] std::string policy_entry_key(const std::string& tenant);
[[nodiscard]] std::string retention_entry_key(const std::string& tenant);
[[nodiscard]] std::string type_entry_key(const std::string& tenant, const std::string& type);

}  // namespace millrace::registry
