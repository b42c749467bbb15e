#include "load/coap_client.hpp"

#include <array>
#include <cstring>
#include <stdexcept>

#include <coap3/coap.h>

namespace millrace::fleet {
namespace {

constexpr unsigned kJson = 50;

const std::uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }

// Null once the session was given up.
CoapListener* listener_of(const coap_session_t* session) {
  return static_cast<CoapListener*>(coap_session_get_app_data(session));
}

coap_address_t address_of(const sockaddr_in& server) {
  coap_address_t address;
  coap_address_init(&address);
  address.size = sizeof server;
  std::memcpy(&address.addr.sin, &server, sizeof server);
  return address;
}

coap_response_t on_response(coap_session_t* session, const coap_pdu_t* /*sent*/, const coap_pdu_t* received,
                            coap_mid_t /*mid*/) {
  CoapListener* listener = listener_of(session);
  if (listener == nullptr) return COAP_RESPONSE_OK;
  CoapResponse response;
  const unsigned code = coap_pdu_get_code(received);
  response.status = static_cast<int>((code >> 5U) * 100 + (code & 31U));
  const coap_bin_const_t token = coap_pdu_get_token(received);
  if (token.length == sizeof response.token) std::memcpy(&response.token, token.s, token.length);
  coap_opt_iterator_t iterator;
  if (const coap_opt_t* option = coap_check_option(received, COAP_OPTION_MAXAGE, &iterator))
    response.max_age_s = coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));
  std::size_t size = 0;
  const std::uint8_t* data = nullptr;
  if (coap_get_data(received, &size, &data) != 0) response.payload = {reinterpret_cast<const char*>(data), size};
  listener->on_response(response);
  return COAP_RESPONSE_OK;
}

void on_nack(coap_session_t* session, const coap_pdu_t* /*sent*/, coap_nack_reason_t /*reason*/, coap_mid_t /*mid*/) {
  if (CoapListener* listener = listener_of(session)) listener->on_failed();
}

int on_event(coap_session_t* session, coap_event_t event) {
  CoapListener* listener = listener_of(session);
  if (listener == nullptr) return 0;
  if (event == COAP_EVENT_DTLS_CONNECTED) listener->on_secured();
  if (event == COAP_EVENT_DTLS_ERROR || event == COAP_EVENT_DTLS_CLOSED) listener->on_failed();
  return 0;
}

bool add(coap_pdu_t* pdu, coap_option_num_t number, std::string_view value) {
  return coap_add_option(pdu, number, value.size(), bytes_of(value)) != 0;
}

void release_body(coap_session_t* /*session*/, void* body) { delete static_cast<std::string*>(body); }

bool fill(coap_session_t* session, coap_pdu_t* pdu, const CoapPost& post) {
  std::array<std::uint8_t, 4> format{};
  const unsigned format_size = coap_encode_var_safe(format.data(), format.size(), kJson);
  bool ok = coap_add_token(pdu, sizeof post.token, reinterpret_cast<const std::uint8_t*>(&post.token)) != 0;
  for (const std::string& segment : post.path) ok = ok && add(pdu, COAP_OPTION_URI_PATH, segment);
  ok = ok && coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT, format_size, format.data()) != 0;
  for (const std::string& item : post.query) ok = ok && (item.empty() || add(pdu, COAP_OPTION_URI_QUERY, item));
  if (!ok) return false;
  // libcoap frees the body by release_body, at once if it fails.
  auto* body = new std::string(post.payload);
  return coap_add_data_large_request(session, pdu, body->size(), bytes_of(*body), release_body, body) != 0;
}

}  // namespace

CoapClient::CoapClient() {
  coap_startup();
  coap_set_log_level(LOG_CRIT);
  coap_dtls_set_log_level(LOG_CRIT);
  context_ = coap_new_context(nullptr);
  if (context_ == nullptr) throw std::runtime_error("libcoap gives no context");
  coap_context_set_block_mode(context_, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
  coap_register_response_handler(context_, on_response);
  coap_register_nack_handler(context_, on_nack);
  coap_register_event_handler(context_, on_event);
}

CoapClient::~CoapClient() { coap_free_context(context_); }

int CoapClient::descriptor() const { return coap_context_get_coap_fd(context_); }

void CoapClient::process() { coap_io_process(context_, COAP_IO_NO_WAIT); }

std::unique_ptr<CoapClient::Session> CoapClient::connect(const sockaddr_in& server, CoapListener& listener) {
  const coap_address_t to = address_of(server);
  coap_session_t* session = coap_new_client_session(context_, nullptr, &to, COAP_PROTO_UDP);
  return session == nullptr ? nullptr : std::make_unique<Session>(session, listener);
}

std::unique_ptr<CoapClient::Session> CoapClient::connect(const sockaddr_in& server, CoapListener& listener,
                                                         const std::string& identity, const std::string& key) {
  const coap_address_t to = address_of(server);
  coap_dtls_cpsk_t setup{};
  setup.version = COAP_DTLS_CPSK_SETUP_VERSION;
  setup.psk_info.identity = {identity.size(), bytes_of(identity)};
  setup.psk_info.key = {key.size(), bytes_of(key)};
  coap_session_t* session = coap_new_client_session_psk2(context_, nullptr, &to, COAP_PROTO_DTLS, &setup);
  return session == nullptr ? nullptr : std::make_unique<Session>(session, listener);
}

CoapClient::Session::Session(coap_session_t* session, CoapListener& listener) : session_(session) {
  coap_session_set_app_data(session_, &listener);
}

CoapClient::Session::~Session() {
  coap_session_set_app_data(session_, nullptr);
  coap_session_release(session_);
}

bool CoapClient::Session::post(const CoapPost& post) {
  coap_pdu_t* pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, session_);
  if (pdu == nullptr) return false;
  if (!fill(session_, pdu, post)) {
    coap_delete_pdu(pdu);
    return false;
  }
  return coap_send(session_, pdu) != COAP_INVALID_MID;
}

}  // namespace millrace::fleet
