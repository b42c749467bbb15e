// The HTTP client against servers that behave badly, and TLS with a CA of the test's own.
#include "send/http_sender.hpp"

#include <filesystem>
#include <fstream>
#include <future>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace millrace::notifier {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Accepts connections one after another; `serve` gets each after the request was read.
template <typename Socket>
class Server {
 public:
  using Serve = std::function<void(Socket&, const std::string& request)>;
  template <typename MakeSocket>
  Server(MakeSocket make, Serve serve)
      : thread_([this, make, serve] {
          while (true) {
            boost::system::error_code error;
            auto socket = make(acceptor_.accept(error));
            if (error || stopping_) return;
            ++accepted_;
            asio::streambuf buffer;
            asio::read_until(*socket, buffer, "\r\n\r\n", error);
            if (error) continue;
            const std::string request(asio::buffers_begin(buffer.data()), asio::buffers_end(buffer.data()));
            serve(*socket, request);
          }
        }) {}
  ~Server() {
    stopping_ = true;
    boost::system::error_code ignored;
    tcp::socket(io_).connect({asio::ip::address_v4::loopback(), port()}, ignored);
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  asio::io_context io_;
  tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
  std::atomic<bool> stopping_{false};
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

using PlainServer = Server<tcp::socket>;
auto plain() {
  return [](tcp::socket socket) { return std::make_unique<tcp::socket>(std::move(socket)); };
}
PlainServer::Serve answer(std::string text) {
  return [text = std::move(text)](tcp::socket& socket, const std::string&) {
    boost::system::error_code ignored;
    asio::write(socket, asio::buffer(text), ignored);
  };
}

Answer post(const std::string& url, HttpSenderOptions options = {seconds{60}, Addresses::kAll}) {
  HttpSender sender(options);
  std::promise<Answer> promise;
  Outgoing request;
  request.target = *parse_url(url);
  request.headers = {{"Content-Type", "application/json"}, {"Idempotency-Key", "k-1"}};
  request.body = "{\"a\":1}";
  sender.send(std::move(request), [&](Answer given) { promise.set_value(std::move(given)); });
  return promise.get_future().get();
}

std::string url_of(std::uint16_t port, const std::string& host = "127.0.0.1") {
  return "http://" + host + ":" + std::to_string(port) + "/hook?x=1";
}

TEST(HttpSender, PostsAndReadsTheStatus) {
  std::string got;
  PlainServer server(plain(), [&](tcp::socket& socket, const std::string& request) {
    got = request;
    answer("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno")(socket, request);
  });
  const Answer given = post(url_of(server.port(), "localhost"));
  EXPECT_EQ(given.status, 429) << given.failure;
  EXPECT_EQ(given.retry_after, seconds{7});
  EXPECT_TRUE(got.starts_with("POST /hook?x=1 HTTP/1.1\r\n")) << got;
  EXPECT_NE(got.find("Host: localhost:" + std::to_string(server.port()) + "\r\n"), std::string::npos) << got;
  EXPECT_NE(got.find("Idempotency-Key: k-1\r\n"), std::string::npos) << got;
  EXPECT_NE(got.find("Content-Length: 7\r\n"), std::string::npos) << got;
}

TEST(HttpSender, PassesOverInterimAnswers) {
  PlainServer server(plain(), answer("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_EQ(post(url_of(server.port())).status, 204);
}

TEST(HttpSender, ReadsOnlySoMuchOfAnAnswer) {
  PlainServer body(plain(), answer("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + std::string(1 << 20, 'x')));
  EXPECT_EQ(post(url_of(body.port())).status, 200);
  PlainServer header(plain(), answer("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x') + "\r\n\r\n"));
  const Answer given = post(url_of(header.port()));
  EXPECT_EQ(given.status, 0);
  EXPECT_TRUE(given.failure.starts_with("receive: ")) << given.failure;
}

TEST(HttpSender, WhatIsNoHttpIsNoAnswer) {
  PlainServer server(plain(), answer("SSH-2.0-OpenSSH_9.2\r\n"));
  EXPECT_EQ(post(url_of(server.port())).status, 0);
}

// A byte now and then would keep a time-out for each read from ever passing.
TEST(HttpSender, TheTimeOutIsForTheWholeRequest) {
  std::atomic<bool> closed{false};
  PlainServer server(plain(), [&](tcp::socket& socket, const std::string&) {
    boost::system::error_code error;
    std::size_t sent = 0;
    while (!error) {
      sent += asio::write(socket, asio::buffer("H", 1), error);
      std::this_thread::sleep_for(milliseconds{20});  // the behaviour under test: slow, but never silent
    }
    closed = sent > 0;
  });
  const Answer given = post(url_of(server.port()), {milliseconds{500}, Addresses::kAll});
  EXPECT_EQ(given.status, 0);
  EXPECT_FALSE(given.failure.empty());
}

TEST(HttpSender, ASilentServerTimesOut) {
  std::promise<void> done;
  auto wait = done.get_future().share();
  PlainServer server(plain(), [wait](tcp::socket&, const std::string&) { wait.wait(); });
  const Answer given = post(url_of(server.port()), {milliseconds{300}, Addresses::kAll});
  done.set_value();
  EXPECT_EQ(given.status, 0);
  EXPECT_EQ(given.failure, "receive: no answer in time");
}

TEST(HttpSender, SaysThatNobodyListens) {
  std::uint16_t port = 0;
  {
    PlainServer server(plain(), answer(""));
    port = server.port();
  }
  const Answer given = post(url_of(port));
  EXPECT_EQ(given.status, 0);
  EXPECT_TRUE(given.failure.starts_with("connect: ")) << given.failure;
}

TEST(HttpSender, PrivateAddressesAreRefusedBeforeAnyConnection) {
  PlainServer server(plain(), answer("HTTP/1.1 200 OK\r\n\r\n"));
  for (const char* host :
       {"127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"}) {
    const Answer given = post(url_of(server.port(), host), {seconds{60}, Addresses::kPublicOnly});
    EXPECT_EQ(given.status, 0) << host;
    EXPECT_TRUE(given.address_refused) << host << ": " << given.failure;
  }
  EXPECT_EQ(server.accepted(), 0);
}

/// A certificate for the name `localhost` that signs itself.
class Certificate {
 public:
  Certificate() {
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr);
    EVP_PKEY_keygen_init(context);
    EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1);
    EVP_PKEY_keygen(context, &key_);
    EVP_PKEY_CTX_free(context);
    X509_set_version(certificate_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_), -3'600);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), 3'600);
    X509_set_pubkey(certificate_, key_);
    X509_NAME* name = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate_, name);
    add(NID_basic_constraints, "critical,CA:TRUE");
    add(NID_subject_alt_name, "DNS:localhost");
    X509_sign(certificate_, key_, EVP_sha256());
  }
  ~Certificate() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  void use(asio::ssl::context& context) const {
    SSL_CTX_use_certificate(context.native_handle(), certificate_);
    SSL_CTX_use_PrivateKey(context.native_handle(), key_);
  }
  void write(const std::string& file) const {
    std::FILE* out = std::fopen(file.c_str(), "w");
    ASSERT_NE(out, nullptr);
    PEM_write_X509(out, certificate_);
    std::fclose(out);
  }

 private:
  void add(int id, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
    X509_add_ext(certificate_, extension, -1);
    X509_EXTENSION_free(extension);
  }

  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = X509_new();
};

class HttpSenderTls : public ::testing::Test {
 protected:
  using Stream = asio::ssl::stream<tcp::socket>;

  void SetUp() override {
    certificate_.use(context_);
    certificate_.write(file_);
    server_ = std::make_unique<Server<Stream>>(
        [this](tcp::socket socket) {
          auto stream = std::make_unique<Stream>(std::move(socket), context_);
          boost::system::error_code refused;
          stream->handshake(Stream::server, refused);
          return stream;
        },
        [this](Stream& stream, const std::string&) {
          ++served_;
          boost::system::error_code ignored;
          const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
          asio::write(stream, asio::buffer(text), ignored);
        });
  }
  void TearDown() override {
    ::unsetenv("SSL_CERT_FILE");
    std::filesystem::remove(file_);
  }
  std::string url(const std::string& host) const {
    return "https://" + host + ":" + std::to_string(server_->port()) + "/";
  }

  Certificate certificate_;
  std::string file_ =
      (std::filesystem::temp_directory_path() / ("notifier-ca-" + std::to_string(::getpid()) + ".pem")).string();
  asio::ssl::context context_{asio::ssl::context::tls_server};
  std::atomic<int> served_{0};
  std::unique_ptr<Server<Stream>> server_;
};

TEST_F(HttpSenderTls, TrustsTheSystemsStore) {
  ::setenv("SSL_CERT_FILE", file_.c_str(), 1);
  const Answer given = post(url("localhost"));
  EXPECT_EQ(given.status, 200) << given.failure;
}

TEST_F(HttpSenderTls, RefusesACertificateOfAnUnknownCa) {
  const Answer given = post(url("localhost"));
  EXPECT_EQ(given.status, 0);
  EXPECT_TRUE(given.failure.starts_with("TLS: ")) << given.failure;
  EXPECT_EQ(served_, 0);
}

TEST_F(HttpSenderTls, RefusesACertificateOfAnotherName) {
  ::setenv("SSL_CERT_FILE", file_.c_str(), 1);
  const Answer given = post(url("127.0.0.1"));
  EXPECT_EQ(given.status, 0);
  EXPECT_TRUE(given.failure.starts_with("TLS: ")) << given.failure;
  EXPECT_EQ(served_, 0);
}

}  // namespace
}  // namespace millrace::notifier
