#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

// Each function runs inside the caller's transaction (reads need none) and blocks as Connection does.

inline constexpr int kMostCredentials = 32;

struct NewCredential {
  v1::CredentialKind kind = v1::CREDENTIAL_KIND_UNSPECIFIED;
  std::string sha256 = {};  ///< of the token, or of the certificate's DER form
  std::string phc = {};     ///< of the password
  TimeUs not_before_us = 0;
  TimeUs not_after_us = 0;
};

/// kInvalid names the field, `where` before it, unless the window is open at both or one end (0), or ends after its
/// begin and after `now`.
[[nodiscard]] Status check_window(const std::string& where, TimeUs not_before_us, TimeUs not_after_us, TimeUs now);

/// kThrottled at kMostCredentials, kAlreadyExists where the device has this token or certificate already, kConflict
/// where the token is another device's.
[[nodiscard]] Result<v1::CredentialInfo> add_credential(postgres::Connection& connection, const std::string& tenant,
                                                        const std::string& device, const NewCredential& credential);

/// Plain tokens, too. kInvalid for what is no id, kNotFound for one that the device does not have.
[[nodiscard]] Status remove_credential(postgres::Connection& connection, const std::string& tenant,
                                       const std::string& device, const std::string& credential_id);

/// Plain tokens first, then the others in the order of their making.
[[nodiscard]] Result<v1::ListCredentialsResponse> list_credentials(postgres::Connection& connection,
                                                                   const std::string& tenant,
                                                                   const std::string& device);

}  // namespace millrace::registry
