#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/registry_view/registry_view.hpp>

#include "device_lists.hpp"
#include "grant_book.hpp"
#include "handle_table.hpp"
#include "limit_book.hpp"
#include "retention_book.hpp"
#include "type_book.hpp"

namespace millrace::registry_view {

/// What one record of the topic says, decoded.
struct TenantFact {
  std::string tenant;
  bool enabled = false;
};
struct DeviceFact {
  std::string tenant;
  std::string device;
  std::int32_t device_key = 0;
  bool enabled = false;
  std::vector<Sha256> tokens;
  std::string type = {};
};
struct ApiKeyFact {
  rpc::Caller caller;
  Sha256 sha256{};
  bool enabled = false;
  TimeUs expires_at_us = 0;  ///< 0: never
};

struct DeviceSlot;

/// The copy of the registry in memory. One thread changes it, any number read. No I/O, no clock.
///
/// Locks are never nested: an index (by token, by key) gives a handle under its own lock, the slot is then checked
/// again under the lock of its shard, so that a slot that changed in between is simply no match. Only the book of types
/// is asked under the lock of a shard: it takes no other.
class State {
 public:
  using OnRevocation = std::function<void(const Revocation&)>;

  explicit State(Types types = Types::kIgnore, Lists lists = Lists::kNone);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Changes: one thread.
  void on_revocation(OnRevocation callback) { on_revocation_ = std::move(callback); }
  void put(const TenantFact& fact);
  void put(const DeviceFact& fact);
  void put(const ApiKeyFact& fact);
  void remove_tenant(std::string_view tenant);
  void remove_device(std::string_view tenant, std::string_view device);
  void remove_api_key(std::string_view key_id);
  void note_device_key(std::int32_t device_key);
  void note_revision(std::int64_t revision);

  /// Limits have a book of their own, which knows nothing of who exists.
  [[nodiscard]] LimitBook& limits() { return limits_; }
  [[nodiscard]] const LimitBook& limits() const { return limits_; }

  /// So have credentials beyond plain tokens, authorities and policies; their changes are told like revocations.
  void put(std::string_view tenant, std::string_view device, DeviceGrantsPtr grants);
  void put(AuthorityPtr authority);
  void put(std::string_view tenant, TenantPolicyPtr policy);
  void remove_grants(std::string_view tenant, std::string_view device);
  void remove_authority(std::string_view tenant, std::string_view name);
  void remove_policy(std::string_view tenant);
  [[nodiscard]] const GrantBook& grants() const { return grants_; }

  /// And types, where they are kept at all.
  [[nodiscard]] bool keeps_types() const { return keeps_types_ == Types::kKeep; }
  /// Which type a device has, by name.
  [[nodiscard]] bool names_types() const { return keeps_types_ != Types::kIgnore; }
  [[nodiscard]] TypeBook& types() { return types_; }
  [[nodiscard]] const TypeBook& types() const { return types_; }

  [[nodiscard]] const DeviceLists& lists() const { return lists_; }

  [[nodiscard]] RetentionBook& retention() { return retention_; }
  [[nodiscard]] const RetentionBook& retention() const { return retention_; }

  /// Around a second reading from the beginning (the log was cut or replaced): what was not put between the two goes.
  void begin_reload();
  void end_reload();

  // Lookups: any thread.
  [[nodiscard]] std::optional<Device> find(std::string_view tenant, std::string_view device) const;
  [[nodiscard]] std::optional<Device> find_by_key(std::int32_t device_key) const;
  [[nodiscard]] std::optional<Device> find_by_token(const Sha256& token) const;
  /// With a token: nullopt unless it is one of the device's.
  [[nodiscard]] std::optional<Device> find_with_token(std::string_view tenant, std::string_view device,
                                                      const Sha256& token) const;
  /// Null for an unknown device and one without type, and while its type is not there.
  [[nodiscard]] DeviceTypePtr device_type(std::string_view tenant, std::string_view device) const;
  /// The last one in the order of the registry; none for an unknown device and one without token.
  [[nodiscard]] std::optional<Sha256> newest_token(std::string_view tenant, std::string_view device) const;
  /// The devices whose type one of the rules names, in the order of their keys; where names_types().
  [[nodiscard]] std::vector<RetainedDevice> devices_under(const std::vector<RetentionRule>& rules) const;
  [[nodiscard]] std::optional<ApiKeyFact> find_api_key(const Sha256& sha256) const;
  [[nodiscard]] bool tenant_enabled(std::string_view tenant) const;

  [[nodiscard]] std::int32_t highest_device_key() const { return highest_device_key_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t revision() const { return revision_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t devices() const { return devices_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t api_keys() const;
  [[nodiscard]] std::size_t tenants() const;

 private:
  static constexpr std::size_t kShards = 64;
  static constexpr std::uint32_t kShardBits = 6;

  /// Never removed, so that slots may point to it; a removed tenant is just not enabled.
  struct Tenant {
    std::string name;
    std::atomic<bool> enabled{false};
    bool known = false;  // an entry of its own was read (writer thread and `tenants_mutex_`)
    std::uint8_t generation = 0;
  };
  struct Shard;
  struct Index {
    mutable std::shared_mutex mutex;
    HandleTable table;
  };
  struct Name {
    std::uint32_t shard;
    std::uint32_t tag;
  };
  struct StoredKey {
    ApiKeyFact fact;
    std::uint8_t generation = 0;
  };
  friend struct DeviceSlot;

  static Name name_of(std::string_view tenant, std::string_view device);
  static std::uint32_t token_tag(const Sha256& token);
  Tenant& tenant_named(std::string_view name);
  void revoke(Revocation::Kind kind, std::string_view tenant, std::string_view device, std::int32_t device_key) const;
  void index_token(const Sha256& token, std::uint32_t handle);
  void unindex_token(const Sha256& token, std::uint32_t handle);
  void index_key(std::int32_t key, std::uint32_t handle);
  void unindex_key(std::int32_t key, std::uint32_t handle);
  void create(const Name& name, const DeviceFact& fact);
  void update(std::uint32_t handle, const DeviceFact& fact);
  void remove_slot(const Name& name, std::uint32_t handle);
  [[nodiscard]] std::uint32_t handle_of(const Name& name, std::string_view tenant, std::string_view device) const;
  /// The device behind a handle if `accept(slot)`.
  template <typename Accept>
  [[nodiscard]] std::optional<Device> device_at(std::uint32_t handle, Accept accept) const;
  template <typename Accept>
  [[nodiscard]] std::optional<Device> search(const Index& index, std::uint32_t tag, Accept accept) const;

  std::array<std::unique_ptr<Shard>, kShards> shards_;
  std::array<Index, kShards> by_token_;
  std::array<Index, kShards> by_key_;

  mutable std::shared_mutex tenants_mutex_;
  std::deque<Tenant> tenants_;
  std::map<std::string, Tenant*, std::less<>> tenant_by_name_;

  mutable std::shared_mutex keys_mutex_;
  std::map<Sha256, StoredKey> keys_;
  std::map<std::string, Sha256, std::less<>> key_by_id_;

  std::atomic<std::size_t> devices_{0};
  std::atomic<std::int32_t> highest_device_key_{0};
  std::atomic<std::int64_t> revision_{0};
  std::uint8_t generation_ = 0;
  LimitBook limits_;
  RetentionBook retention_;
  GrantBook grants_;
  const Types keeps_types_;
  TypeBook types_;
  DeviceLists lists_;
  OnRevocation on_revocation_;
};

}  // namespace millrace::registry_view
