#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <millrace/base/result.hpp>

#include "delivery/event.hpp"
#include "delivery/retry.hpp"

namespace millrace::notifier {

/// Where a URL points.
struct Target {
  bool tls = false;
  std::string host;  ///< name or number; an IPv6 number without brackets
  std::uint16_t port = 0;
  std::string path;  ///< with the query; never empty

  /// Value of the header Host (RFC 9110 section 7.2).
  [[nodiscard]] std::string authority() const;
  /// `https://host:port`: what a log may say. Path and query can hold a receiver's secret.
  [[nodiscard]] std::string origin() const;
};

/// `http://` or `https://`, host, optional port and path (RFC 3986). User names, fragments, blanks, control characters
/// and anything beyond ASCII are kInvalid.
[[nodiscard]] Result<Target> parse_url(std::string_view url);

/// A tenant's webhook.
struct Webhook {
  std::string url;
  std::string secret;
  Target target;
};

/// `t=<unix seconds>,v1=<hex HMAC-SHA256 over "<t>.<body>">` (FIPS 198-1), the value of Millrace-Signature.
[[nodiscard]] std::string sign(std::string_view secret, std::int64_t unix_seconds, std::string_view body);

/// One POST.
struct Outgoing {
  Target target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// The request for an event, signed at `unix_seconds`. `version` is for User-Agent.
[[nodiscard]] Outgoing make_request(const Event& event, const Webhook& webhook, std::int64_t unix_seconds,
                                    std::string_view version);

/// Sends requests; the port between deliveries and the network.
class Sender {
 public:
  virtual ~Sender() = default;
  using OnAnswer = std::function<void(Answer)>;

  /// Never blocks. `on_answer` comes once, on another thread, unless the sender is stopped before.
  virtual void send(Outgoing request, OnAnswer on_answer) = 0;
};

}  // namespace millrace::notifier
