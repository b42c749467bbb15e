#include "send/http_sender.hpp"

#include <array>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include <millrace/base/time.hpp>

#include "send/address_policy.hpp"

namespace millrace::notifier {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Endpoints = std::vector<tcp::endpoint>;

constexpr std::size_t kResolvers = 16;
constexpr std::size_t kMaxAddresses = 4;
constexpr std::uint32_t kHeaderBytes = 16 * 1024;
constexpr std::size_t kBodyBytes = 16 * 1024;
constexpr int kInterimAnswers = 4;
// The status is known by then: a receiver that is slow with its body only loses the rest of it.
constexpr std::chrono::seconds kBodyTime{1};
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

Answer no_answer(std::string_view step, const error_code& error) {
  if (error == beast::error::timeout) return {.failure = std::string(step) + ": no answer in time"};
  return {.failure = std::string(step) + ": " + error.message()};
}

std::string_view refused(const asio::ip::address& address) {
  return address.is_v4() ? refused_range(std::span<const std::uint8_t, 4>(address.to_v4().to_bytes()))
                         : refused_range(std::span<const std::uint8_t, 16>(address.to_v6().to_bytes()));
}

// The addresses to try, or why there is none. Blocks.
std::variant<Endpoints, Answer> look_up(const Target& target, Addresses allowed) {
  asio::io_context context;
  tcp::resolver resolver(context);
  error_code error;
  const auto found = resolver.resolve(target.host, std::to_string(target.port), tcp::resolver::numeric_service, error);
  if (error) return no_answer("look-up", error);
  Endpoints endpoints;
  std::string_view range;
  for (const auto& entry : found) {
    const std::string_view why = allowed == Addresses::kAll ? std::string_view{} : refused(entry.endpoint().address());
    if (!why.empty()) {
      range = why;
    } else if (endpoints.size() < kMaxAddresses) {
      endpoints.push_back(entry.endpoint());
    }
  }
  if (!endpoints.empty()) return endpoints;
  return Answer{.failure = "the address is not public: " + std::string(range), .address_refused = true};
}

// What SSL_set_tlsext_host_name does with an old-style cast; OpenSSL copies the name.
bool set_server_name(SSL* session, const std::string& host) {
  return SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(host.c_str())) ==
         1;
}

http::request<http::string_body> to_request(Outgoing&& outgoing) {
  http::request<http::string_body> request{http::verb::post, outgoing.target.path, 11};
  request.set(http::field::host, outgoing.target.authority());
  request.set(http::field::connection, "close");
  for (const auto& [name, value] : outgoing.headers) request.set(name, value);
  request.body() = std::move(outgoing.body);
  request.prepare_payload();
  return request;
}

// Each address gets its share of the time that is left.
asio::awaitable<error_code> connect(beast::tcp_stream& stream, Endpoints endpoints, Clock::time_point deadline) {
  error_code last = asio::error::host_unreachable;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const auto left = deadline - Clock::now();
    if (left <= Clock::duration::zero()) co_return beast::error::timeout;
    stream.expires_after(left / (endpoints.size() - i));
    const auto [error] = co_await stream.async_connect(endpoints[i], kAwait);
    if (!error) co_return error;
    last = error;
    stream.close();
  }
  co_return last;
}

template <typename Stream>
asio::awaitable<Answer> exchange(Stream& stream, http::request<http::string_body>& request) {
  const auto [write_error, written] = co_await http::async_write(stream, request, kAwait);
  if (write_error) co_return no_answer("send", write_error);
  beast::flat_buffer buffer(2 * kHeaderBytes);
  for (int interim = 0; interim < kInterimAnswers; ++interim) {
    http::response_parser<http::buffer_body> parser;
    parser.header_limit(kHeaderBytes);
    parser.body_limit(boost::none);  // it would fail the header, and with it the status
    const auto [header_error, header_read] = co_await http::async_read_header(stream, buffer, parser, kAwait);
    if (header_error) co_return no_answer("receive", header_error);
    const auto& header = parser.get();
    if (header.result_int() < 200) continue;  // RFC 9110 section 15.2
    Answer answer{.status = static_cast<int>(header.result_int())};
    if (const auto found = header.find(http::field::retry_after); found != header.end()) {
      answer.retry_after = parse_retry_after({found->value().data(), found->value().size()}, now_us() / kUsPerSecond);
    }
    // Read so that an ordinary receiver sees no broken connection; what comes of it changes nothing.
    std::array<char, kBodyBytes> body;
    parser.get().body() = {body.data(), body.size(), true};
    beast::get_lowest_layer(stream).expires_after(kBodyTime);
    co_await http::async_read(stream, buffer, parser, kAwait);
    co_return answer;
  }
  co_return Answer{.failure = "receive: only interim answers"};
}

}  // namespace

struct HttpSender::Impl {
  explicit Impl(const HttpSenderOptions& wanted) : options(wanted) {
    tls.set_default_verify_paths();
    tls.set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
  }

  [[nodiscard]] asio::awaitable<Answer> post(Outgoing outgoing, Endpoints endpoints, Clock::time_point deadline);
  [[nodiscard]] asio::awaitable<Answer> post_tls(Outgoing outgoing, Endpoints endpoints, Clock::time_point deadline);
  void begin(Outgoing outgoing, const OnAnswer& on_answer, Endpoints endpoints, Clock::time_point deadline);

  HttpSenderOptions options;
  asio::ssl::context tls{asio::ssl::context::tls_client};
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::thread_pool resolvers{kResolvers};
  std::jthread thread{[this] { io.run(); }};
};

asio::awaitable<Answer> HttpSender::Impl::post(Outgoing outgoing, Endpoints endpoints, Clock::time_point deadline) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  if (const error_code error = co_await connect(stream, std::move(endpoints), deadline); error) {
    co_return no_answer("connect", error);
  }
  stream.expires_at(deadline);
  auto request = to_request(std::move(outgoing));
  co_return co_await exchange(stream, request);
}

asio::awaitable<Answer> HttpSender::Impl::post_tls(Outgoing outgoing, Endpoints endpoints, Clock::time_point deadline) {
  beast::ssl_stream<beast::tcp_stream> stream(co_await asio::this_coro::executor, tls);
  auto& lowest = beast::get_lowest_layer(stream);
  if (const error_code error = co_await connect(lowest, std::move(endpoints), deadline); error) {
    co_return no_answer("connect", error);
  }
  lowest.expires_at(deadline);
  const std::string& host = outgoing.target.host;
  error_code is_name;
  asio::ip::make_address(host, is_name);
  // SNI is for names only (RFC 6066 section 3); host_name_verification tells names and numbers apart itself.
  if (is_name && !set_server_name(stream.native_handle(), host)) {
    co_return Answer{.failure = "TLS: the host name cannot be sent"};
  }
  stream.set_verify_callback(asio::ssl::host_name_verification(host));
  if (const auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::client, kAwait); error) {
    co_return no_answer("TLS", error);
  }
  auto request = to_request(std::move(outgoing));
  co_return co_await exchange(stream, request);
}

void HttpSender::Impl::begin(Outgoing outgoing, const OnAnswer& on_answer, Endpoints endpoints,
                             Clock::time_point deadline) {
  auto posted = outgoing.target.tls ? post_tls(std::move(outgoing), std::move(endpoints), deadline)
                                    : post(std::move(outgoing), std::move(endpoints), deadline);
  asio::co_spawn(io, std::move(posted), [on_answer](const std::exception_ptr& fault, Answer answer) {
    try {
      if (fault) std::rethrow_exception(fault);
    } catch (const std::exception& error) {
      answer = {.failure = std::string("fault: ") + error.what()};
    }
    on_answer(std::move(answer));
  });
}

HttpSender::HttpSender(const HttpSenderOptions& options) : impl_(std::make_unique<Impl>(options)) {}

HttpSender::~HttpSender() { stop(); }

void HttpSender::send(Outgoing request, OnAnswer on_answer) {
  const Clock::time_point deadline = Clock::now() + impl_->options.timeout;
  asio::post(impl_->resolvers,
             [impl = impl_.get(), request = std::move(request), on_answer = std::move(on_answer), deadline]() mutable {
               auto found = look_up(request.target, impl->options.addresses);
               if (auto* why_not = std::get_if<Answer>(&found)) {
                 on_answer(std::move(*why_not));
               } else {
                 impl->begin(std::move(request), on_answer, std::move(std::get<Endpoints>(found)), deadline);
               }
             });
}

void HttpSender::stop() {
  impl_->resolvers.stop();
  impl_->resolvers.join();
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace millrace::notifier
