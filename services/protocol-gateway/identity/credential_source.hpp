#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <millrace/registry_view/registry_view.hpp>

namespace millrace::gateway {

/// Where it stands who may show what: the registry's copy, or a test. Thread-safe, never blocks.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// False: who is not known may still be.
  [[nodiscard]] virtual bool ready() const = 0;
  [[nodiscard]] virtual std::optional<registry_view::Device> find(std::string_view tenant,
                                                                  std::string_view device) const = 0;
  /// By one of its plain tokens; of the named device alone unless both names are empty.
  [[nodiscard]] virtual std::optional<registry_view::Device> find_with_token(std::string_view tenant,
                                                                             std::string_view device,
                                                                             const Sha256& token) const = 0;
  // As in RegistryView:
  [[nodiscard]] virtual registry_view::DeviceGrantsPtr grants(std::string_view tenant,
                                                              std::string_view device) const = 0;
  [[nodiscard]] virtual std::vector<registry_view::Holder> holders(const Sha256& digest,
                                                                   registry_view::CredentialKind kind) const = 0;
  [[nodiscard]] virtual registry_view::AuthorityPtr authority(std::string_view tenant, std::string_view name) const = 0;
  [[nodiscard]] virtual std::vector<registry_view::AuthorityPtr> authorities(std::string_view tenant,
                                                                             std::string_view subject) const = 0;
};

/// The registry's copy, which must outlive it.
class RegistryCredentials final : public CredentialSource {
 public:
  explicit RegistryCredentials(const registry_view::RegistryView& view) : view_(view) {}
  [[nodiscard]] bool ready() const override { return view_.ready(); }
  [[nodiscard]] std::optional<registry_view::Device> find(std::string_view tenant,
                                                          std::string_view device) const override {
    return view_.find(tenant, device);
  }
  [[nodiscard]] std::optional<registry_view::Device> find_with_token(std::string_view tenant, std::string_view device,
                                                                     const Sha256& token) const override {
    if (tenant.empty()) return view_.find_by_token(token);
    return view_.is_valid(tenant, device, token) ? view_.find(tenant, device) : std::nullopt;
  }
  [[nodiscard]] registry_view::DeviceGrantsPtr grants(std::string_view tenant, std::string_view device) const override {
    return view_.grants(tenant, device);
  }
  [[nodiscard]] std::vector<registry_view::Holder> holders(const Sha256& digest,
                                                           registry_view::CredentialKind kind) const override {
    return view_.holders(digest, kind);
  }
  [[nodiscard]] registry_view::AuthorityPtr authority(std::string_view tenant, std::string_view name) const override {
    return view_.authority(tenant, name);
  }
  [[nodiscard]] std::vector<registry_view::AuthorityPtr> authorities(std::string_view tenant,
                                                                     std::string_view subject) const override {
    return view_.authorities(tenant, subject);
  }

 private:
  const registry_view::RegistryView& view_;
};

}  // namespace millrace::gateway
