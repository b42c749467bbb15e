#pragma once

#include "load/http_answer.hpp"
#include "load/tcp_link.hpp"

namespace millrace::fleet {

/// An HTTP/1.1 client on a kept connection, one request at a time. A message keeps its Idempotency-Key until it is
/// answered for good: 503 and 429 are sent again after Retry-After, 504 and lost connections after the back-off.
class HttpLink : public TcpLink {
 public:
  HttpLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
           const std::string& tenant, const std::string& host);

  std::size_t in_flight() const override { return busy_ ? 1 : 0; }

 protected:
  void on_open() override;
  bool on_bytes(std::string_view& input) override;
  void on_lost() override;
  void pump() override;
  bool alive() override;

 private:
  bool on_answer(const HttpAnswer& answer);
  void again_after(std::int64_t ms);

  std::string head_;  // everything before the message id
  std::string payload_;
  Message current_;
  bool busy_ = false;   // current_ has no final answer yet
  bool sent_ = false;   // current_ was on a wire before
  bool asked_ = false;  // current_ is on this connection's wire
  std::int64_t not_before_ns_ = 0;
  Backoff again_{std::chrono::milliseconds(100), std::chrono::milliseconds(3000)};
};

}  // namespace millrace::fleet
