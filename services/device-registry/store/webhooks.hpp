#pragma once

#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

inline constexpr std::size_t kMaxUrlBytes = 2'048;

/// kInvalid unless it is `http://` or `https://`, a host, and optionally a port, path and query (RFC 3986): what the
/// notifier can send to. User names, fragments, blanks, control characters and anything beyond ASCII are refused.
[[nodiscard]] Status check_webhook_url(std::string_view url);

/// Inside the caller's transaction. Draws a new secret each time.
[[nodiscard]] Result<v1::SetWebhookResponse> set_webhook(postgres::Connection& connection, const std::string& tenant,
                                                         const std::string& url);
[[nodiscard]] Result<v1::Webhook> get_webhook(postgres::Connection& connection, const std::string& tenant);
/// kNotFound where the tenant has none.
[[nodiscard]] Status delete_webhook(postgres::Connection& connection, const std::string& tenant);

}  // namespace millrace::registry
