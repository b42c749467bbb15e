#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <coap3/coap.h>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

#include "coap/coap_ingest.hpp"

namespace millrace::gateway {

/// libcoap's C types in owners, and the translation between its messages and ours. Thread of the context only.

struct ContextDelete {
  void operator()(coap_context_t* context) const { coap_free_context(context); }
};
using ContextHandle = std::unique_ptr<coap_context_t, ContextDelete>;

/// Keeps a session alive while a message of it waits for its answer.
class SessionHandle {
 public:
  explicit SessionHandle(coap_session_t* session) : session_(coap_session_reference(session)) {}
  ~SessionHandle() { release(); }
  SessionHandle(SessionHandle&& other) noexcept : session_(std::exchange(other.session_, nullptr)) {}
  SessionHandle& operator=(SessionHandle&& other) noexcept {
    if (this != &other) {
      release();
      session_ = std::exchange(other.session_, nullptr);
    }
    return *this;
  }
  [[nodiscard]] coap_session_t* get() const { return session_; }

 private:
  void release() {
    if (session_ != nullptr) coap_session_release(session_);
  }
  coap_session_t* session_;
};

/// Brings the library up once for the process and its warnings and errors to our log. Nothing below a warning is let
/// through: the library's finer levels print messages and keys.
void start_libcoap();

/// kInvalid if it is no IP address.
[[nodiscard]] Result<coap_address_t> to_libcoap(const Address& address);

/// A DTLS session that is resumed proves no key: it would outlive the token that it began with. libcoap shows its
/// SSL_CTX through a session only, so this is for each one that has shaken hands and holds for all whose SSL is made
/// later; the one that libcoap has made in advance may still be resumed and is then nobody's (4.01).
void forbid_resumption(const coap_session_t* session);

/// Whether the path of a request is `v1/telemetry/…`, `v1/devices/{child}/telemetry` or below that.
[[nodiscard]] bool names_telemetry(const coap_pdu_t* pdu);

/// The parts of a request for one of these paths or `v1/telemetry`; views point into `pdu`. `security` is null without
/// DTLS.
[[nodiscard]] CoapRequest read_request(const coap_session_t* session, const coap_pdu_t* pdu,
                                       const CoapSecurity* security);

/// Puts code, options and payload into a message that has its token. False: no room.
[[nodiscard]] bool write_answer(const CoapAnswer& answer, coap_pdu_t* pdu);

}  // namespace millrace::gateway
