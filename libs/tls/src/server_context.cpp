#include <array>
#include <ctime>
#include <mutex>

#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <millrace/tls/server_context.hpp>

#include "certificates.hpp"
#include "peer_chain.hpp"

namespace millrace::tls {
namespace {

constexpr std::array<unsigned char, 8> kSessionContext{'m', 'i', 'l', 'l', 'r', 'a', 'c', 'e'};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin < list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (end > begin) parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

int choose_protocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned int offered_size, void* context) {
  const auto& spoken = *static_cast<const std::string*>(context);
  unsigned char* selected = nullptr;
  const int found = SSL_select_next_proto(&selected, size, reinterpret_cast<const unsigned char*>(spoken.data()),
                                          static_cast<unsigned>(spoken.size()), offered, offered_size);
  *chosen = selected;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int choose_certificate(SSL* ssl, int* /*alert*/, void* context) {
  const auto& certificates = *static_cast<const ServerContext::Certificates*>(context);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  for (const ContextHandle& candidate : certificates.contexts) {
    if (X509_check_host(SSL_CTX_get0_certificate(candidate.get()), name, 0, 0, nullptr) != 1) continue;
    SSL_set_SSL_CTX(ssl, candidate.get());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_OK;  // the first's; the client decides whether the name will do
}

std::chrono::system_clock::time_point end_of(const X509* certificate) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &utc) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&utc));
}

// Changes whenever a file is written or replaced, also behind a symbolic link.
std::string mark_of(const std::string& file) {
  struct stat found{};
  if (::stat(file.c_str(), &found) != 0) return "-";
  return std::to_string(found.st_ino) + ":" + std::to_string(found.st_size) + ":" +
         std::to_string(found.st_mtim.tv_sec) + "." + std::to_string(found.st_mtim.tv_nsec);
}

std::string mark_of(const std::vector<KeyPair>& identities) {
  std::string mark;
  for (const KeyPair& pair : identities) mark += mark_of(pair.certificate_file) + "," + mark_of(pair.key_file) + ";";
  return mark;
}

Result<ContextHandle> make_server(const ServerSettings& settings, const KeyPair& identity) {
  ContextHandle context = make_context(TLS_server_method());
  if (!context) return Error{ErrorKind::kInternal, "TLS cannot be set up: " + take_error()};
  if (std::string fault = use_key_pair(*context, identity.certificate_file, identity.key_file); !fault.empty()) {
    return Error{ErrorKind::kInvalid, std::move(fault)};
  }
  SSL_CTX* raw = context.get();
  SSL_CTX_set_session_id_context(raw, kSessionContext.data(), kSessionContext.size());
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets hold the state, not our memory
  SSL_CTX_set_num_tickets(raw, 1);
  if (settings.client_certificate == ClientCertificate::kRequested) request_client_certificate(*context);
  return context;
}

}  // namespace

struct ServerContext::Impl {
  ServerSettings settings;
  std::string alpn;
  TicketKeys tickets;
  mutable std::mutex mutex;
  std::shared_ptr<const Certificates> current;
  std::string mark;
  std::chrono::system_clock::time_point expires;

  Result<std::shared_ptr<const Certificates>> read() {
    auto read = std::make_shared<Certificates>();
    for (const KeyPair& identity : settings.identities) {
      auto context = make_server(settings, identity);
      if (!context.ok()) return context.error();
      tickets.install(**context);
      if (!alpn.empty()) SSL_CTX_set_alpn_select_cb(context->get(), choose_protocol, &alpn);
      read->contexts.push_back(std::move(*context));
    }
    SSL_CTX* first = read->contexts.front().get();
    SSL_CTX_callback_ctrl(first, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(choose_certificate));
    SSL_CTX_set_tlsext_servername_arg(first, read.get());
    return std::shared_ptr<const Certificates>(std::move(read));
  }
};

Result<std::vector<KeyPair>> parse_key_pairs(const std::string& certificate_files, const std::string& key_files) {
  const auto certificates = split(certificate_files);
  const auto keys = split(key_files);
  if (certificates.empty() || certificates.size() != keys.size()) {
    return Error{ErrorKind::kInvalid,
                 "as many key files as certificate files are needed, at least one of each: there "
                 "are " +
                     std::to_string(certificates.size()) + " certificates and " + std::to_string(keys.size()) +
                     " keys"};
  }
  std::vector<KeyPair> pairs;
  for (std::size_t i = 0; i < keys.size(); ++i) pairs.push_back({certificates[i], keys[i]});
  return pairs;
}

ServerContext::ServerContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ServerContext::~ServerContext() = default;

Result<std::shared_ptr<ServerContext>> ServerContext::create(ServerSettings settings) {
  auto impl = std::make_unique<Impl>();
  impl->settings = std::move(settings);
  impl->alpn = alpn_wire(impl->settings.alpn);
  std::shared_ptr<ServerContext> context(new ServerContext(std::move(impl)));
  if (auto status = context->reload(); !status.ok()) return status.error();
  return context;
}

Status ServerContext::reload() {
  if (impl_->settings.identities.empty()) return Error{ErrorKind::kInvalid, "no certificate is given"};
  // Before the files are read: a change while they are is seen next time.
  std::string mark = mark_of(impl_->settings.identities);
  auto read = impl_->read();
  if (!read.ok()) return read.error();
  auto expires = std::chrono::system_clock::time_point::max();
  for (const ContextHandle& context : (*read)->contexts) {
    expires = std::min(expires, end_of(SSL_CTX_get0_certificate(context.get())));
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->current = std::move(*read);
  impl_->mark = std::move(mark);
  impl_->expires = expires;
  return {};
}

bool ServerContext::changed() const {
  const std::string now = mark_of(impl_->settings.identities);
  const std::lock_guard lock(impl_->mutex);
  return now != impl_->mark;
}

std::chrono::system_clock::time_point ServerContext::expires() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->expires;
}

std::shared_ptr<const ServerContext::Certificates> ServerContext::certificates() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->current;
}

}  // namespace millrace::tls
