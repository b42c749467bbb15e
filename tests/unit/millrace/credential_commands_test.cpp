// What the commands of credentials, authorities and policies ask for, and what they print.
#include <filesystem>
#include <fstream>
#include <sstream>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>

#include "command_error.hpp"
#include "command_line.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "said.hpp"
#include "test_certificates.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
constexpr TimeUs kTime = 1'900'000'000'000'000;  // 2030-03-17T17:46:40Z

/// Keeps what was asked last. One call at a time.
class FakeRegistry : public api::RegistryService::Service {
 public:
  grpc::Status AddCredential(grpc::ServerContext* /*context*/, const api::AddCredentialRequest* request,
                             api::AddCredentialResponse* response) override {
    added.set(*request);
    response->mutable_credential()->set_credential_id("c4");
    response->mutable_credential()->set_kind(api::CREDENTIAL_KIND_TOKEN);
    if (request->proof_case() == api::AddCredentialRequest::PROOF_NOT_SET) response->set_token("mt_drawn");
    return grpc::Status::OK;
  }
  grpc::Status ListCredentials(grpc::ServerContext* /*context*/, const api::ListCredentialsRequest* /*request*/,
                               api::ListCredentialsResponse* response) override {
    auto& token = *response->add_credentials();
    token.set_credential_id("t0123456789abcdef");
    token.set_kind(api::CREDENTIAL_KIND_TOKEN);
    auto& certificate = *response->add_credentials();
    certificate.set_credential_id("c1");
    certificate.set_kind(api::CREDENTIAL_KIND_CERTIFICATE);
    certificate.set_certificate_sha256(std::string(32, '\xAB'));
    certificate.set_not_after_us(kTime);
    return grpc::Status::OK;
  }
  grpc::Status RemoveCredential(grpc::ServerContext* /*context*/, const api::RemoveCredentialRequest* /*request*/,
                                api::RemoveCredentialResponse* /*response*/) override {
    return {grpc::StatusCode::NOT_FOUND, "there is no such one"};
  }
  grpc::Status SetDeviceChildren(grpc::ServerContext* /*context*/, const api::SetDeviceChildrenRequest* request,
                                 api::SetDeviceChildrenResponse* /*response*/) override {
    children.set(*request);
    return grpc::Status::OK;
  }
  grpc::Status SetDeviceTopics(grpc::ServerContext* /*context*/, const api::SetDeviceTopicsRequest* request,
                               api::SetDeviceTopicsResponse* /*response*/) override {
    topics.set(*request);
    return grpc::Status::OK;
  }
  grpc::Status SetDeviceAckLevel(grpc::ServerContext* /*context*/, const api::SetDeviceAckLevelRequest* request,
                                 api::SetDeviceAckLevelResponse* /*response*/) override {
    ack.set(*request);
    return grpc::Status::OK;
  }
  grpc::Status GetDeviceAccess(grpc::ServerContext* /*context*/, const api::GetDeviceAccessRequest* /*request*/,
                               api::GetDeviceAccessResponse* response) override {
    *response->mutable_children() = children.get().children();
    *response->mutable_topics() = topics.get().topics();
    response->set_ack_level(ack.get().ack_level());
    return grpc::Status::OK;
  }
  grpc::Status SetAuthority(grpc::ServerContext* /*context*/, const api::SetAuthorityRequest* request,
                            api::AuthorityEntry* response) override {
    authority.set(*request);
    *response = request->authority();
    response->set_certificate(authority_der.get());
    return grpc::Status::OK;
  }
  grpc::Status ListAuthorities(grpc::ServerContext* /*context*/, const api::ListAuthoritiesRequest* /*request*/,
                               api::ListAuthoritiesResponse* response) override {
    *response->add_authorities() = authority.get().authority();
    response->mutable_authorities(0)->set_certificate(authority_der.get());
    return grpc::Status::OK;
  }
  grpc::Status SetPolicy(grpc::ServerContext* /*context*/, const api::SetPolicyRequest* request,
                         api::PolicyEntry* response) override {
    *response = policy = request->policy();
    return grpc::Status::OK;
  }
  grpc::Status GetPolicy(grpc::ServerContext* /*context*/, const api::GetPolicyRequest* /*request*/,
                         api::PolicyEntry* response) override {
    *response = policy;
    return grpc::Status::OK;
  }

  Said<api::AddCredentialRequest> added;
  Said<api::SetDeviceChildrenRequest> children;
  Said<api::SetDeviceTopicsRequest> topics;
  Said<api::SetDeviceAckLevelRequest> ack;
  Said<api::SetAuthorityRequest> authority;
  api::PolicyEntry policy;
  Said<std::string> authority_der;
};

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class CredentialCommands : public ::testing::Test {
 protected:
  CredentialCommands() {
    registry_.authority_der.set(root_.der());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&registry_);
    server_ = builder.BuildAndStart();
    std::filesystem::create_directories(folder_);
  }
  ~CredentialCommands() override { std::filesystem::remove_all(folder_); }

  Outcome run(std::vector<std::string> arguments, const std::string& input = "") const {
    arguments.insert(arguments.end(),
                     {"--registry", "127.0.0.1:" + std::to_string(port_), "--api-key", "mk_x", "--tenant", "acme"});
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_command_line(std::move(arguments), {in, out, err});
    return {code, out.str(), err.str()};
  }
  std::string file(const std::string& text) const {
    const std::string path = (folder_ / "input").string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  const test::TestCertificate root_ = test::make_authority("root");
  FakeRegistry registry_;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("millrace-credentials-" + to_hex(random_bytes(4)));
};

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(CredentialCommands, ATokenIsDrawnAndShownOnce) {
  const Outcome added = run(
      {"credential", "add", "meter", "--token", "--not-before", "2030-01-01", "--not-after", "2030-03-17T17:46:40Z"});
  EXPECT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(added.out, "added token c4 to device meter; it is shown only now:\nmt_drawn\n");
  EXPECT_EQ(registry_.added.get().tenant(), "acme");
  EXPECT_EQ(registry_.added.get().device(), "meter");
  EXPECT_EQ(registry_.added.get().proof_case(), api::AddCredentialRequest::PROOF_NOT_SET);
  EXPECT_EQ(registry_.added.get().not_before_us(), parse_rfc3339("2030-01-01T00:00:00Z").value());
  EXPECT_EQ(registry_.added.get().not_after_us(), kTime);
  EXPECT_EQ(run({"credential", "add", "meter", "--token", "--json"}).out,
            "{\"device\":\"meter\",\"id\":\"c4\",\"kind\":\"token\",\"token\":\"mt_drawn\"}\n");
}

TEST_F(CredentialCommands, APasswordComesFromAFileOrStandardInput) {
  ASSERT_EQ(run({"credential", "add", "meter", "--password-file", file("correct horse\r\n")}).code, 0);
  EXPECT_EQ(registry_.added.get().password(), "correct horse");
  ASSERT_EQ(run({"credential", "add", "meter", "--password-file", "-"}, " two lines\n\n").code, 0);
  EXPECT_EQ(registry_.added.get().password(), " two lines\n");
  const Outcome missing = run({"credential", "add", "meter", "--password-file", "no/such/file"});
  EXPECT_EQ(missing.code, kExitFailed);
  EXPECT_TRUE(holds(missing.err, "--password-file: no/such/file cannot be read")) << missing.err;
  EXPECT_TRUE(holds(run({"credential", "add", "meter", "--password-file", file(std::string(65537, 'x'))}).err,
                    "more than 65536 bytes"));
}

TEST_F(CredentialCommands, ACertificateIsSentAsItIs) {
  ASSERT_EQ(run({"credential", "add", "meter", "--certificate", file(root_.pem())}).code, 0);
  EXPECT_EQ(registry_.added.get().certificate_pem(), root_.pem());
}

TEST_F(CredentialCommands, JustOneProofIsGiven) {
  EXPECT_EQ(run({"credential", "add", "meter"}).code, kExitUsage);
  EXPECT_EQ(run({"credential", "add", "meter", "--token", "--password-file", "-"}, "correct horse").code, kExitUsage);
  EXPECT_EQ(run({"credential", "add", "meter", "--token", "--not-after", "2001-01-01"}).code, kExitUsage);
  EXPECT_EQ(run({"credential", "add", "meter", "--token", "--not-before", "soon"}).code, kExitUsage);
  EXPECT_EQ(registry_.added.get().device(), "");
}

TEST_F(CredentialCommands, TheyAreListed) {
  const std::string table = run({"credential", "list", "meter"}).out;
  EXPECT_TRUE(holds(table, "t0123456789abcdef  token")) << table;
  EXPECT_TRUE(holds(table, "2030-03-17T17:46:40Z")) << table;
  EXPECT_EQ(run({"credential", "list", "meter", "--json"}).out,
            "[{\"id\":\"t0123456789abcdef\",\"kind\":\"token\"},\n"
            "{\"id\":\"c1\",\"kind\":\"certificate\",\"not_after\":\"2030-03-17T17:46:40Z\","
            "\"certificate_sha256\":\"" +
                to_hex(std::string(32, '\xAB')) + "\"}]\n");
  const Outcome removed = run({"credential", "remove", "meter", "c9"});
  EXPECT_EQ(removed.code, kExitFailed);
  EXPECT_TRUE(holds(removed.err, "next: `millrace credential list DEVICE`")) << removed.err;
}

TEST_F(CredentialCommands, AnAckLevelIsSetTakenAwayAndShown) {
  EXPECT_EQ(run({"device", "ack", "show", "gate"}).out, "as the tenant's policy says\n");
  EXPECT_EQ(run({"device", "ack", "set", "gate", "stored"}).out, "device gate has the ack level stored\n");
  EXPECT_EQ(registry_.ack.get().ack_level(), api::ACK_LEVEL_STORED);
  EXPECT_EQ(run({"device", "ack", "show", "gate", "--json"}).out, "{\"ack\":\"stored\"}\n");
  EXPECT_EQ(run({"device", "ack", "set", "gate", "sometimes"}).code, kExitUsage);
  EXPECT_EQ(run({"device", "ack", "set", "gate"}).code, kExitUsage);
  EXPECT_EQ(run({"device", "ack", "set", "gate", "bus", "--none"}).code, kExitUsage);
  EXPECT_EQ(run({"device", "ack", "set", "gate", "--none"}).code, 0);
  EXPECT_EQ(run({"device", "ack", "show", "gate", "--json"}).out, "{\"ack\":null}\n");
}

TEST_F(CredentialCommands, ChildrenAndTopicsAreReplacedAndShown) {
  EXPECT_EQ(run({"device", "children", "set", "gate", "m-1", "hall-*"}).out, "device gate publishes for 2 children\n");
  EXPECT_EQ(registry_.children.get().children(1), "hall-*");
  EXPECT_EQ(run({"device", "children", "show", "gate"}).out, "m-1\nhall-*\n");
  EXPECT_EQ(run({"device", "children", "show", "gate", "--json"}).out, "[\"m-1\",\"hall-*\"]\n");

  const Outcome set = run({"device", "topics", "set", "gate", "--subscribe", "news/#", "--publish", "chat", "--both",
                           "x", "--subscribe", "chat"});
  EXPECT_EQ(set.code, 0) << set.err;
  ASSERT_EQ(registry_.topics.get().topics_size(), 3);
  EXPECT_TRUE(holds(set.out, "publish, subscribe")) << set.out;
  EXPECT_EQ(run({"device", "topics", "show", "gate", "--json"}).out,
            "[{\"filter\":\"chat\",\"publish\":true,\"subscribe\":true},"
            "{\"filter\":\"news/#\",\"publish\":false,\"subscribe\":true},"
            "{\"filter\":\"x\",\"publish\":true,\"subscribe\":true}]\n");
}

TEST_F(CredentialCommands, NothingIsTakenAwayByAForgottenArgument) {
  ASSERT_EQ(run({"device", "children", "set", "gate", "m-1"}).code, 0);
  EXPECT_EQ(run({"device", "children", "set", "gate"}).code, kExitUsage);
  EXPECT_EQ(run({"device", "topics", "set", "gate"}).code, kExitUsage);
  EXPECT_EQ(run({"policy", "set"}).code, kExitUsage);
  EXPECT_EQ(run({"device", "children", "set", "gate", "m-2", "--none"}).code, kExitUsage);
  EXPECT_EQ(registry_.children.get().children(0), "m-1");
  EXPECT_EQ(run({"device", "children", "set", "gate", "--none"}).out, "device gate publishes for 0 children\n");
  EXPECT_EQ(registry_.children.get().children_size(), 0);
  EXPECT_EQ(run({"device", "topics", "set", "gate", "--none"}).code, 0);
  EXPECT_EQ(run({"policy", "set", "--none"}).code, 0);
}

TEST_F(CredentialCommands, AnAuthorityIsSetAndListedWithWhatItsCertificateSays) {
  const Outcome set = run({"authority", "set", "meters", "--certificate", file(root_.pem()), "--source", "uri",
                           "--pattern", "urn:{device}", "--provisions", "--most-provisioned", "7"});
  EXPECT_EQ(set.code, 0) << set.err;
  const auto asked = registry_.authority.get().authority();
  EXPECT_EQ(registry_.authority.get().certificate_pem(), root_.pem());
  EXPECT_EQ(asked.source(), api::SUBJECT_SOURCE_URI);
  EXPECT_EQ(asked.pattern(), "urn:{device}");
  EXPECT_TRUE(asked.enabled() && asked.provisions());
  EXPECT_EQ(asked.most_provisioned(), 7U);
  for (const char* part : {"CN=root", "up to 7", "urn:{device}", "uri"}) EXPECT_TRUE(holds(set.out, part)) << set.out;
  EXPECT_TRUE(holds(run({"authority", "list", "--json"}).out, "\"subject\":\"CN=root\",\"certificate_ends\":\"20"));

  ASSERT_EQ(run({"authority", "set", "meters", "--certificate", file(root_.pem()), "--disabled"}).code, 0);
  EXPECT_EQ(registry_.authority.get().authority().source(), api::SUBJECT_SOURCE_COMMON_NAME);
  EXPECT_EQ(registry_.authority.get().authority().pattern(), "{device}");
  EXPECT_FALSE(registry_.authority.get().authority().enabled());
  EXPECT_EQ(run({"authority", "set", "meters"}).code, kExitUsage);
  EXPECT_EQ(run({"authority", "set", "m", "--certificate", "x", "--source", "serial"}).code, kExitUsage);
  EXPECT_EQ(run({"authority", "set", "m", "--certificate", "x", "--most-provisioned", "7"}).code, kExitUsage);
}

TEST_F(CredentialCommands, APolicyIsSetAndShown) {
  const Outcome set = run({"policy", "set", "--subscribe", "news/#", "--receipts"});
  EXPECT_EQ(set.code, 0) << set.err;
  EXPECT_TRUE(holds(set.out, "news/#  subscribe")) << set.out;
  EXPECT_EQ(run({"policy", "show", "--json"}).out,
            "{\"tenant\":\"acme\",\"device_topics\":[{\"filter\":\"news/#\",\"publish\":false,\"subscribe\":true}],"
            "\"receipts\":true,\"ack\":\"bus\"}\n");
  EXPECT_EQ(run({"policy", "set", "--ack", "stored", "--json"}).out,
            "{\"tenant\":\"acme\",\"device_topics\":[],\"receipts\":false,\"ack\":\"stored\"}\n");
  EXPECT_EQ(run({"policy", "set", "--ack", "bus"}).code, kExitUsage) << "that is no policy";
  EXPECT_EQ(run({"policy", "set", "--ack", "disk"}).code, kExitUsage);
}

}  // namespace
}  // namespace millrace::cli
