// Credentials over gRPC: each kind, who may, what the topic says, and that plain tokens stay what they were.
#include <thread>

#include <gmock/gmock.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>
#include <millrace/credentials/password.hpp>

#include "registry_fixture.hpp"
#include "test_certificates.hpp"

namespace millrace::registry {
namespace {

constexpr TimeUs kHour = 3600 * kUsPerSecond;

std::string digest_of(const std::string& token) { return std::string(bytes_of(sha256(token))); }

class Credentials : public Registry {
 protected:
  void SetUp() override {
    Registry::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    token_ = make_device("meter");
  }

  static v1::AddCredentialRequest request(const std::string& device = "meter") {
    v1::AddCredentialRequest request;
    request.set_device(device);
    return request;
  }
  static v1::AddCredentialRequest with_token(const std::string& token, const std::string& device = "meter") {
    auto made = request(device);
    made.set_token_sha256(digest_of(token));
    return made;
  }
  static v1::AddCredentialRequest with_password(const std::string& password) {
    auto made = request();
    made.set_password(password);
    return made;
  }
  static v1::AddCredentialRequest with_certificate(const std::string& pem) {
    auto made = request();
    made.set_certificate_pem(pem);
    return made;
  }
  v1::AddCredentialResponse add(const v1::AddCredentialRequest& wanted) {
    v1::AddCredentialResponse response;
    const auto status = call(&Stub::AddCredential, wanted, response, operator_);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  std::string refusal(const v1::AddCredentialRequest& wanted) { return said(&Stub::AddCredential, wanted, operator_); }
  std::string remove(const std::string& id, const std::string& device = "meter") {
    v1::RemoveCredentialRequest wanted;
    wanted.set_device(device);
    wanted.set_credential_id(id);
    return said(&Stub::RemoveCredential, wanted, operator_);
  }
  /// Their ids.
  std::vector<std::string> list(const std::string& device = "meter") {
    v1::ListCredentialsRequest wanted;
    wanted.set_device(device);
    v1::ListCredentialsResponse response;
    EXPECT_EQ(text_of(call(&Stub::ListCredentials, wanted, response, viewer_)), "OK");
    std::vector<std::string> ids;
    for (const auto& one : response.credentials()) ids.push_back(one.credential_id());
    return ids;
  }
  v1::CredentialsEntry entry(const std::string& device = "meter") {
    return published("credentials/acme/" + device).credentials();
  }
  int tokens() {
    v1::GetDeviceRequest wanted;
    wanted.set_device("meter");
    v1::Device device;
    EXPECT_EQ(text_of(call(&Stub::GetDevice, wanted, device, viewer_)), "OK");
    return device.tokens();
  }

  std::string token_;
};

TEST_F(Credentials, EachKindReachesTheTopicAndNoSecretIsListed) {
  const auto certificate = test::make_certificate({.common_name = "meter"});
  const auto drawn = add(request());
  EXPECT_TRUE(drawn.token().starts_with("mt_")) << drawn.token();
  EXPECT_EQ(drawn.credential().credential_id(), "c1");
  EXPECT_EQ(drawn.credential().kind(), v1::CREDENTIAL_KIND_TOKEN);
  EXPECT_EQ(add(with_token("my own token")).token(), "");
  EXPECT_EQ(add(with_password("correct horse")).credential().kind(), v1::CREDENTIAL_KIND_PASSWORD);
  const auto pinned = add(with_certificate(certificate.pem()));
  EXPECT_EQ(pinned.credential().kind(), v1::CREDENTIAL_KIND_CERTIFICATE);
  EXPECT_EQ(pinned.credential().certificate_sha256(), digest_of(certificate.der()));

  const auto now = entry();
  EXPECT_EQ(now.tenant(), "acme");
  EXPECT_EQ(now.device(), "meter");
  ASSERT_EQ(now.credentials_size(), 4);
  EXPECT_EQ(now.credentials(0).token_sha256(), digest_of(drawn.token()));
  EXPECT_EQ(now.credentials(1).token_sha256(), digest_of("my own token"));
  EXPECT_EQ(credentials::verify_password(now.credentials(2).password_phc(), "correct horse").value(), true);
  EXPECT_EQ(now.credentials(3).certificate_sha256(), digest_of(certificate.der()));

  EXPECT_EQ(list(), (std::vector<std::string>{"t" + to_hex(digest_of(token_)).substr(0, 16), "c1", "c2", "c3", "c4"}));
  v1::ListCredentialsRequest wanted;
  wanted.set_device("meter");
  v1::ListCredentialsResponse listed;
  ASSERT_TRUE(call(&Stub::ListCredentials, wanted, listed, viewer_).ok());
  EXPECT_EQ(listed.credentials(3).kind(), v1::CREDENTIAL_KIND_PASSWORD);
  EXPECT_EQ(listed.credentials(4).certificate_sha256(), digest_of(certificate.der()));
  const std::string bytes = listed.SerializeAsString();
  EXPECT_EQ(bytes.find("argon2"), std::string::npos);
  EXPECT_EQ(bytes.find(digest_of(drawn.token())), std::string::npos);
}

TEST_F(Credentials, WindowIsKept) {
  auto wanted = request();
  wanted.set_not_before_us(now_us() + kHour);
  wanted.set_not_after_us(now_us() + 2 * kHour);
  EXPECT_EQ(add(wanted).credential().not_after_us(), wanted.not_after_us());
  ASSERT_EQ(entry().credentials_size(), 1);
  EXPECT_EQ(entry().credentials(0).not_before_us(), wanted.not_before_us());
  EXPECT_EQ(entry().credentials(0).not_after_us(), wanted.not_after_us());
  wanted.set_not_after_us(wanted.not_before_us());
  EXPECT_EQ(refusal(wanted), "INVALID_ARGUMENT: not_after_us must be later than not_before_us");
  wanted.set_not_before_us(0);
  wanted.set_not_after_us(now_us() - 1);
  EXPECT_EQ(refusal(wanted), "INVALID_ARGUMENT: not_after_us has passed already");
  wanted.set_not_after_us(-1);
  EXPECT_EQ(refusal(wanted), "INVALID_ARGUMENT: not_after_us is negative");
  wanted.set_not_before_us(-1);
  EXPECT_EQ(refusal(wanted), "INVALID_ARGUMENT: not_before_us is negative");
}

TEST_F(Credentials, ProofThatCannotBeOneIsRefused) {
  auto digest = request();
  digest.set_token_sha256("short");
  EXPECT_EQ(refusal(digest), "INVALID_ARGUMENT: token_sha256 is not 32 bytes long");
  EXPECT_EQ(refusal(with_password("1234567")), "INVALID_ARGUMENT: password: a password must have 8 to 1024 bytes");
  EXPECT_EQ(refusal(with_password("")), "INVALID_ARGUMENT: password: a password must have 8 to 1024 bytes");
  EXPECT_EQ(refusal(with_password(std::string(1025, 'x'))),
            "INVALID_ARGUMENT: password: a password must have 8 to 1024 bytes");
  const auto one = test::make_certificate({.common_name = "meter"});
  EXPECT_TRUE(
      refusal(with_certificate("hello")).starts_with("INVALID_ARGUMENT: certificate_pem: there is no certificate"));
  EXPECT_TRUE(refusal(with_certificate(one.pem() + one.pem())).starts_with("INVALID_ARGUMENT: certificate_pem:"));
  EXPECT_TRUE(refusal(with_certificate(one.pem() + one.key_pem())).starts_with("INVALID_ARGUMENT: certificate_pem:"));
  const auto over = test::make_certificate({.common_name = "meter", .from_s = -200, .to_s = -100});
  EXPECT_TRUE(refusal(with_certificate(over.pem()))
                  .starts_with("INVALID_ARGUMENT: certificate_pem: this certificate is not valid any more since 20"));
  EXPECT_FALSE(published("credentials/acme/meter").has_credentials());
  EXPECT_EQ(list().size(), 1U);
}

TEST_F(Credentials, SameProofTwiceIsRefused) {
  make_device("other-meter");
  add(with_token("my own token"));
  EXPECT_EQ(refusal(with_token("my own token")), "ALREADY_EXISTS: token_sha256: device 'meter' has this token already");
  EXPECT_EQ(refusal(with_token(token_)), "ALREADY_EXISTS: token_sha256: device 'meter' has this token already");
  EXPECT_EQ(refusal(with_token("my own token", "other-meter")),
            "ABORTED: token_sha256: this token is another device's");
  // A device cannot be made with it either, nor is it taken for its first token.
  v1::CreateDeviceRequest device;
  device.set_device("third");
  device.set_token_sha256(digest_of("my own token"));
  EXPECT_EQ(code_of(&Stub::CreateDevice, device, operator_), grpc::StatusCode::ABORTED);
  device.set_device("meter");
  EXPECT_EQ(code_of(&Stub::CreateDevice, device, operator_), grpc::StatusCode::ALREADY_EXISTS);

  const auto certificate = test::make_certificate({.common_name = "meter"});
  add(with_certificate(certificate.pem()));
  EXPECT_EQ(refusal(with_certificate(certificate.pem())),
            "ALREADY_EXISTS: certificate_pem: device 'meter' has this certificate already");
  auto shared = with_certificate(certificate.pem());
  shared.set_device("other-meter");
  EXPECT_EQ(add(shared).credential().credential_id(), "c1") << "a certificate may stand for several devices";
}

TEST_F(Credentials, IdsAreNeverGivenTwice) {
  add(request());
  add(request());
  EXPECT_EQ(remove("c2"), "OK");
  EXPECT_EQ(add(request()).credential().credential_id(), "c3");
  EXPECT_EQ(refusal(with_token(token_)).substr(0, 14), "ALREADY_EXISTS");
  ASSERT_EQ(entry().credentials_size(), 2);
  EXPECT_EQ(entry().credentials(1).credential_id(), "c3");
}

TEST_F(Credentials, AnyCanBeRemovedTheLastOneToo) {
  const std::string id = add(with_password("correct horse")).credential().credential_id();
  EXPECT_EQ(entry().credentials_size(), 1);
  EXPECT_EQ(remove(id), "OK");
  EXPECT_FALSE(published("credentials/acme/meter").has_credentials());
  EXPECT_EQ(remove(id), "NOT_FOUND: device 'meter' has no credential 'c1'");
  EXPECT_EQ(remove(list().front()), "OK");
  EXPECT_EQ(published("device/acme/meter").device().token_sha256_size(), 0);
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(tokens(), 0);
  EXPECT_EQ(remove("t" + to_hex(digest_of(token_)).substr(0, 16)).substr(0, 10), "NOT_FOUND:");
  for (const char* id_text : {"", "c", "c0", "c01", "c-1", "c1x", "c99999999999", "t123", "x1", "tABCDEF0123456789"}) {
    EXPECT_EQ(remove(id_text).substr(0, 17), "INVALID_ARGUMENT:") << id_text;
  }
}

TEST_F(Credentials, RemovedTokenMayBeUsedAgain) {
  add(with_token("my own token"));
  EXPECT_EQ(remove("c1"), "OK");
  EXPECT_EQ(add(with_token("my own token")).credential().credential_id(), "c2");
}

TEST_F(Credentials, PlainTokensAreCountedByThemselves) {
  for (int i = 0; i < 12; ++i) add(request());
  EXPECT_EQ(tokens(), 1);
  v1::AddDeviceTokenRequest more;
  more.set_device("meter");
  for (int i = 1; i < 10; ++i) EXPECT_EQ(said(&Stub::AddDeviceToken, more, operator_), "OK");
  EXPECT_EQ(code_of(&Stub::AddDeviceToken, more, operator_), grpc::StatusCode::ABORTED);
  EXPECT_EQ(tokens(), 10);
  EXPECT_EQ(published("device/acme/meter").device().token_sha256_size(), 10);
  EXPECT_EQ(entry().credentials_size(), 12);
}

TEST_F(Credentials, NumberOfThemIsBounded) {
  for (int i = 0; i < 32; ++i) add(request());
  EXPECT_EQ(refusal(request()), "RESOURCE_EXHAUSTED: device 'meter' has 32 credentials already; remove one first");
  EXPECT_EQ(remove("c7"), "OK");
  EXPECT_EQ(add(request()).credential().credential_id(), "c33");
}

TEST_F(Credentials, OfChangesAtTheSameTimeEachIsPublishedWithThoseBeforeIt) {
  constexpr int kCallers = 4;
  constexpr int kRounds = 2;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([this] {
        v1::AddDeviceTokenRequest more;
        more.set_device("meter");
        for (int k = 0; k < kRounds; ++k) {
          EXPECT_EQ(said(&Stub::AddDeviceToken, more, operator_), "OK");
          add(request());
        }
      });
    }
  }
  EXPECT_EQ(entry().credentials_size(), kCallers * kRounds);
  std::vector<int> token_counts, credential_counts;
  for (const auto& record : log_of(topics_.registry())) {
    v1::Entry said_then;
    ASSERT_TRUE(said_then.ParseFromString(record.value));
    if (record.key == "device/acme/meter") token_counts.push_back(said_then.device().token_sha256_size());
    if (record.key == "credentials/acme/meter") credential_counts.push_back(said_then.credentials().credentials_size());
  }
  EXPECT_THAT(token_counts, ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(credential_counts, ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(Credentials, ADeviceMadeAnewHasNoneOfTheFormerOne) {
  add(with_token("my own token"));
  add(with_password("correct horse"));
  ASSERT_EQ(entry().credentials_size(), 2);
  delete_device("meter");
  EXPECT_FALSE(published("credentials/acme/meter").has_credentials());
  make_device("meter");
  EXPECT_EQ(list().size(), 1U);
  EXPECT_EQ(remove("c1"), "NOT_FOUND: device 'meter' has no credential 'c1'");
  add(with_token("my own token"));
  EXPECT_EQ(entry().credentials_size(), 1);
}

TEST_F(Credentials, RolesAndTenants) {
  EXPECT_EQ(code_of(&Stub::AddCredential, request(), viewer_), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code_of(&Stub::AddCredential, request(), other_), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code_of(&Stub::AddCredential, request(), platform_), grpc::StatusCode::INVALID_ARGUMENT);
  auto foreign = request();
  foreign.set_tenant("acme");
  EXPECT_EQ(code_of(&Stub::AddCredential, foreign, other_), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code_of(&Stub::AddCredential, foreign, platform_), grpc::StatusCode::OK);
  v1::RemoveCredentialRequest removal;
  removal.set_device("meter");
  removal.set_credential_id("c1");
  EXPECT_EQ(code_of(&Stub::RemoveCredential, removal, viewer_), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code_of(&Stub::RemoveCredential, removal, other_), grpc::StatusCode::NOT_FOUND);
  v1::ListCredentialsRequest listing;
  listing.set_device("meter");
  EXPECT_EQ(code_of(&Stub::ListCredentials, listing, viewer_), grpc::StatusCode::OK);
  EXPECT_EQ(code_of(&Stub::ListCredentials, listing, other_), grpc::StatusCode::NOT_FOUND);
  listing.set_tenant("acme");
  EXPECT_EQ(code_of(&Stub::ListCredentials, listing, other_), grpc::StatusCode::PERMISSION_DENIED);
  auto unknown = request("nobody");
  EXPECT_EQ(refusal(unknown), "NOT_FOUND: there is no device 'nobody' in tenant acme");
  EXPECT_EQ(refusal(request("no/id")).substr(0, 17), "INVALID_ARGUMENT:");
}

}  // namespace
}  // namespace millrace::registry
