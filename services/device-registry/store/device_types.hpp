#pragma once

#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

inline constexpr int kMostTypes = 256;  ///< of a tenant

/// kInvalid unless it is empty or a name that a type can have.
[[nodiscard]] Status check_type_name(const std::string& type);

/// Builds its descriptor, if it has one: some milliseconds for a large one. kInvalid names the field and what in it
/// cannot be used. The answer is what there is to say of it, with zero_is_absent.
[[nodiscard]] Result<v1::DeviceType> check_type(const v1::DeviceTypeEntry& type);

// Each function runs inside the caller's transaction (reads need none) and blocks as Connection does.

/// Makes the type or replaces it. kNotFound: no such tenant; kThrottled at kMostTypes.
[[nodiscard]] Status set_type(postgres::Connection& connection, const v1::DeviceTypeEntry& type);
[[nodiscard]] Result<v1::DeviceTypeEntry> get_type(postgres::Connection& connection, const std::string& tenant,
                                                   const std::string& type);
[[nodiscard]] Result<v1::ListDeviceTypesResponse> list_types(postgres::Connection& connection,
                                                             const std::string& tenant);
/// kPrecondition while devices have it.
[[nodiscard]] Status delete_type(postgres::Connection& connection, const std::string& tenant, const std::string& type);
/// All of them, before the tenant is deleted; after its devices are.
[[nodiscard]] Status delete_types_of(postgres::Connection& connection, const std::string& tenant);

/// Empty: none. kNotFound: no such device or type.
[[nodiscard]] Result<v1::Device> set_type_of_device(postgres::Connection& connection, const std::string& tenant,
                                                    const std::string& device, const std::string& type);

}  // namespace millrace::registry
