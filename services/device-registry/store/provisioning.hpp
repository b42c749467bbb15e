#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

/// Inside the caller's transaction: makes the device without a token, for `authority` as it was read before. A device
/// that is there by now is answered as it is (`existed`). kPrecondition where the authority has made as many as it may,
/// kConflict where it has been changed meanwhile.
[[nodiscard]] Result<v1::ProvisionDeviceResponse> provision_device(postgres::Connection& connection,
                                                                   const v1::AuthorityEntry& authority,
                                                                   const std::string& device);

}  // namespace millrace::registry
