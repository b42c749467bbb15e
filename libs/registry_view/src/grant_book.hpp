#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <millrace/registry_view/grants.hpp>

namespace millrace::registry_view {

/// Credentials, children and topics of those devices that have some, authorities and policies of tenants. Devices
/// without cost nothing; who exists and who is enabled stands elsewhere. One thread changes it, any number read.
class GrantBook {
 public:
  /// At most so many holders of one digest are given.
  static constexpr std::size_t kMostHolders = 8;

  GrantBook() = default;
  GrantBook(const GrantBook&) = delete;
  GrantBook& operator=(const GrantBook&) = delete;

  void put_device(std::string_view tenant, std::string_view device, DeviceGrantsPtr grants);
  void put_authority(AuthorityPtr authority);
  void put_policy(std::string_view tenant, TenantPolicyPtr policy);
  void remove_device(std::string_view tenant, std::string_view device);
  void remove_authority(std::string_view tenant, std::string_view name);
  void remove_policy(std::string_view tenant);

  /// Whom a change concerns; no device: all of the tenant.
  struct Changed {
    std::string tenant;
    std::string device;
  };
  /// Around a second reading from the beginning: what was not put between the two goes, and is given back.
  void begin_reload() { ++reload_; }
  std::vector<Changed> end_reload();

  [[nodiscard]] DeviceGrantsPtr grants(std::string_view tenant, std::string_view device) const;
  [[nodiscard]] TenantPolicyPtr policy(std::string_view tenant) const;
  [[nodiscard]] AuthorityPtr authority(std::string_view tenant, std::string_view name) const;
  /// Those whose certificate has this subject; of all tenants if `tenant` is empty.
  [[nodiscard]] std::vector<AuthorityPtr> authorities(std::string_view tenant, std::string_view subject) const;
  /// Of tokens and certificates.
  [[nodiscard]] std::vector<Holder> holders(const Sha256& digest, CredentialKind kind) const;

  /// Another number after each change, never 0.
  [[nodiscard]] std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t devices() const { return devices_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t authorities() const { return authorities_.load(std::memory_order_relaxed); }

 private:
  struct Own {
    DeviceGrantsPtr grants;
    std::uint8_t reload = 0;
  };
  struct Known {
    AuthorityPtr authority;
    std::uint8_t reload = 0;
  };
  struct Tenant {
    std::map<std::string, Own, std::less<>> devices;
    std::map<std::string, Known, std::less<>> authorities;
    TenantPolicyPtr policy;
    std::uint8_t reload = 0;  // of the policy

    [[nodiscard]] bool empty() const { return devices.empty() && authorities.empty() && !policy; }
  };
  using Tenants = std::map<std::string, Tenant, std::less<>>;
  using Devices = std::map<std::string, Own, std::less<>>;
  struct Place {
    Tenants::const_pointer tenant;
    Devices::const_pointer device;
  };
  struct FirstBytes {
    std::size_t operator()(const Sha256& digest) const {
      std::size_t hash = 0;
      std::memcpy(&hash, digest.data(), sizeof hash);
      return hash;
    }
  };

  Tenants::iterator tenant(std::string_view name);
  void index(const Tenants::value_type& tenant, const Devices::value_type& device);
  void unindex(const Devices::value_type& device);
  void unindex(const AuthorityPtr& authority);
  void drop_if_empty(Tenants::iterator tenant);
  void changed();

  mutable std::shared_mutex mutex_;
  Tenants tenants_;
  std::unordered_multimap<Sha256, Place, FirstBytes> by_digest_;
  std::multimap<std::string, AuthorityPtr, std::less<>> by_subject_;
  std::atomic<std::uint64_t> generation_{1};
  std::atomic<std::size_t> devices_{0};
  std::atomic<std::size_t> authorities_{0};
  std::uint8_t reload_ = 0;
};

}  // namespace millrace::registry_view
