// Devices that are made by their certificate.
#include <atomic>
#include <thread>

#include <millrace/base/time.hpp>

#include "registry_fixture.hpp"
#include "test_certificates.hpp"

namespace millrace::registry {
namespace {

class Provisioning : public Registry {
 protected:
  void SetUp() override {
    Registry::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    platform_operator_ = create_api_key(*database_, "", v1::ROLE_OPERATOR, "gateway", 0)->key();
    platform_viewer_ = create_api_key(*database_, "", v1::ROLE_VIEWER, "viewer", 0)->key();
  }
  void set_authority(
      const std::string& name, const test::TestCertificate& certificate, std::uint32_t most = 0,
      const std::function<void(v1::AuthorityEntry&)>& change = [](v1::AuthorityEntry&) {}) {
    v1::SetAuthorityRequest request;
    v1::AuthorityEntry& authority = *request.mutable_authority();
    authority.set_authority(name);
    authority.set_source(v1::SUBJECT_SOURCE_COMMON_NAME);
    authority.set_pattern("{device}");
    authority.set_enabled(true);
    authority.set_provisions(true);
    authority.set_most_provisioned(most);
    change(authority);
    request.set_certificate_pem(certificate.pem());
    ASSERT_EQ(said(&Stub::SetAuthority, request, admin_), "OK");
  }
  static v1::ProvisionDeviceRequest request(const std::vector<test::TestCertificate>& chain) {
    v1::ProvisionDeviceRequest made;
    made.set_tenant("acme");
    for (const auto& one : chain) made.add_chain(one.der());
    return made;
  }
  grpc::Status provision(const std::vector<test::TestCertificate>& chain, v1::ProvisionDeviceResponse& response) {
    return call(&Stub::ProvisionDevice, request(chain), response, platform_operator_);
  }
  std::string said_of(const std::vector<test::TestCertificate>& chain) {
    v1::ProvisionDeviceResponse response;
    return text_of(provision(chain, response));
  }
  test::TestCertificate leaf(const std::string& name) { return test::make_leaf(name, root_); }
  std::int64_t devices() {
    return database_->exec("SELECT count(*) FROM registry.device WHERE tenant = 'acme'")->integer(0, 0);
  }
  std::int64_t keys_drawn() { return database_->exec("SELECT last_value FROM registry.device_key_seq")->integer(0, 0); }

  const test::TestCertificate root_ = test::make_authority("root");
  std::string platform_operator_, platform_viewer_;
};

TEST_F(Provisioning, MakesTheDeviceOnceWithoutAToken) {
  set_authority("meters", root_);
  const auto certificate = leaf("meter-7");
  v1::ProvisionDeviceResponse first, second;
  ASSERT_EQ(text_of(provision({certificate}, first)), "OK");
  EXPECT_FALSE(first.existed());
  EXPECT_EQ(first.device().tenant(), "acme");
  EXPECT_EQ(first.device().device(), "meter-7");
  EXPECT_TRUE(first.device().enabled());
  EXPECT_EQ(first.device().tokens(), 0);
  ASSERT_EQ(text_of(provision({certificate}, second)), "OK");
  EXPECT_TRUE(second.existed());
  EXPECT_EQ(second.device().device_key(), first.device().device_key());
  const auto entry = published("device/acme/meter-7").device();
  EXPECT_EQ(entry.device_key(), first.device().device_key());
  EXPECT_TRUE(entry.enabled());
  EXPECT_EQ(entry.token_sha256_size(), 0);
  EXPECT_GE(published("sequence/device").sequence().highest_device_key(), entry.device_key());
  const auto by = database_->exec("SELECT provisioned_by FROM registry.device WHERE device = 'meter-7'");
  EXPECT_EQ(by->text(0, 0), "meters");
}

TEST_F(Provisioning, ADeviceThatSomebodyMadeIsAnsweredAsItIs) {
  set_authority("meters", root_, 1);
  make_device("meter-7");
  v1::ProvisionDeviceResponse response;
  ASSERT_EQ(text_of(provision({leaf("meter-7")}, response)), "OK");
  EXPECT_TRUE(response.existed());
  EXPECT_EQ(response.device().tokens(), 1);
  EXPECT_EQ(said_of({leaf("meter-8")}), "OK") << "the other one was not counted";
}

TEST_F(Provisioning, NoMoreThanTheAuthorityMayMake) {
  set_authority("meters", root_, 2);
  EXPECT_EQ(said_of({leaf("m1")}), "OK");
  EXPECT_EQ(said_of({leaf("m2")}), "OK");
  const auto drawn = keys_drawn();
  EXPECT_EQ(said_of({leaf("m3")}),
            "FAILED_PRECONDITION: authority 'meters' has made 2 devices, as many as it may (most_provisioned)");
  EXPECT_EQ(said_of({leaf("m1")}), "OK") << "one that is there is no new one";
  EXPECT_EQ(keys_drawn(), drawn) << "a refused leaf uses up a device key";
  delete_device("m1");
  EXPECT_EQ(said_of({leaf("m3")}), "OK") << "a deleted device makes room";
  EXPECT_EQ(said_of({leaf("m1")}).substr(0, 19), "FAILED_PRECONDITION");
}

TEST_F(Provisioning, AnAuthoritySetAnewStillCountsItsDevices) {
  set_authority("meters", root_, 1);
  EXPECT_EQ(said_of({leaf("m1")}), "OK");
  v1::DeleteAuthorityRequest removal;
  removal.set_authority("meters");
  ASSERT_EQ(said(&Stub::DeleteAuthority, removal, admin_), "OK");
  set_authority("meters", root_, 1);
  EXPECT_EQ(said_of({leaf("m2")}).substr(0, 19), "FAILED_PRECONDITION");
  set_authority("meters", root_, 2);
  EXPECT_EQ(said_of({leaf("m2")}), "OK");
}

TEST_F(Provisioning, CallsAtTheSameTimeDoNotExceedIt) {
  set_authority("meters", root_, 5);
  std::atomic<int> made = 0, full = 0, others = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&, i] {
        for (int k = 0; k < 5; ++k) {
          const std::string answer = said_of({leaf("m-" + std::to_string(i) + "-" + std::to_string(k))});
          ++(answer == "OK" ? made : answer.starts_with("FAILED_PRECONDITION") ? full : others);
        }
      });
    }
  }
  EXPECT_EQ(made, 5);
  EXPECT_EQ(full, 15);
  EXPECT_EQ(others, 0);
  EXPECT_EQ(devices(), 5);
}

TEST_F(Provisioning, CallsForOneDeviceAtTheSameTimeMakeItOnce) {
  set_authority("meters", root_, 1);
  const auto certificate = leaf("meter-7");
  std::atomic<int> made = 0, existed = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        v1::ProvisionDeviceResponse response;
        EXPECT_EQ(text_of(provision({certificate}, response)), "OK");
        ++(response.existed() ? existed : made);
      });
    }
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(existed, 3);
}

TEST_F(Provisioning, ChainMustStandUnderAnAuthorityThatMayMakeDevices) {
  EXPECT_EQ(said_of({leaf("m")}), "FAILED_PRECONDITION: the tenant has no authority that makes devices now");
  set_authority("disabled", root_, 0, [](auto& authority) { authority.set_enabled(false); });
  set_authority("identifies", root_, 0, [](auto& authority) { authority.set_provisions(false); });
  set_authority("later", root_, 0, [](auto& authority) { authority.set_not_before_us(now_us() + 3'600'000'000); });
  EXPECT_EQ(said_of({leaf("m")}), "FAILED_PRECONDITION: the tenant has no authority that makes devices now");
  set_authority("meters", root_);
  const auto stranger = test::make_authority("stranger");
  EXPECT_EQ(said_of({test::make_leaf("m", stranger)}),
            "INVALID_ARGUMENT: chain: authority 'meters': certificate 'CN=m' was not issued under 'CN=root', or an "
            "intermediate certificate is missing");
  const auto middle = test::make_authority("middle", &root_);
  EXPECT_EQ(said_of({test::make_leaf("m", middle)}).substr(0, 17), "INVALID_ARGUMENT:");
  EXPECT_EQ(said_of({leaf("no id")}),
            "INVALID_ARGUMENT: chain: authority 'meters': the certificate has no name that fits '{device}' with a "
            "device id");
  EXPECT_EQ(said_of({}), "INVALID_ARGUMENT: chain must have 1 to 8 certificates");
  EXPECT_EQ(said_of(std::vector(9, leaf("m"))), "INVALID_ARGUMENT: chain must have 1 to 8 certificates");
  v1::ProvisionDeviceRequest garbage;
  garbage.set_tenant("acme");
  garbage.add_chain(std::string(40'000, 'x'));
  EXPECT_EQ(said(&Stub::ProvisionDevice, garbage, platform_operator_),
            "INVALID_ARGUMENT: chain is longer than 32768 bytes");
  EXPECT_EQ(devices(), 0);
  EXPECT_EQ(said_of({test::make_leaf("m", middle), middle}), "OK");
}

TEST_F(Provisioning, OnlyThePlatformsOperators) {
  set_authority("meters", root_);
  for (const std::string& key : {admin_, other_, platform_viewer_}) {
    EXPECT_EQ(code_of(&Stub::ProvisionDevice, request({leaf("m")}), key), grpc::StatusCode::PERMISSION_DENIED);
  }
  auto elsewhere = request({leaf("m")});
  elsewhere.set_tenant("other");
  EXPECT_EQ(said(&Stub::ProvisionDevice, elsewhere, platform_operator_),
            "FAILED_PRECONDITION: the tenant has no authority that makes devices now");
  elsewhere.set_tenant("nobody");
  EXPECT_EQ(said(&Stub::ProvisionDevice, elsewhere, platform_operator_), "NOT_FOUND: there is no tenant 'nobody'");
  EXPECT_EQ(devices(), 0);
}

}  // namespace
}  // namespace millrace::registry
