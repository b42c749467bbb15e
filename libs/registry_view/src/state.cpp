#include "state.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

namespace millrace::registry_view {
namespace {

constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kMaxTokens = 255;

std::uint32_t word_of(const Sha256& digest, std::size_t at) {
  std::uint32_t word = 0;
  std::memcpy(&word, digest.data() + at, sizeof word);
  return word;
}

}  // namespace

/// 24 bytes and one block: the device id followed by its token digests and, where it has a type, the type's number.
struct DeviceSlot {
  std::unique_ptr<char[]> block;  // null: free
  const State::Tenant* tenant = nullptr;
  std::int32_t device_key = 0;
  std::uint8_t id_bytes = 0;
  std::uint8_t tokens = 0;
  bool enabled : 1 = false;
  bool typed : 1 = false;
  std::uint8_t generation = 0;

  [[nodiscard]] bool used() const { return block != nullptr; }
  [[nodiscard]] std::string_view id() const { return {block.get(), id_bytes}; }
  [[nodiscard]] Sha256 token(std::size_t index) const {
    Sha256 digest;
    std::memcpy(digest.data(), block.get() + id_bytes + index * kTokenBytes, kTokenBytes);
    return digest;
  }
  [[nodiscard]] bool has_token(const Sha256& wanted) const {
    for (std::size_t i = 0; i < tokens; ++i) {
      if (token(i) == wanted) return true;
    }
    return false;
  }
  [[nodiscard]] std::vector<Sha256> all_tokens() const {
    std::vector<Sha256> all;
    for (std::size_t i = 0; i < tokens; ++i) all.push_back(token(i));
    return all;
  }
  [[nodiscard]] bool is(std::string_view tenant_name, std::string_view device) const {
    return used() && id() == device && tenant->name == tenant_name;
  }
  [[nodiscard]] Device view() const {
    return {tenant->name, std::string(id()), device_key, enabled && tenant->enabled.load(std::memory_order_relaxed)};
  }
  [[nodiscard]] TypeBook::Number type() const {
    TypeBook::Number number = TypeBook::kNone;
    if (typed) std::memcpy(&number, block.get() + id_bytes + tokens * kTokenBytes, sizeof number);
    return number;
  }
  void fill(const State::Tenant& owner, const DeviceFact& fact, TypeBook::Number type, std::uint8_t generation_now) {
    tokens = static_cast<std::uint8_t>(std::min(fact.tokens.size(), kMaxTokens));
    id_bytes = static_cast<std::uint8_t>(fact.device.size());
    typed = type != TypeBook::kNone;
    const std::size_t type_at = id_bytes + tokens * kTokenBytes;
    block = std::make_unique_for_overwrite<char[]>(type_at + (typed ? sizeof type : 0));
    if (typed) std::memcpy(block.get() + type_at, &type, sizeof type);
    std::memcpy(block.get(), fact.device.data(), id_bytes);
    for (std::size_t i = 0; i < tokens; ++i) {
      std::memcpy(block.get() + id_bytes + i * kTokenBytes, fact.tokens[i].data(), kTokenBytes);
    }
    tenant = &owner;
    device_key = fact.device_key;
    enabled = fact.enabled;
    generation = generation_now;
  }
};
static_assert(sizeof(DeviceSlot) == 24);

struct State::Shard {
  mutable std::shared_mutex mutex;
  HandleTable table;             // name tag → index in slots
  std::deque<DeviceSlot> slots;  // grows in pieces: no moment with twice the memory
  std::vector<std::uint32_t> free;
};

State::State(Types types, Lists lists) : keeps_types_(types), lists_(lists) {
  for (auto& shard : shards_) shard = std::make_unique<Shard>();
}
State::~State() = default;

State::Name State::name_of(std::string_view tenant, std::string_view device) {
  const std::uint64_t hash = hash64(device, hash64(tenant));
  return {static_cast<std::uint32_t>(hash >> 58), static_cast<std::uint32_t>(hash)};
}

std::uint32_t State::token_tag(const Sha256& token) { return word_of(token, 4); }

State::Tenant& State::tenant_named(std::string_view name) {
  {
    const std::shared_lock lock(tenants_mutex_);
    const auto found = tenant_by_name_.find(name);
    if (found != tenant_by_name_.end()) return *found->second;
  }
  const std::unique_lock lock(tenants_mutex_);
  Tenant& tenant = tenants_.emplace_back();
  tenant.name = name;
  tenant_by_name_.emplace(std::string(name), &tenant);
  return tenant;
}

void State::revoke(Revocation::Kind kind, std::string_view tenant, std::string_view device,
                   std::int32_t device_key) const {
  if (on_revocation_) on_revocation_({kind, std::string(tenant), std::string(device), device_key});
}

void State::put(const TenantFact& fact) {
  Tenant& tenant = tenant_named(fact.tenant);
  {
    const std::unique_lock lock(tenants_mutex_);
    tenant.known = true;
    tenant.generation = generation_;
  }
  if (tenant.enabled.exchange(fact.enabled) && !fact.enabled) revoke(Revocation::Kind::kTenant, fact.tenant, "", 0);
}

void State::remove_tenant(std::string_view name) {
  Tenant& tenant = tenant_named(name);
  {
    const std::unique_lock lock(tenants_mutex_);
    tenant.known = false;
  }
  if (tenant.enabled.exchange(false)) revoke(Revocation::Kind::kTenant, name, "", 0);
}

std::uint32_t State::handle_of(const Name& name, std::string_view tenant, std::string_view device) const {
  const Shard& shard = *shards_[name.shard];
  const std::shared_lock lock(shard.mutex);
  const std::uint32_t index =
      shard.table.find(name.tag, [&](std::uint32_t at) { return shard.slots[at].is(tenant, device); });
  return index == HandleTable::kNoHandle ? index : (index << kShardBits) | name.shard;
}

void State::put(const DeviceFact& fact) {
  note_device_key(fact.device_key);
  const Name name = name_of(fact.tenant, fact.device);
  const std::uint32_t handle = handle_of(name, fact.tenant, fact.device);
  if (handle == HandleTable::kNoHandle) {
    create(name, fact);
  } else {
    update(handle, fact);
  }
}

void State::create(const Name& name, const DeviceFact& fact) {
  const Tenant& tenant = tenant_named(fact.tenant);
  const TypeBook::Number type = names_types() ? types_.hold(fact.tenant, fact.type) : TypeBook::kNone;
  Shard& shard = *shards_[name.shard];
  std::uint32_t index = 0;
  {
    const std::unique_lock lock(shard.mutex);
    if (shard.free.empty()) {
      index = static_cast<std::uint32_t>(shard.slots.size());
      shard.slots.emplace_back();
    } else {
      index = shard.free.back();
      shard.free.pop_back();
    }
    shard.slots[index].fill(tenant, fact, type, generation_);
    shard.table.insert(name.tag, index);
  }
  const std::uint32_t handle = (index << kShardBits) | name.shard;
  index_key(fact.device_key, handle);
  lists_.add(fact.tenant, fact.device_key);
  for (const Sha256& token : fact.tokens) index_token(token, handle);
  devices_.fetch_add(1, std::memory_order_relaxed);
}

void State::update(std::uint32_t handle, const DeviceFact& fact) {
  const Tenant& tenant = tenant_named(fact.tenant);
  const TypeBook::Number type = names_types() ? types_.hold(fact.tenant, fact.type) : TypeBook::kNone;
  TypeBook::Number old_type = TypeBook::kNone;
  Shard& shard = *shards_[handle % kShards];
  std::vector<Sha256> before;
  bool was_enabled = false;
  std::int32_t old_key = 0;
  {
    const std::unique_lock lock(shard.mutex);
    DeviceSlot& slot = shard.slots[handle >> kShardBits];
    before = slot.all_tokens();
    was_enabled = slot.enabled;
    old_key = slot.device_key;
    old_type = slot.type();
    slot.fill(tenant, fact, type, generation_);
  }
  types_.release(old_type);
  if (type != old_type) types_.changed();
  if (old_key != fact.device_key) {
    unindex_key(old_key, handle);
    index_key(fact.device_key, handle);
    lists_.remove(fact.tenant, old_key);
    lists_.add(fact.tenant, fact.device_key);
  }
  const auto holds = [](const std::vector<Sha256>& all, const Sha256& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  bool token_removed = false;
  for (const Sha256& token : before) {
    if (holds(fact.tokens, token)) continue;
    unindex_token(token, handle);
    token_removed = true;
  }
  for (const Sha256& token : fact.tokens) {
    if (!holds(before, token)) index_token(token, handle);
  }
  if (old_key != fact.device_key) return revoke(Revocation::Kind::kDeleted, fact.tenant, fact.device, old_key);
  if (was_enabled && !fact.enabled) return revoke(Revocation::Kind::kDisabled, fact.tenant, fact.device, old_key);
  if (token_removed) revoke(Revocation::Kind::kTokenRemoved, fact.tenant, fact.device, old_key);
}

void State::remove_device(std::string_view tenant, std::string_view device) {
  const Name name = name_of(tenant, device);
  const std::uint32_t handle = handle_of(name, tenant, device);
  if (handle != HandleTable::kNoHandle) remove_slot(name, handle);
}

void State::remove_slot(const Name& name, std::uint32_t handle) {
  Shard& shard = *shards_[name.shard];
  DeviceSlot gone;
  {
    const std::unique_lock lock(shard.mutex);
    const std::uint32_t index = handle >> kShardBits;
    std::swap(gone, shard.slots[index]);
    shard.table.erase(name.tag, index);
    shard.free.push_back(index);
  }
  types_.release(gone.type());
  unindex_key(gone.device_key, handle);
  lists_.remove(gone.tenant->name, gone.device_key);
  for (const Sha256& token : gone.all_tokens()) unindex_token(token, handle);
  devices_.fetch_sub(1, std::memory_order_relaxed);
  revoke(Revocation::Kind::kDeleted, gone.tenant->name, gone.id(), gone.device_key);
}

void State::index_token(const Sha256& token, std::uint32_t handle) {
  Index& index = by_token_[word_of(token, 0) % kShards];
  const std::unique_lock lock(index.mutex);
  index.table.insert(token_tag(token), handle);
}

void State::unindex_token(const Sha256& token, std::uint32_t handle) {
  Index& index = by_token_[word_of(token, 0) % kShards];
  const std::unique_lock lock(index.mutex);
  index.table.erase(token_tag(token), handle);
}

void State::index_key(std::int32_t key, std::uint32_t handle) {
  Index& index = by_key_[static_cast<std::uint32_t>(key) % kShards];
  const std::unique_lock lock(index.mutex);
  index.table.insert(static_cast<std::uint32_t>(key), handle);
}

void State::unindex_key(std::int32_t key, std::uint32_t handle) {
  Index& index = by_key_[static_cast<std::uint32_t>(key) % kShards];
  const std::unique_lock lock(index.mutex);
  index.table.erase(static_cast<std::uint32_t>(key), handle);
}

void State::put(const ApiKeyFact& fact) {
  const std::unique_lock lock(keys_mutex_);
  const auto known = key_by_id_.find(fact.caller.key_id);
  if (known != key_by_id_.end() && known->second != fact.sha256) keys_.erase(known->second);
  key_by_id_[fact.caller.key_id] = fact.sha256;
  keys_[fact.sha256] = {fact, generation_};
}

void State::remove_api_key(std::string_view key_id) {
  const std::unique_lock lock(keys_mutex_);
  const auto known = key_by_id_.find(key_id);
  if (known == key_by_id_.end()) return;
  keys_.erase(known->second);
  key_by_id_.erase(known);
}

void State::put(std::string_view tenant, std::string_view device, DeviceGrantsPtr grants) {
  grants_.put_device(tenant, device, std::move(grants));
  revoke(Revocation::Kind::kGrants, tenant, device, 0);
}

void State::put(AuthorityPtr authority) {
  const std::string tenant = authority->tenant;
  grants_.put_authority(std::move(authority));
  revoke(Revocation::Kind::kTenantGrants, tenant, "", 0);
}

void State::put(std::string_view tenant, TenantPolicyPtr policy) {
  grants_.put_policy(tenant, std::move(policy));
  revoke(Revocation::Kind::kTenantGrants, tenant, "", 0);
}

void State::remove_grants(std::string_view tenant, std::string_view device) {
  grants_.remove_device(tenant, device);
  revoke(Revocation::Kind::kGrants, tenant, device, 0);
}

void State::remove_authority(std::string_view tenant, std::string_view name) {
  grants_.remove_authority(tenant, name);
  revoke(Revocation::Kind::kTenantGrants, tenant, "", 0);
}

void State::remove_policy(std::string_view tenant) {
  grants_.remove_policy(tenant);
  revoke(Revocation::Kind::kTenantGrants, tenant, "", 0);
}

void State::note_device_key(std::int32_t device_key) {
  if (device_key > highest_device_key()) highest_device_key_.store(device_key, std::memory_order_relaxed);
}

void State::note_revision(std::int64_t revision) {
  if (revision > this->revision()) revision_.store(revision, std::memory_order_relaxed);
}

void State::begin_reload() {
  ++generation_;
  limits_.begin_reload();
  grants_.begin_reload();
  types_.begin_reload();
  retention_.begin_reload();
}

void State::end_reload() {
  limits_.end_reload();
  types_.end_reload();
  retention_.end_reload();
  for (const auto& [tenant, device] : grants_.end_reload()) {
    revoke(device.empty() ? Revocation::Kind::kTenantGrants : Revocation::Kind::kGrants, tenant, device, 0);
  }
  std::vector<std::pair<std::string, std::string>> stale;
  for (const auto& shard : shards_) {
    const std::shared_lock lock(shard->mutex);
    for (const DeviceSlot& slot : shard->slots) {
      if (slot.used() && slot.generation != generation_) stale.emplace_back(slot.tenant->name, std::string(slot.id()));
    }
  }
  for (const auto& [tenant, device] : stale) remove_device(tenant, device);

  std::vector<std::string> stale_keys;
  {
    const std::shared_lock lock(keys_mutex_);
    for (const auto& [sha256, key] : keys_) {
      if (key.generation != generation_) stale_keys.push_back(key.fact.caller.key_id);
    }
  }
  for (const std::string& key_id : stale_keys) remove_api_key(key_id);

  std::vector<std::string> stale_tenants;
  {
    const std::shared_lock lock(tenants_mutex_);
    for (const Tenant& tenant : tenants_) {
      if (tenant.known && tenant.generation != generation_) stale_tenants.push_back(tenant.name);
    }
  }
  for (const std::string& tenant : stale_tenants) remove_tenant(tenant);
}

template <typename Accept>
std::optional<Device> State::device_at(std::uint32_t handle, Accept accept) const {
  const Shard& shard = *shards_[handle % kShards];
  const std::shared_lock lock(shard.mutex);
  const DeviceSlot& slot = shard.slots[handle >> kShardBits];
  if (!slot.used() || !accept(slot)) return std::nullopt;
  return slot.view();
}

template <typename Accept>
std::optional<Device> State::search(const Index& index, std::uint32_t tag, Accept accept) const {
  // Equal tags are rare (32 random bits) and slots of other shards may not be locked in here: a few candidates are
  // enough.
  std::array<std::uint32_t, 8> candidates{};
  std::size_t count = 0;
  {
    const std::shared_lock lock(index.mutex);
    (void)index.table.find(tag, [&](std::uint32_t handle) {
      candidates[count++] = handle;
      return count == candidates.size();
    });
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (auto device = device_at(candidates[i], accept)) return device;
  }
  return std::nullopt;
}

std::optional<Device> State::find(std::string_view tenant, std::string_view device) const {
  const Name name = name_of(tenant, device);
  const Shard& shard = *shards_[name.shard];
  const std::shared_lock lock(shard.mutex);
  const std::uint32_t index =
      shard.table.find(name.tag, [&](std::uint32_t at) { return shard.slots[at].is(tenant, device); });
  if (index == HandleTable::kNoHandle) return std::nullopt;
  return shard.slots[index].view();
}

std::optional<Device> State::find_with_token(std::string_view tenant, std::string_view device,
                                             const Sha256& token) const {
  const Name name = name_of(tenant, device);
  const Shard& shard = *shards_[name.shard];
  const std::shared_lock lock(shard.mutex);
  const std::uint32_t index =
      shard.table.find(name.tag, [&](std::uint32_t at) { return shard.slots[at].is(tenant, device); });
  if (index == HandleTable::kNoHandle || !shard.slots[index].has_token(token)) return std::nullopt;
  return shard.slots[index].view();
}

DeviceTypePtr State::device_type(std::string_view tenant, std::string_view device) const {
  if (types_.empty()) return nullptr;
  const Name name = name_of(tenant, device);
  const Shard& shard = *shards_[name.shard];
  const std::shared_lock lock(shard.mutex);
  const std::uint32_t index =
      shard.table.find(name.tag, [&](std::uint32_t at) { return shard.slots[at].is(tenant, device); });
  return index == HandleTable::kNoHandle ? nullptr : types_.at(shard.slots[index].type());
}

std::vector<RetainedDevice> State::devices_under(const std::vector<RetentionRule>& rules) const {
  std::map<TypeBook::Number, std::int32_t> wanted;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].type.empty()) continue;
    const TypeBook::Number number = types_.find(rules[i].tenant, rules[i].type);
    if (number != TypeBook::kNone) wanted[number] = static_cast<std::int32_t>(i);
  }
  std::vector<RetainedDevice> devices;
  if (wanted.empty()) return devices;
  for (const auto& shard : shards_) {
    const std::shared_lock lock(shard->mutex);
    for (const DeviceSlot& slot : shard->slots) {
      if (!slot.used() || !slot.typed) continue;
      const auto found = wanted.find(slot.type());
      if (found != wanted.end()) devices.push_back({slot.device_key, found->second});
    }
  }
  std::sort(devices.begin(), devices.end(), [](const auto& a, const auto& b) { return a.device_key < b.device_key; });
  return devices;
}

std::optional<Sha256> State::newest_token(std::string_view tenant, std::string_view device) const {
  const Name name = name_of(tenant, device);
  const Shard& shard = *shards_[name.shard];
  const std::shared_lock lock(shard.mutex);
  const std::uint32_t index =
      shard.table.find(name.tag, [&](std::uint32_t at) { return shard.slots[at].is(tenant, device); });
  if (index == HandleTable::kNoHandle || shard.slots[index].tokens == 0) return std::nullopt;
  return shard.slots[index].token(shard.slots[index].tokens - 1U);
}

std::optional<Device> State::find_by_key(std::int32_t device_key) const {
  return search(by_key_[static_cast<std::uint32_t>(device_key) % kShards], static_cast<std::uint32_t>(device_key),
                [&](const DeviceSlot& slot) { return slot.device_key == device_key; });
}

std::optional<Device> State::find_by_token(const Sha256& token) const {
  return search(by_token_[word_of(token, 0) % kShards], token_tag(token),
                [&](const DeviceSlot& slot) { return slot.has_token(token); });
}

std::optional<ApiKeyFact> State::find_api_key(const Sha256& sha256) const {
  const std::shared_lock lock(keys_mutex_);
  const auto found = keys_.find(sha256);
  if (found == keys_.end()) return std::nullopt;
  return found->second.fact;
}

bool State::tenant_enabled(std::string_view tenant) const {
  const std::shared_lock lock(tenants_mutex_);
  const auto found = tenant_by_name_.find(tenant);
  return found != tenant_by_name_.end() && found->second->enabled.load(std::memory_order_relaxed);
}

std::size_t State::api_keys() const {
  const std::shared_lock lock(keys_mutex_);
  return keys_.size();
}

std::size_t State::tenants() const {
  const std::shared_lock lock(tenants_mutex_);
  return static_cast<std::size_t>(
      std::count_if(tenants_.begin(), tenants_.end(), [](const Tenant& tenant) { return tenant.known; }));
}

}  // namespace millrace::registry_view
