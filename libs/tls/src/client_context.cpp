#include <millrace/tls/client_context.hpp>

#include "client_impl.hpp"
#include "session_tickets.hpp"

namespace millrace::tls {

ClientContext::ClientContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ClientContext::~ClientContext() = default;

Result<std::shared_ptr<ClientContext>> ClientContext::create(const ClientSettings& settings) {
  auto impl = std::make_unique<Impl>();
  impl->context = make_context(TLS_client_method());
  SSL_CTX* raw = impl->context.get();
  if (raw == nullptr) return Error{ErrorKind::kInternal, "TLS cannot be set up: " + take_error()};
  const int trusted = settings.ca_file.empty() ? SSL_CTX_set_default_verify_paths(raw)
                                               : SSL_CTX_load_verify_file(raw, settings.ca_file.c_str());
  if (trusted != 1) {
    return Error{ErrorKind::kInvalid,
                 "the CA certificates in '" + settings.ca_file + "' cannot be read: " + take_error()};
  }
  if (!settings.certificate_file.empty()) {
    std::string fault = use_key_pair(*raw, settings.certificate_file, settings.key_file);
    if (!fault.empty()) return Error{ErrorKind::kInvalid, std::move(fault)};
  }
  const std::string alpn = alpn_wire(settings.alpn);
  SSL_CTX_set_alpn_protos(raw, reinterpret_cast<const unsigned char*>(alpn.data()), static_cast<unsigned>(alpn.size()));
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  keep_tickets(*raw);
  return std::shared_ptr<ClientContext>(new ClientContext(std::move(impl)));
}

}  // namespace millrace::tls
