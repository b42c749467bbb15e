#pragma once

#include <memory>

#include <millrace/base/backoff.hpp>

#include "load/coap_client.hpp"
#include "load/link.hpp"

namespace millrace::fleet {

/// A CoAP client, with or without DTLS: one confirmable POST at a time (NSTART 1), retransmitted by libcoap. What has
/// no answer for good is sent again as a new message with the same explicit id `mid`: 5.03 and 4.29 after Max-Age, 5.04
/// and silence after the back-off; over DTLS silence also ends the session, which the gateway may have forgotten.
class CoapLink : public Link, private CoapListener {
 public:
  CoapLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
           const std::string& tenant, CoapClient& client);
  ~CoapLink() override;

  void on_ready(std::uint32_t /*events*/) override {}  // the client's descriptor is watched, for all links
  void flush() override;
  void on_tick() override;
  void close_politely() override { session_.reset(); }
  [[nodiscard]] std::size_t in_flight() const override { return busy_ ? 1 : 0; }
  [[nodiscard]] bool up() const override { return up_; }

 private:
  void on_response(const CoapResponse& response) override;
  void on_secured() override { set_up(); }
  void on_failed() override { failed_ = true; }  // acted upon later: libcoap is in the middle of the session

  void connect();
  void set_up();
  void lose();
  void again_after(std::int64_t ms);
  void settle(const CoapResponse& response);

  CoapClient& client_;
  sockaddr_in server_;
  std::string name_;  // device@tenant
  std::unique_ptr<CoapClient::Session> session_;
  Message current_;
  bool busy_ = false;   // current_ has no final answer yet
  bool sent_ = false;   // current_ was on a wire before
  bool asked_ = false;  // current_ waits for its answer
  bool up_ = false;
  bool failed_ = false;
  std::uint32_t token_ = 0;
  std::int64_t asked_ns_ = 0;
  std::int64_t connect_by_ns_ = 0;
  std::int64_t not_before_ns_ = 0;
  Backoff again_{std::chrono::milliseconds(100), std::chrono::milliseconds(3000)};
};

}  // namespace millrace::fleet
