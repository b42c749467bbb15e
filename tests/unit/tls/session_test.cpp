// Both ends of a session over a socket pair.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/tls/session.hpp>

namespace millrace::tls {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

/// A certificate with its key; without an issuer it signs itself.
struct Made {
  Key key;
  Certificate certificate;
};

Made make(const char* name, const Made* issuer, const char* san) {
  Made made{Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free), Certificate(X509_new(), X509_free)};
  X509* raw = made.certificate.get();
  static long serial = 1;
  X509_set_version(raw, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(raw), serial++);
  X509_gmtime_adj(X509_getm_notBefore(raw), -60);
  X509_gmtime_adj(X509_getm_notAfter(raw), 3600);
  X509_set_pubkey(raw, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  const Made& signer = issuer != nullptr ? *issuer : made;
  X509_set_issuer_name(raw, X509_get_subject_name(signer.certificate.get()));
  const auto extend = [&](int kind, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    X509_add_ext(raw, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, san == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (san != nullptr) extend(NID_subject_alt_name, san);
  X509_sign(raw, signer.key.get(), EVP_sha256());
  return made;
}

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-tls-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    ca_ = make("CA", nullptr, nullptr);
    middle_ = make("intermediate", &ca_, nullptr);
    write("ca", {ca_}, ca_);
    write("server", {make_leaf("gateway.test")}, last_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Made make_leaf(const std::string& host) { return last_ = make(host.c_str(), &ca_, ("DNS:" + host).c_str()); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

  void write(const std::string& name, const std::vector<Made>& chain, const Made& own) {
    std::FILE* file = std::fopen(path(name + ".pem").c_str(), "w");
    for (const Made& one : chain) PEM_write_X509(file, one.certificate.get());
    std::fclose(file);
    file = std::fopen(path(name + ".key").c_str(), "w");
    PEM_write_PrivateKey(file, own.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }

  ServerSettings settings(const std::vector<std::string>& names = {"server"}) const {
    ServerSettings settings;
    for (const std::string& name : names) settings.identities.push_back({path(name + ".pem"), path(name + ".key")});
    settings.alpn = {"mqtt"};
    settings.client_certificate = ClientCertificate::kRequested;
    return settings;
  }
  ClientSettings client_settings() const {
    ClientSettings settings;
    settings.ca_file = path("ca.pem");
    settings.alpn = {"other", "mqtt"};
    return settings;
  }

  std::string folder_;
  Made ca_;
  Made middle_;
  Made last_;
};

/// Two connected sessions, and what became of their handshake.
struct Pair {
  Pair(const ServerContext& server_context, const ClientContext& client_context, const std::string& name,
       const Ticket& ticket = nullptr) {
    ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data());
    server.emplace(Session::accept(ends[0], server_context).value());
    client.emplace(Session::connect(ends[1], client_context, name, ticket).value());
    for (int turn = 0; turn < 20; ++turn) {
      const Step of_client = client->handshake();
      const Step of_server = server->handshake();
      failed = of_client.kind == Step::Kind::kFailed || of_server.kind == Step::Kind::kFailed;
      if (failed || (of_client.kind == Step::Kind::kDone && of_server.kind == Step::Kind::kDone)) return;
    }
    failed = true;
  }
  ~Pair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  /// From the server to the client: the tickets come along.
  std::string say(const std::string& text) {
    EXPECT_EQ(server->write(text.data(), text.size()).bytes, text.size());
    std::string heard(text.size(), '\0');
    heard.resize(client->read(heard.data(), heard.size()).bytes);
    return heard;
  }

  std::array<int, 2> ends{};
  std::optional<Session> server;
  std::optional<Session> client;
  bool failed = false;
};

TEST_F(SessionTest, CarriesBytesAndResumes) {
  const auto server = ServerContext::create(settings());
  ASSERT_TRUE(server.ok()) << server.error().message;
  const auto client = ClientContext::create(client_settings());
  ASSERT_TRUE(client.ok()) << client.error().message;
  Ticket ticket;
  {
    Pair pair(**server, **client, "gateway.test");
    ASSERT_FALSE(pair.failed) << pair.client->fault() << pair.server->fault();
    EXPECT_EQ(pair.say("hello"), "hello");
    EXPECT_EQ(pair.server->alpn(), "mqtt");
    EXPECT_FALSE(pair.server->resumed());
    EXPECT_TRUE(pair.server->peer_chain().empty());
    ticket = pair.client->ticket();
    ASSERT_TRUE(ticket);
  }
  ASSERT_TRUE((*server)->reload().ok());
  Pair again(**server, **client, "gateway.test", ticket);
  ASSERT_FALSE(again.failed);
  EXPECT_TRUE(again.server->resumed()) << "tickets outlive a reload";
  EXPECT_EQ(again.say("again"), "again");
}

TEST_F(SessionTest, ShowsTheClientsWholeChainAlsoAfterResumption) {
  Made device = make("device", &middle_, "DNS:device");
  write("device", {device, middle_}, device);
  ClientSettings shown = client_settings();
  shown.certificate_file = path("device.pem");
  shown.key_file = path("device.key");
  const auto server = ServerContext::create(settings());
  const auto client = ClientContext::create(shown);
  ASSERT_TRUE(server.ok() && client.ok());
  std::vector<std::string> chain;
  Ticket ticket;
  {
    Pair pair(**server, **client, "gateway.test");
    ASSERT_FALSE(pair.failed);
    chain = pair.server->peer_chain();
    ASSERT_EQ(chain.size(), 2U);
    pair.say("ticket");
    ticket = pair.client->ticket();
  }
  const auto* der = reinterpret_cast<const unsigned char*>(chain[0].data());
  const Certificate leaf(d2i_X509(nullptr, &der, static_cast<long>(chain[0].size())), X509_free);
  EXPECT_EQ(X509_cmp(leaf.get(), device.certificate.get()), 0) << "its own first";
  for (int turn = 0; turn < 2; ++turn) {
    Pair again(**server, **client, "gateway.test", ticket);
    ASSERT_FALSE(again.failed);
    ASSERT_TRUE(again.server->resumed());
    EXPECT_EQ(again.server->peer_chain(), chain);
    again.say("ticket");
    ticket = again.client->ticket();
  }
}

TEST_F(SessionTest, ClientsVerifyNameAndIssuer) {
  const auto server = ServerContext::create(settings());
  const auto client = ClientContext::create(client_settings());
  EXPECT_TRUE(Pair(**server, **client, "other.test").failed);
  write("ca", {make("CA", nullptr, nullptr)}, ca_);
  const auto stranger = ClientContext::create(client_settings());
  EXPECT_TRUE(Pair(**server, **stranger, "gateway.test").failed);
}

TEST_F(SessionTest, ServesTheCertificateOfTheNameThatIsAskedFor) {
  write("second", {make_leaf("second.test")}, last_);
  const auto server = ServerContext::create(settings({"server", "second"}));
  const auto client = ClientContext::create(client_settings());
  ASSERT_TRUE(server.ok() && client.ok());
  for (const char* name : {"gateway.test", "second.test"}) EXPECT_FALSE(Pair(**server, **client, name).failed) << name;
  EXPECT_TRUE(Pair(**server, **client, "third.test").failed);
}

TEST_F(SessionTest, RefusesAClientOfAnotherProtocol) {
  ClientSettings other = client_settings();
  other.alpn = {"h2"};
  EXPECT_TRUE(
      Pair(*ServerContext::create(settings()).value(), *ClientContext::create(other).value(), "gateway.test").failed);
}

TEST_F(SessionTest, KeepsTheOldCertificateWhileTheFilesDoNotFit) {
  const auto server = ServerContext::create(settings());
  const auto client = ClientContext::create(client_settings());
  ASSERT_TRUE(server.ok() && client.ok());
  EXPECT_FALSE((*server)->changed());
  std::ofstream(path("server.key")) << "nonsense";
  EXPECT_TRUE((*server)->changed());
  EXPECT_FALSE((*server)->reload().ok());
  EXPECT_TRUE((*server)->changed()) << "tried again";
  EXPECT_FALSE(Pair(**server, **client, "gateway.test").failed);
  write("server", {make_leaf("renewed.test")}, last_);
  EXPECT_TRUE((*server)->reload().ok());
  EXPECT_FALSE((*server)->changed());
  EXPECT_FALSE(Pair(**server, **client, "renewed.test").failed);
}

TEST_F(SessionTest, NamesTheFileThatCannotBeUsed) {
  const auto missing = ServerContext::create(settings({"absent"}));
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("absent.pem"), std::string::npos);
  EXPECT_FALSE(parse_key_pairs("a.pem,b.pem", "a.key").ok());
  EXPECT_FALSE(parse_key_pairs("", "").ok());
  EXPECT_EQ(parse_key_pairs("a.pem,b.pem", "a.key,b.key").value().size(), 2U);
}

TEST_F(SessionTest, GarbageIsAFaultWithAReason) {
  const auto server = ServerContext::create(settings());
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
  auto session = Session::accept(ends[0], **server);
  ASSERT_EQ(session->handshake().kind, Step::Kind::kWantRead);
  ASSERT_EQ(::write(ends[1], "GET / HTTP/1.1\r\n", 16), 16);
  EXPECT_EQ(session->handshake().kind, Step::Kind::kFailed);
  EXPECT_FALSE(session->fault().empty());
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace millrace::tls
