#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/registry/v1/registry.pb.h>
#include <millrace/rpc/auth.hpp>

namespace millrace::registry {

/// Inside the caller's transaction. An empty tenant makes a key of the platform.
[[nodiscard]] Result<v1::CreateApiKeyResponse> create_api_key(postgres::Connection& connection,
                                                              const std::string& tenant, v1::Role role,
                                                              const std::string& description,
                                                              std::int64_t expires_at_us);
[[nodiscard]] Result<v1::ListApiKeysResponse> list_api_keys(postgres::Connection& connection, const std::string& tenant,
                                                            const std::string& after, int limit);
/// kNotFound also for a key of another tenant; an empty tenant (platform) may delete any.
[[nodiscard]] Status delete_api_key(postgres::Connection& connection, const std::string& tenant,
                                    const std::string& key_id);

/// Asks the database for each call: the registry is the one place that must know at once.
class DatabaseKeyVerifier final : public rpc::ApiKeyVerifier {
 public:
  explicit DatabaseKeyVerifier(postgres::Pool& pool) : pool_(pool) {}
  [[nodiscard]] Result<rpc::Caller> verify(const Sha256& key_sha256, TimeUs now) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace millrace::registry
