#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "identity/identity.hpp"
#include "ingest/metric_names.hpp"

namespace millrace::gateway {

/// The identity of `child`, of the tenant of `parent`, which speaks for it: its messages are the child's, under the
/// parent's proof. Null: there is none, or it is disabled.
[[nodiscard]] std::shared_ptr<const Identity> child_identity(const registry_view::RegistryView& registry,
                                                             const Identity& parent, std::string_view child);

/// Whose message it is that `sender` sends for `device`: its own where that is empty or itself, else that of a child.
/// Null: it may not (kNotSpokenFor).
[[nodiscard]] std::shared_ptr<const Identity> speaks_as(const registry_view::RegistryView& registry,
                                                        const std::shared_ptr<const Identity>& sender,
                                                        std::string_view device);
inline constexpr std::string_view kNotSpokenFor = "the device is no gateway of it, or there is none, or it is disabled";

/// The children that one connection has spoken for, so that each keeps what it is held to. One thread at a time.
class Children {
 public:
  /// As child_identity(), by the registry as it is now.
  [[nodiscard]] std::shared_ptr<const Identity> find(const registry_view::RegistryView& registry,
                                                     const Identity& parent, std::string_view child);

 private:
  static constexpr std::size_t kMost = 1024;

  std::unordered_map<std::string, std::shared_ptr<const Identity>, StringHash, std::equal_to<>> known_;
};

}  // namespace millrace::gateway
