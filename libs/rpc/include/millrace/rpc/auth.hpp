#pragma once

#include <string>
#include <string_view>

#include <millrace/base/digest.hpp>
#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::rpc {

/// What an API key may do; each includes the ones before it.
enum class Role { kViewer = 1, kOperator = 2, kAdmin = 3 };

/// `viewer`, `operator`, `admin`.
[[nodiscard]] std::string_view to_string(Role role);
/// kInvalid on anything else.
[[nodiscard]] Result<Role> parse_role(std::string_view text);

/// Who calls: what the API key says.
struct Caller {
  std::string key_id;  ///< public part of the key; fit for logs
  std::string tenant;  ///< empty: a key of the platform, for all tenants
  Role role = Role::kViewer;

  [[nodiscard]] bool is_platform() const { return tenant.empty(); }
};

/// Port: what is known about an API key. Implementations are thread-safe.
class ApiKeyVerifier {
 public:
  virtual ~ApiKeyVerifier() = default;

  /// The caller behind the SHA-256 of a whole key text. kUnauthenticated for an unknown, disabled or expired key,
  /// kUnavailable while it cannot be told. May block; unary calls make it on the worker pool.
  [[nodiscard]] virtual Result<Caller> verify(const Sha256& key_sha256, TimeUs now) = 0;
};

/// SHA-256 of the key in the value of the metadata `authorization`: `Bearer mk_<id>_<secret>` (the scheme in any case,
/// RFC 9110 section 11.1). kUnauthenticated says which form is expected, never what was given.
[[nodiscard]] Result<Sha256> bearer_key_sha256(std::string_view authorization);

/// kForbidden unless the caller's role includes `least`.
[[nodiscard]] Status require_role(const Caller& caller, Role least);

/// kForbidden unless the caller is an admin of the platform.
[[nodiscard]] Status require_platform_admin(const Caller& caller);

/// The tenant a request is about: `asked`, or the caller's own if that is empty. kForbidden for another tenant than the
/// caller's (platform callers may name any), kInvalid for a bad id or if a platform caller names none.
[[nodiscard]] Result<std::string> tenant_of(const Caller& caller, std::string_view asked);

}  // namespace millrace::rpc
