#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/digest.hpp>
#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/registry_view/device_type.hpp>
#include <millrace/registry_view/grants.hpp>
#include <millrace/registry_view/limits.hpp>
#include <millrace/registry_view/retention.hpp>
#include <millrace/rpc/auth.hpp>

namespace millrace::registry_view {

struct Device {
  std::string tenant;
  std::string device;
  std::int32_t device_key = 0;
  bool enabled = false;  ///< the device and its tenant
};

/// Something that was valid is not any more, or may not be.
struct Revocation {
  enum class Kind {
    kDeleted,       ///< the device is gone (or was created anew with another key)
    kDisabled,      ///< the device is disabled
    kTokenRemoved,  ///< at least one token is not valid any more; is_valid() tells which
    kTenant,        ///< the tenant is disabled or gone: all of its devices; `device` is empty
    // Something is other than it was, perhaps less:
    kGrants,        ///< of the device
    kTenantGrants,  ///< an authority or the policy of the tenant; `device` is empty
  };
  Kind kind = Kind::kDeleted;
  std::string tenant;
  std::string device;
  std::int32_t device_key = 0;  ///< 0 for kTenant, kGrants and kTenantGrants
};

/// Whether types of devices are kept: their descriptors are built and cost memory, and only who decodes needs them. Who
/// asks for retention_plan() needs to know by name which type a device has: 4 bytes for each.
enum class Types : std::uint8_t { kIgnore, kNames, kKeep };

/// Whether the devices of a tenant can be listed: about 50 bytes of memory each, and only who reads needs it.
enum class Lists : std::uint8_t { kNone, kKeep };

struct Options {
  kafka::Settings kafka;
  std::string topic = "millrace.registry";
  Types types = Types::kIgnore;
  Lists lists = Lists::kNone;
};

/// The copy and its reader. Lookups are thread-safe, never wait for I/O and cost about a microsecond; they answer from
/// what was read so far, before ready() too.
class RegistryView final : public rpc::ApiKeyVerifier {
 public:
  /// `metrics` must outlive it:
  /// millrace_registry_view_{devices,granted_devices,authorities,api_keys,tenants,ready,revision,entries_total,
  /// invalid_total}.
  RegistryView(const Options& options, observability::Metrics& metrics);
  ~RegistryView() override;  ///< stop()
  RegistryView(const RegistryView&) = delete;
  RegistryView& operator=(const RegistryView&) = delete;

  /// Called on the reader's thread for each revocation, after lookups already tell the new state; must not block.
  /// Before start().
  void on_revocation(std::function<void(const Revocation&)> callback);

  /// Starts the reader's thread and returns; a broker that is away is tried until stop().
  void start();

  /// Ends the reader; the copy stays. Waits at most about a second.
  void stop();

  /// True once the topic was read to the end seen at the start; stays true (an old copy is better than none).
  [[nodiscard]] bool ready() const;

  /// Whether Kafka is there, so that changes are seen within a second.
  [[nodiscard]] bool connected() const;

  /// One sentence for /readyz: how much is known, and whether Kafka is there.
  [[nodiscard]] std::string detail() const;

  [[nodiscard]] std::optional<Device> find(std::string_view tenant, std::string_view device) const;
  /// Blocks until the device is known, at most until the deadline or until `stop` is requested; whether it is known.
  [[nodiscard]] bool wait_for(std::string_view tenant, std::string_view device,
                              std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) const;
  [[nodiscard]] std::optional<Device> find_by_key(std::int32_t device_key) const;
  [[nodiscard]] std::optional<Device> find_by_token(const Sha256& token_sha256) const;
  /// Keys of the tenant's devices greater than `after`, ascending, at most `most`; with Lists::kKeep.
  [[nodiscard]] std::vector<std::int32_t> device_keys(std::string_view tenant, std::int32_t after,
                                                      std::size_t most) const;

  /// The token that was added last to an enabled device: what its pre-shared key is made of (base/psk.hpp). None for an
  /// unknown or disabled device and for one without token.
  [[nodiscard]] std::optional<Sha256> newest_token(std::string_view tenant, std::string_view device) const;

  /// Whether a session that was let in with this token may go on.
  [[nodiscard]] bool is_valid(std::string_view tenant, std::string_view device, const Sha256& token_sha256) const;

  [[nodiscard]] bool tenant_enabled(std::string_view tenant) const;

  /// The limits as they are now; of devices and tenants that are not known, too.
  [[nodiscard]] LimitsOf limits(std::string_view tenant, std::string_view device) const;
  /// Another number after each change of any limits, never 0: who keeps an answer of limits() asks again when it has
  /// moved. Costs one load.
  [[nodiscard]] std::uint64_t limits_generation() const;

  /// The type of a device as it is now, with Types::kKeep; null: none.
  [[nodiscard]] DeviceTypePtr device_type(std::string_view tenant, std::string_view device) const;
  /// Another number after each change of any type, and when a device gets another one, never 0: who keeps an answer of
  /// device_type() asks again when it has moved. Costs one load.
  [[nodiscard]] std::uint64_t types_generation() const;

  /// For how long points are kept, of one tenant or of all (empty).
  [[nodiscard]] std::vector<RetentionRule> retention_rules(std::string_view tenant) const;
  /// The rules with the devices that they concern by type, with Types::kNames or kKeep. Looks at every device: some
  /// milliseconds for 100,000.
  [[nodiscard]] RetentionPlan retention_plan(std::vector<RetentionRule> rules) const;

  // Whatever goes beyond plain tokens, as it is now, whether or not the device or tenant is known and enabled.

  /// Of one device; null: nothing.
  [[nodiscard]] DeviceGrantsPtr grants(std::string_view tenant, std::string_view device) const;
  /// The devices that have this token or certificate among their credentials, at most eight; windows are for the
  /// caller to look at.
  [[nodiscard]] std::vector<Holder> holders(const Sha256& digest, CredentialKind kind) const;
  /// Null: none.
  [[nodiscard]] AuthorityPtr authority(std::string_view tenant, std::string_view name) const;
  /// Those whose certificate has this subject (Certificate::subject()); of all tenants if `tenant` is empty.
  [[nodiscard]] std::vector<AuthorityPtr> authorities(std::string_view tenant, std::string_view subject) const;
  /// Null: none.
  [[nodiscard]] TenantPolicyPtr policy(std::string_view tenant) const;
  /// Another number after each change of any of these, never 0. Costs one load.
  [[nodiscard]] std::uint64_t grants_generation() const;

  /// rpc::ApiKeyVerifier: kUnavailable before ready(), then kUnauthenticated for an unknown, disabled or expired key or
  /// a key of a disabled tenant. Does not block.
  [[nodiscard]] Result<rpc::Caller> verify(const Sha256& key_sha256, TimeUs now) override;

  /// The greatest integer device key that the topic has ever named, of deleted devices too; 0: none.
  [[nodiscard]] std::int32_t highest_device_key() const;

  /// Greatest revision read; 0: none.
  [[nodiscard]] std::int64_t revision() const;

  [[nodiscard]] std::size_t devices() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::registry_view
