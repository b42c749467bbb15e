#include <algorithm>
#include <cctype>

#include <millrace/base/ids.hpp>
#include <millrace/rpc/auth.hpp>

namespace millrace::rpc {
namespace {

constexpr std::size_t kMaxKeyBytes = 256;

Error no_key() {
  return {ErrorKind::kUnauthenticated, "send your API key as metadata `authorization: Bearer mk_<id>_<secret>`"};
}

bool is_bearer(std::string_view scheme) {
  constexpr std::string_view kScheme = "bearer ";
  return scheme.size() == kScheme.size() && std::equal(scheme.begin(), scheme.end(), kScheme.begin(),
                                                       [](unsigned char a, char b) { return std::tolower(a) == b; });
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "none";
}

Result<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    if (text == to_string(role)) return role;
  }
  return Error{ErrorKind::kInvalid, "a role is viewer, operator or admin"};
}

Result<Sha256> bearer_key_sha256(std::string_view authorization) {
  constexpr std::size_t kSchemeBytes = 7;
  if (authorization.size() < kSchemeBytes || !is_bearer(authorization.substr(0, kSchemeBytes))) return no_key();
  authorization.remove_prefix(kSchemeBytes);
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  if (!authorization.starts_with("mk_") || authorization.size() > kMaxKeyBytes) return no_key();
  return sha256(authorization);
}

Status require_role(const Caller& caller, Role least) {
  if (static_cast<int>(caller.role) >= static_cast<int>(least)) return {};
  return Error{ErrorKind::kForbidden, "this needs the role " + std::string(to_string(least)) + "; your key " +
                                          caller.key_id + " has " + std::string(to_string(caller.role))};
}

Status require_platform_admin(const Caller& caller) {
  if (caller.is_platform() && caller.role == Role::kAdmin) return {};
  return Error{ErrorKind::kForbidden,
               "this needs an admin key of the platform; your key " + caller.key_id + " is " +
                   std::string(to_string(caller.role)) +
                   (caller.is_platform() ? std::string(" of the platform") : " of tenant " + caller.tenant)};
}

Result<std::string> tenant_of(const Caller& caller, std::string_view asked) {
  if (asked.empty()) {
    if (caller.is_platform()) return Error{ErrorKind::kInvalid, "name the tenant: your key is one of the platform"};
    return caller.tenant;
  }
  if (!caller.is_platform() && asked != caller.tenant) {
    return Error{ErrorKind::kForbidden, "your key belongs to tenant " + caller.tenant};
  }
  if (const Status valid = check_id("tenant id", asked); !valid.ok()) return valid.error();
  return std::string(asked);
}

}  // namespace millrace::rpc
