#include "coap/libcoap.hpp"

#include <array>
#include <cstring>
#include <mutex>

#include <netdb.h>
#include <openssl/ssl.h>

#include <millrace/observability/log.hpp>

namespace millrace::gateway {
namespace {

using observability::Level;

// Content-Formats (RFC 7252 section 12.3).
constexpr unsigned kJson = 50;
constexpr std::string_view kDevices = "devices";  // v1/devices/{child}/telemetry
constexpr std::uint16_t kRequestTag = 292;        // RFC 9175 section 3.2

void on_log(coap_log_t /*level*/, const char* message) {
  static const observability::Logger kLog("libcoap");
  static observability::LogLimiter limiter;
  std::string_view text(message);
  while (text.ends_with('\n')) text.remove_suffix(1);
  // Even "alert" is only that a peer has reset an exchange.
  kLog.limited(limiter, Level::kWarn, "message of the library", {{"text", text}});
}

std::string_view view(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

CoapExchangeKey exchange_key(const coap_session_t* session, std::uint16_t message_id, const CoapSecurity* security) {
  CoapExchangeKey key;
  const coap_address_t& peer = *coap_session_get_addr_remote(session);
  if (peer.addr.sa.sa_family == AF_INET6) {
    std::memcpy(key.address.data(), &peer.addr.sin6.sin6_addr, key.address.size());
    key.port = ntohs(peer.addr.sin6.sin6_port);
  } else {
    key.address[10] = key.address[11] = 0xff;
    std::memcpy(key.address.data() + 12, &peer.addr.sin.sin_addr, 4);
    key.port = ntohs(peer.addr.sin.sin_port);
  }
  key.session = security == nullptr ? 0 : security->session;
  key.message_id = message_id;
  return key;
}

bool read_block1(std::string_view value, std::optional<CoapBlock>& out) {
  if (value.size() > 3 || out) return false;
  const unsigned bits = coap_decode_var_bytes(reinterpret_cast<const std::uint8_t*>(value.data()), value.size());
  if ((bits & 7U) == 7U) return false;
  out = CoapBlock{bits >> 4U, (bits & 8U) != 0, static_cast<std::uint8_t>(bits & 7U)};
  return true;
}

bool read_number(std::string_view value, std::size_t most, std::optional<std::uint32_t>& out) {
  if (value.size() > most || out) return false;
  out = coap_decode_var_bytes(reinterpret_cast<const std::uint8_t*>(value.data()), value.size());
  return true;
}

// The path is one of those that lead here: `telemetry` is its second segment, or the one behind the child.
void read_segment(std::string_view segment, CoapRequest& request) {
  constexpr std::size_t kChild = 2;
  const std::size_t index = request.path_segments++;
  if (index == kChild - 1 && segment == kDevices) request.child = kDevices;  // until its name comes
  if (index == kChild && !request.child.empty()) request.child = segment;
  const std::size_t metric = request.child.empty() ? kChild : kChild + 2;
  if (index < metric) return;
  if (index > metric) request.metric += '/';
  request.metric += segment;
}

// False: critical and of no meaning here, or malformed.
bool read_option(std::uint16_t number, std::string_view value, CoapRequest& request) {
  switch (number) {
    case COAP_OPTION_URI_PATH:
      read_segment(value, request);
      return true;
    case COAP_OPTION_URI_HOST:
    case COAP_OPTION_URI_PORT:
    case COAP_OPTION_BLOCK2:  // of the answer, which always fits
      return true;
    case COAP_OPTION_URI_QUERY:
      request.query.push_back(value);
      return true;
    case COAP_OPTION_CONTENT_FORMAT:
      return read_number(value, 2, request.content_format);
    case COAP_OPTION_ACCEPT:
      return read_number(value, 2, request.accept);
    case COAP_OPTION_BLOCK1:
      return read_block1(value, request.block1);
    case COAP_OPTION_SIZE1:
      return read_number(value, 4, request.size1);
    case kRequestTag:
      request.request_tag = value;
      return true;
    default:
      return (number & 1U) == 0;  // RFC 7252 section 5.4.1: elective ones are passed over
  }
}

bool add_number(coap_pdu_t* pdu, coap_option_num_t number, unsigned value) {
  std::array<std::uint8_t, 4> bytes{};
  const unsigned size = coap_encode_var_safe(bytes.data(), bytes.size(), value);
  return coap_add_option(pdu, number, size, bytes.data()) != 0;
}

}  // namespace

void start_libcoap() {
  static std::once_flag once;
  std::call_once(once, [] {
    coap_startup();
    coap_set_log_handler(on_log);
    coap_set_log_level(LOG_WARNING);
    coap_dtls_set_log_level(LOG_ERR);
  });
}

Result<coap_address_t> to_libcoap(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found) != 0)
    return Error{ErrorKind::kInvalid, "'" + address.host + "' is no address to listen on"};
  coap_address_t out;
  coap_address_init(&out);
  std::memcpy(&out.addr, found->ai_addr, found->ai_addrlen);
  out.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  return out;
}

void forbid_resumption(const coap_session_t* session) {
  coap_tls_library_t library = COAP_TLS_LIBRARY_NOTLS;
  auto* ssl = static_cast<SSL*>(coap_session_get_tls(session, &library));
  if (ssl == nullptr || library != COAP_TLS_LIBRARY_OPENSSL) return;
  SSL_CTX* context = SSL_get_SSL_CTX(ssl);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

bool names_telemetry(const coap_pdu_t* pdu) {
  constexpr std::string_view kTelemetry = "telemetry";
  std::array<std::string_view, 4> path{};
  coap_opt_iterator_t options;
  coap_option_iterator_init(pdu, &options, COAP_OPT_ALL);
  std::size_t segments = 0;
  while (const coap_opt_t* option = coap_option_next(&options)) {
    if (options.number != COAP_OPTION_URI_PATH) continue;
    if (segments < path.size()) path.at(segments) = view(coap_opt_value(option), coap_opt_length(option));
    ++segments;
  }
  if (path[0] != "v1") return false;
  if (path[1] == kTelemetry) return segments > 2;
  return path[1] == kDevices && !path[2].empty() && path[3] == kTelemetry;
}

CoapRequest read_request(const coap_session_t* session, const coap_pdu_t* pdu, const CoapSecurity* security) {
  CoapRequest request;
  request.security = security;
  request.exchange = exchange_key(session, static_cast<std::uint16_t>(coap_pdu_get_mid(pdu)), security);
  request.confirmable = coap_pdu_get_type(pdu) == COAP_MESSAGE_CON;
  const coap_bin_const_t token = coap_pdu_get_token(pdu);
  request.token = view(token.s, token.length);
  request.fingerprint = hash64(request.token, request.confirmable ? 1 : 0);
  coap_opt_iterator_t options;
  coap_option_iterator_init(pdu, &options, COAP_OPT_ALL);
  while (const coap_opt_t* option = coap_option_next(&options)) {
    const std::string_view value = view(coap_opt_value(option), coap_opt_length(option));
    request.fingerprint = hash64(value, request.fingerprint + options.number);
    request.bad_option = !read_option(options.number, value, request) || request.bad_option;
  }
  std::size_t size = 0;
  const std::uint8_t* data = nullptr;
  if (coap_get_data(pdu, &size, &data) != 0) request.payload = view(data, size);
  request.fingerprint = hash64(request.payload, request.fingerprint);
  return request;
}

// Options in the order of their numbers.
bool write_answer(const CoapAnswer& answer, coap_pdu_t* pdu) {
  coap_pdu_set_code(pdu, static_cast<coap_pdu_code_t>(answer.code));
  bool ok = answer.payload.empty() || add_number(pdu, COAP_OPTION_CONTENT_FORMAT, kJson);
  if (answer.max_age_s != 0) ok = ok && add_number(pdu, COAP_OPTION_MAXAGE, answer.max_age_s);
  if (answer.block1) {
    const CoapBlock& block = *answer.block1;
    ok = ok && add_number(pdu, COAP_OPTION_BLOCK1, (block.number << 4U) | (block.more ? 8U : 0U) | block.size_exponent);
  }
  if (answer.size1 != 0) ok = ok && add_number(pdu, COAP_OPTION_SIZE1, answer.size1);
  if (answer.payload.empty()) return ok;
  return ok &&
         coap_add_data(pdu, answer.payload.size(), reinterpret_cast<const std::uint8_t*>(answer.payload.data())) != 0;
}

}  // namespace millrace::gateway
