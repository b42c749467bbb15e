#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <millrace/tls/session.hpp>

#include "certificates.hpp"
#include "client_impl.hpp"
#include "peer_chain.hpp"
#include "session_tickets.hpp"

namespace millrace::tls {
namespace {

int on_new_ticket(SSL* ssl, SSL_SESSION* session) {
  auto* newest = static_cast<Ticket*>(SSL_get_app_data(ssl));
  if (newest == nullptr) return 0;
  *newest = Ticket(session, SSL_SESSION_free);
  return 1;  // it is ours now
}

bool is_number(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

// RFC 6066 section 3: SNI is for names only.
bool expect_server(SSL* ssl, const std::string& server_name) {
  if (is_number(server_name)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name.c_str()) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  // What the macro SSL_set_tlsext_host_name() does, without its cast; the name is copied.
  return SSL_set1_host(ssl, server_name.c_str()) == 1 &&
         SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                  const_cast<char*>(server_name.c_str())) == 1;
}

}  // namespace

void keep_tickets(SSL_CTX& context) {
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(&context, on_new_ticket);
}

// A connection that broke says nothing against resuming its session; OpenSSL would take the ticket for spoilt.
void Session::Free::operator()(ssl_st* ssl) const {
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
}

Session::Session(ssl_st* ssl) : ssl_(ssl) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Result<Session> Session::accept(int descriptor, const ServerContext& context) {
  auto certificates = context.certificates();
  Session session(SSL_new(certificates->contexts.front().get()));
  if (!session.ssl_ || !attach_socket(*session.ssl_, descriptor)) {
    return Error{ErrorKind::kInternal, "TLS cannot be set up: " + take_error()};
  }
  session.certificates_ = std::move(certificates);
  SSL_set_accept_state(session.ssl_.get());
  return session;
}

Result<Session> Session::connect(int descriptor, const ClientContext& context, const std::string& server_name,
                                 const Ticket& ticket) {
  Session session(SSL_new(context.impl().context.get()));
  if (!session.ssl_ || !attach_socket(*session.ssl_, descriptor) || !expect_server(session.ssl_.get(), server_name)) {
    return Error{ErrorKind::kInternal, "TLS cannot be set up: " + take_error()};
  }
  session.tickets_ = std::make_unique<Tickets>();
  SSL_set_app_data(session.ssl_.get(), &session.tickets_->newest);
  if (ticket) SSL_set_session(session.ssl_.get(), ticket.get());
  SSL_set_connect_state(session.ssl_.get());
  return session;
}

Step Session::step(int result, std::size_t bytes) {
  if (result > 0) return {Step::Kind::kDone, bytes};
  const int number = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {Step::Kind::kWantRead, 0};
    case SSL_ERROR_WANT_WRITE:
      return {Step::Kind::kWantWrite, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {Step::Kind::kEnd, 0};
    case SSL_ERROR_SYSCALL:
      fault_ = number == 0 ? "the peer has gone" : std::strerror(number);
      ERR_clear_error();
      return {number == 0 ? Step::Kind::kEnd : Step::Kind::kFailed, 0};
    default:
      break;
  }
  // A peer that closes without close_notify has only closed: what MQTT and HTTP carry says by itself where it ends.
  const bool only_gone = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  fault_ = take_error();
  return {only_gone ? Step::Kind::kEnd : Step::Kind::kFailed, 0};
}

Step Session::handshake() {
  ERR_clear_error();
  errno = 0;
  const Step step = this->step(SSL_do_handshake(ssl_.get()), 0);
  if (step.kind == Step::Kind::kDone) certificates_.reset();
  return step;
}

Step Session::read(void* data, std::size_t size) {
  ERR_clear_error();
  errno = 0;
  std::size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), data, size, &count);
  return step(result, count);
}

Step Session::write(const void* data, std::size_t size) {
  ERR_clear_error();
  errno = 0;
  std::size_t count = 0;
  const int result = SSL_write_ex(ssl_.get(), data, size, &count);
  return step(result, count);
}

bool Session::has_pending() const { return SSL_has_pending(ssl_.get()) == 1; }

void Session::shutdown() {
  if (SSL_is_init_finished(ssl_.get()) != 1) return;
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

bool Session::resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

std::string_view Session::alpn() const {
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &chosen, &size);
  return {reinterpret_cast<const char*>(chosen), size};
}

std::vector<std::string> Session::peer_chain() const { return read_peer_chain(*ssl_); }

Ticket Session::ticket() const { return tickets_ ? tickets_->newest : nullptr; }

}  // namespace millrace::tls
