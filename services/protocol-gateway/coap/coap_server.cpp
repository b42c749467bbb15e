#include "coap/coap_server.hpp"

#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include <poll.h>
#include <sys/epoll.h>

#include <millrace/base/psk.hpp>
#include <millrace/observability/log.hpp>

#include "coap/libcoap.hpp"
#include "coap/outcome_inbox.hpp"
#include "coap/udp_port.hpp"
#include "http/credentials.hpp"
#include "identity/children.hpp"

namespace millrace::gateway {
namespace {

using Clock = CoapIngest::Clock;

constexpr int kDatagramsAtOnce = 64;                     // before answers are looked for
constexpr std::chrono::milliseconds kLongestWait{1000};  // idle sessions are swept by the library when it is called

// libcoap queues every confirmable answer until the peer acknowledges it, up to MAX_TRANSMIT_WAIT (RFC 7252 section
// 4.8.2). A peer that never does must not fill the memory: beyond this its answers are not confirmable.
constexpr std::chrono::seconds kTransmitWait{93};
constexpr unsigned kConfirmableAnswers = 4096;

// All of CoAP's requests are answered by one thread, which no password may hold up. Everybody is told so, whether or
// not there is such a device and whatever it has.
Authenticator::Admitted admit(Authenticator& authenticator, std::string_view tenant, std::string_view device,
                              const Sha256& token) {
  auto admitted = authenticator.admit_token(std::string(tenant), std::string(device), token);
  if (admitted.ok() || admitted.error().kind != ErrorKind::kUnauthenticated) return admitted;
  return Error{ErrorKind::kUnauthenticated, admitted.error().message + "; CoAP takes tokens only"};
}

CoapIngestOptions with_policy(CoapIngestOptions options, const registry_view::RegistryView& registry) {
  options.answers_when_stored = [&registry](const registry_view::Device& device) {
    return registry_view::answers_when_stored(registry.grants(device.tenant, device.device),
                                              registry.policy(device.tenant));
  };
  return options;
}

}  // namespace

class CoapServer::Impl {
 public:
  Impl(CoapOptions options, const registry_view::RegistryView& registry, Authenticator& authenticator,
       RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names, Limiter& limiter,
       GatewayMetrics& metrics)
      : options_(std::move(options)),
        registry_(registry),
        metrics_(metrics),
        inbox_(std::make_shared<OutcomeInbox>()),
        types_(registry),
        ingest_(with_policy(options_.ingest, registry),
                {.authenticate = [&authenticator](
                                     std::string_view tenant, std::string_view device,
                                     const Sha256& token) { return admit(authenticator, tenant, device, token); },
                 .speaks_as = [this](const std::shared_ptr<const Identity>& sender,
                                     std::string_view child) { return speaks_as(registry_, sender, child); }},
                publisher, refused, names, limiter, types_, metrics, inbox_) {}

  ~Impl() { stop(); }

  Status start();
  void stop();
  void stop_intake() { ingest_.stop_intake(); }
  Status drain(runtime::Deadline deadline);

  [[nodiscard]] const std::optional<Address>& plain() const { return plain_; }
  [[nodiscard]] const std::optional<Address>& secure() const { return secure_; }

 private:
  // What is known of a session of libcoap, for as long as it lives.
  struct Peer {
    CoapSecurity security;  // session 0: plain UDP
    Clock::time_point window{};
    unsigned confirmable_answers = 0;  // within the window
  };
  // A message whose answer comes later.
  struct Waiting {
    SessionHandle session;
    std::string token;
    bool confirmable = true;
  };

  // One context for each endpoint: what libcoap bounds, it bounds by context.
  Result<Address> open(ContextHandle& context, const Address& address, coap_proto_t protocol);
  Status set_up_keys(coap_context_t* context);
  static void add_resource(coap_context_t* context);
  static Result<Address> listen(coap_context_t* context, const Address& address, coap_proto_t protocol,
                                std::string_view setting);

  static const coap_bin_const_t* on_identity(coap_bin_const_t* identity, coap_session_t* session, void* self);
  static void on_post_below(coap_resource_t* resource, coap_session_t* session, const coap_pdu_t* request,
                            const coap_string_t* query, coap_pdu_t* response);
  static void on_post(coap_resource_t* resource, coap_session_t* session, const coap_pdu_t* request,
                      const coap_string_t* query, coap_pdu_t* response);
  static int on_event(coap_session_t* session, coap_event_t event);
  static void on_unanswered(coap_session_t* session, const coap_pdu_t* sent, coap_nack_reason_t reason, coap_mid_t mid);

  void learn_peer(std::string_view identity, coap_session_t* session);
  void take(coap_session_t* session, const coap_pdu_t* request, coap_pdu_t* response);
  void run(const std::stop_token& stop);
  void wait();
  void deliver();
  static void process(coap_context_t* context);
  void send(std::uint64_t id, const CoapAnswer& answer);
  bool may_confirm(coap_session_t* session);

  CoapOptions options_;
  const registry_view::RegistryView& registry_;
  GatewayMetrics& metrics_;
  std::shared_ptr<OutcomeInbox> inbox_;
  RegistryTypes types_;
  CoapIngest ingest_;
  observability::Logger log_{"coap"};
  std::optional<Address> plain_;
  std::optional<Address> secure_;

  ContextHandle plain_context_;
  ContextHandle secure_context_;
  std::unordered_map<const coap_session_t*, Peer> peers_;
  std::unordered_map<std::uint64_t, Waiting> waiting_;
  std::uint64_t sessions_ = 0;  // DTLS sessions seen
  std::string key_;             // of the handshake in progress
  coap_bin_const_t key_view_{};

  std::mutex mutex_;
  std::condition_variable idle_;
  std::jthread thread_;
};

Status CoapServer::Impl::start() {
  if (!options_.plain && !options_.secure) return {};
  start_libcoap();
  if (options_.plain) {
    auto bound = open(plain_context_, *options_.plain, COAP_PROTO_UDP);
    if (!bound.ok()) return bound.error();
    plain_ = *bound;
  }
  if (options_.secure) {
    auto bound = open(secure_context_, *options_.secure, COAP_PROTO_DTLS);
    if (!bound.ok()) return bound.error();
    secure_ = *bound;
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return {};
}

Result<Address> CoapServer::Impl::open(ContextHandle& context, const Address& address, coap_proto_t protocol) {
  context.reset(coap_new_context(nullptr));
  if (!context) return Error{ErrorKind::kInternal, "libcoap gives no context"};
  coap_context_t* const made = context.get();
  const bool secure = protocol == COAP_PROTO_DTLS;
  coap_set_app_data(made, this);
  coap_context_set_max_idle_sessions(
      made, static_cast<unsigned>(secure ? options_.max_sessions : options_.max_plain_sessions));
  coap_context_set_max_handshake_sessions(made, static_cast<unsigned>(options_.max_handshakes));
  coap_context_set_session_timeout(made, static_cast<unsigned>(options_.session_idle.count()));
  coap_register_event_handler(made, on_event);
  coap_register_nack_handler(made, on_unanswered);
  add_resource(made);
  if (secure) {
    if (auto status = set_up_keys(made); !status.ok()) return status.error();
  }
  return listen(made, address, protocol, secure ? "COAPS_ADDR" : "COAP_ADDR");
}

Status CoapServer::Impl::set_up_keys(coap_context_t* context) {
  coap_dtls_spsk_t setup{};
  setup.version = COAP_DTLS_SPSK_SETUP_VERSION;
  setup.validate_id_call_back = on_identity;
  setup.id_call_back_arg = this;
  // libcoap wants a key for those without identity; nobody has this one.
  key_ = random_bytes(kPskBytes);
  setup.psk_info.key = {key_.size(), reinterpret_cast<const std::uint8_t*>(key_.data())};
  setup.psk_info.hint = {0, reinterpret_cast<const std::uint8_t*>("")};
  if (coap_context_set_psk2(context, &setup) == 0)
    return Error{ErrorKind::kInternal, "libcoap does not take pre-shared keys"};
  return {};
}

void CoapServer::Impl::add_resource(coap_context_t* context) {
  coap_resource_t* resource = coap_resource_init(coap_make_str_const("v1/telemetry"), 0);
  coap_register_handler(resource, COAP_REQUEST_POST, on_post);
  coap_add_attr(resource, coap_make_str_const("ct"), coap_make_str_const("\"50 60 110 112 65001\""), 0);
  coap_add_attr(resource, coap_make_str_const("rt"), coap_make_str_const("\"millrace.telemetry\""), 0);
  coap_add_resource(context, resource);
  // libcoap knows resources by their whole path: this one is asked for all others.
  coap_resource_t* below = coap_resource_unknown_init(nullptr);
  coap_register_handler(below, COAP_REQUEST_POST, on_post_below);
  coap_add_resource(context, below);
}

Result<Address> CoapServer::Impl::listen(coap_context_t* context, const Address& address, coap_proto_t protocol,
                                         std::string_view setting) {
  auto reserved = reserve_udp_port(address, setting);
  if (!reserved.ok()) return reserved;
  auto local = to_libcoap(*reserved);
  if (!local.ok()) return local.error();
  if (coap_new_endpoint(context, &*local, protocol) == nullptr) {
    return Error{ErrorKind::kUnavailable,
                 "cannot listen on " + reserved->to_string() + "/udp (" + std::string(setting) + ")"};
  }
  if (auto held = hold_udp_port(coap_context_get_coap_fd(context), *reserved, setting); !held.ok()) return held.error();
  return reserved;
}

// Whoever is not known gets a key that nobody has: the handshake fails as with a wrong key and tells nothing.
const coap_bin_const_t* CoapServer::Impl::on_identity(coap_bin_const_t* identity, coap_session_t* session, void* self) {
  auto& impl = *static_cast<Impl*>(self);
  impl.learn_peer({reinterpret_cast<const char*>(identity->s), identity->length}, session);
  impl.key_view_ = {impl.key_.size(), reinterpret_cast<const std::uint8_t*>(impl.key_.data())};
  return &impl.key_view_;
}

void CoapServer::Impl::learn_peer(std::string_view identity, coap_session_t* session) {
  Peer& peer = peers_[session];
  peer.security = {++sessions_, {}, {}, {}};
  key_ = random_bytes(kPskBytes);
  const auto name = parse_device_name(identity);
  if (!name.ok()) return;
  const auto token = registry_.newest_token(name->tenant, name->device);
  if (!token) return;
  peer.security.tenant = name->tenant;
  peer.security.device = name->device;
  peer.security.token = *token;
  key_ = psk_of(*token);
}

int CoapServer::Impl::on_event(coap_session_t* session, coap_event_t event) {
  auto& impl = *static_cast<Impl*>(coap_get_app_data(coap_session_get_context(session)));
  switch (event) {
    case COAP_EVENT_SERVER_SESSION_NEW:
      impl.metrics_.coap_sessions.add(1);
      break;
    case COAP_EVENT_SERVER_SESSION_DEL:
      impl.metrics_.coap_sessions.add(-1);
      impl.peers_.erase(session);
      break;
    case COAP_EVENT_DTLS_CONNECTED:
      impl.metrics_.coap_handshakes_accepted.add();
      forbid_resumption(session);
      break;
    case COAP_EVENT_DTLS_ERROR:
      impl.metrics_.coap_handshakes_failed.add();
      break;
    case COAP_EVENT_DTLS_CLOSED:
    case COAP_EVENT_DTLS_RENEGOTIATE:
    case COAP_EVENT_TCP_CONNECTED:
    case COAP_EVENT_TCP_CLOSED:
    case COAP_EVENT_TCP_FAILED:
    case COAP_EVENT_SESSION_CONNECTED:
    case COAP_EVENT_SESSION_CLOSED:
    case COAP_EVENT_SESSION_FAILED:
    case COAP_EVENT_PARTIAL_BLOCK:
    case COAP_EVENT_XMIT_BLOCK_FAIL:
      break;
  }
  return 0;
}

void CoapServer::Impl::on_unanswered(coap_session_t* session, const coap_pdu_t* /*sent*/, coap_nack_reason_t /*reason*/,
                                     coap_mid_t /*mid*/) {
  auto& impl = *static_cast<Impl*>(coap_get_app_data(coap_session_get_context(session)));
  impl.metrics_.coap_unacknowledged.add();
}

void CoapServer::Impl::on_post(coap_resource_t* /*resource*/, coap_session_t* session, const coap_pdu_t* request,
                               const coap_string_t* /*query*/, coap_pdu_t* response) {
  auto& impl = *static_cast<Impl*>(coap_get_app_data(coap_session_get_context(session)));
  impl.take(session, request, response);
}

void CoapServer::Impl::on_post_below(coap_resource_t* resource, coap_session_t* session, const coap_pdu_t* request,
                                     const coap_string_t* query, coap_pdu_t* response) {
  if (names_telemetry(request)) return on_post(resource, session, request, query, response);
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_NOT_FOUND);
}

// A response without a code makes libcoap send the empty acknowledgement of a CON, and nothing for a NON.
void CoapServer::Impl::take(coap_session_t* session, const coap_pdu_t* pdu, coap_pdu_t* response) {
  const bool secure = coap_session_get_proto(session) == COAP_PROTO_DTLS;
  const CoapSecurity* security = secure ? &peers_[session].security : nullptr;
  const CoapRequest request = read_request(session, pdu, security);
  const CoapReply reply = ingest_.handle(request, Clock::now());
  if (reply.id != 0)
    waiting_.emplace(reply.id, Waiting{SessionHandle(session), std::string(request.token), request.confirmable});
  if (reply.answer != nullptr && !write_answer(*reply.answer, response))
    log_.error("an answer does not fit into a message", {{"code", static_cast<int>(reply.answer->code)}});
}

bool CoapServer::Impl::may_confirm(coap_session_t* session) {
  Peer& peer = peers_[session];
  const auto now = Clock::now();
  if (now - peer.window > kTransmitWait) {
    peer.window = now;
    peer.confirmable_answers = 0;
  }
  return ++peer.confirmable_answers <= kConfirmableAnswers;
}

void CoapServer::Impl::send(std::uint64_t id, const CoapAnswer& answer) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;
  const Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  coap_session_t* session = waiting.session.get();
  const auto type = waiting.confirmable && may_confirm(session) ? COAP_MESSAGE_CON : COAP_MESSAGE_NON;
  coap_pdu_t* pdu = coap_new_pdu(type, static_cast<coap_pdu_code_t>(answer.code), session);
  const bool written =
      pdu != nullptr &&
      coap_add_token(pdu, waiting.token.size(), reinterpret_cast<const std::uint8_t*>(waiting.token.data())) != 0 &&
      write_answer(answer, pdu);
  if (!written) {
    coap_delete_pdu(pdu);
    log_.error("an answer could not be written", {{"code", static_cast<int>(answer.code)}});
  } else if (coap_send(session, pdu) == COAP_INVALID_MID) {
    metrics_.coap_unacknowledged.add();  // the session has ended in the meantime
  }
}

void CoapServer::Impl::deliver() {
  for (const auto& [id, outcome] : inbox_->take()) {
    const CoapAnswer* answer = ingest_.settle(id, outcome, Clock::now());
    if (answer != nullptr) send(id, *answer);
  }
  ingest_.expire(Clock::now(), [this](std::uint64_t id, const CoapAnswer& answer) { send(id, answer); });
  if (ingest_.in_flight() == 0) {
    const std::lock_guard lock(mutex_);
    idle_.notify_all();
  }
}

void CoapServer::Impl::wait() {
  auto wait = kLongestWait;
  if (const auto next = ingest_.next_deadline()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now());
    wait = std::clamp(left, std::chrono::milliseconds{0}, wait);
  }
  // poll() passes over a descriptor of -1.
  const auto descriptor = [](const ContextHandle& context) {
    return context ? coap_context_get_coap_fd(context.get()) : -1;
  };
  std::array<pollfd, 3> ready{pollfd{descriptor(plain_context_), POLLIN, 0},
                              pollfd{descriptor(secure_context_), POLLIN, 0}, pollfd{inbox_->descriptor(), POLLIN, 0}};
  // An interrupted wait is as good as one that has ended.
  static_cast<void>(::poll(ready.data(), ready.size(), static_cast<int>(wait.count())));
}

// libcoap takes one datagram of each socket in a call, and walks all sessions in each coap_io_process(): it is asked
// for what has come first, and for its timers once behind that.
void CoapServer::Impl::process(coap_context_t* context) {
  const int descriptor = coap_context_get_coap_fd(context);
  std::array<epoll_event, 4> events{};
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    const int count = ::epoll_wait(descriptor, events.data(), static_cast<int>(events.size()), 0);
    if (count <= 0) break;
    coap_io_do_epoll(context, events.data(), static_cast<std::size_t>(count));
  }
  coap_io_process(context, COAP_IO_NO_WAIT);
}

// The library is called after the answers, so that it arms its timer for their retransmission.
void CoapServer::Impl::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    wait();
    deliver();
    if (plain_context_) process(plain_context_.get());
    if (secure_context_) process(secure_context_.get());
  }
}

Status CoapServer::Impl::drain(runtime::Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) return {};
  inbox_->wake();
  if (idle_.wait_until(lock, deadline, [this] { return ingest_.in_flight() == 0; })) return {};
  return Error{ErrorKind::kUnknownOutcome, std::to_string(ingest_.in_flight()) + " CoAP messages have no outcome"};
}

void CoapServer::Impl::stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    inbox_->wake();
    thread_.join();
  }
  waiting_.clear();
  plain_context_.reset();
  secure_context_.reset();
}

CoapServer::CoapServer(CoapOptions options, const registry_view::RegistryView& registry, Authenticator& authenticator,
                       RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names, Limiter& limiter,
                       GatewayMetrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), registry, authenticator, publisher, refused, names, limiter,
                                   metrics)) {}
CoapServer::~CoapServer() = default;

Status CoapServer::start() { return impl_->start(); }
const std::optional<Address>& CoapServer::plain_address() const { return impl_->plain(); }
const std::optional<Address>& CoapServer::secure_address() const { return impl_->secure(); }
void CoapServer::stop_intake() { impl_->stop_intake(); }
Status CoapServer::drain(runtime::Deadline deadline) { return impl_->drain(deadline); }
void CoapServer::stop() { impl_->stop(); }

}  // namespace millrace::gateway
