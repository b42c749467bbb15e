#pragma once

#include <limits>
#include <optional>

#include "identity/credential_source.hpp"
#include "identity/identity.hpp"

namespace millrace::gateway {

inline constexpr TimeUs kForEver = std::numeric_limits<TimeUs>::max();

/// Until when the device may go on with what it has shown, by the registry as it is now; none: it may not any more.
/// Changes of the registry may bring the time forward or put it off.
[[nodiscard]] std::optional<TimeUs> valid_until(const CredentialSource& source, const Identity& identity, TimeUs now);

/// What an authority lets in: its certificate, and how a leaf names its device. Another one is another authority.
[[nodiscard]] Sha256 authority_digest(const registry_view::Authority& authority);

}  // namespace millrace::gateway
