#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

/// kInvalid unless it is http:// or https:// with a host, no user name, no fragment and no blanks; 2,048 bytes at most.
[[nodiscard]] Status check_webhook_url(const std::string& url);

/// Inside the caller's transaction. Draws a new secret each time.
[[nodiscard]] Result<v1::SetWebhookResponse> set_webhook(postgres::Connection& connection, const std::string& tenant,
                                                         const std::string& url);
[[nodiscard]] Result<v1::Webhook> get_webhook(postgres::Connection& connection, const std::string& tenant);
/// kNotFound where the tenant has none.
[[nodiscard]] Status delete_webhook(postgres::Connection& connection, const std::string& tenant);

}  // namespace millrace::registry
