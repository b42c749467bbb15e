// One thread's links: their epoll, their context, and which of them have something to flush.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include <netinet/in.h>

#include "load/link.hpp"
#include "load/load_base.hpp"

namespace millrace::fleet {

class CoapClient;

class LinkLoop {
 public:
  LinkLoop(const LoadOptions& options, const Readings& readings, Outcome& outcome);
  ~LinkLoop();
  LinkLoop(const LinkLoop&) = delete;
  LinkLoop& operator=(const LinkLoop&) = delete;

  [[nodiscard]] Status open();
  /// A link in the device's protocol; it must go before the loop. kInvalid: the address cannot be resolved. Each
  /// address is resolved once.
  [[nodiscard]] Result<std::unique_ptr<Link>> make_link(std::size_t index, const Device& device);
  /// Waits for events and gives them to their links.
  void poll(int timeout_ms);
  /// To be flushed with the next flush_marked(), until which it must live.
  void mark(Link& link);
  void flush_marked();
  /// No link is given more messages.
  void finish() { context_.finishing = true; }
  /// Steady clock, as of the last poll().
  [[nodiscard]] std::int64_t now_ns() const { return context_.now_ns; }

 private:
  Result<sockaddr_in> server_of(Protocol protocol);
  Result<CoapClient*> coap_client();

  LoadOptions options_;
  LinkContext context_;
  std::map<Protocol, sockaddr_in> servers_;
  std::unique_ptr<CoapClient> coap_;  // where a device speaks CoAP
  std::vector<Link*> marked_;
};

/// CPU that this thread has used.
[[nodiscard]] double thread_cpu_us();

}  // namespace millrace::fleet
