#include <gtest/gtest.h>

#include <millrace/runtime/healthcheck.hpp>
#include <millrace/runtime/ops_server.hpp>

namespace millrace::runtime {
namespace {

class Healthcheck : public ::testing::Test {
 protected:
  std::unique_ptr<OpsServer> serve(const std::string& host) {
    auto server = OpsServer::start({host, 0}, health_, metrics_);
    EXPECT_TRUE(server.ok()) << server.error().message;
    return std::move(*server);
  }

  Health health_;
  observability::Metrics metrics_;
};

TEST_F(Healthcheck, SaysWhatReadyzSays) {
  bool broker = false;
  health_.add("kafka", [&] { return CheckResult{broker, broker ? "connected" : "no broker"}; });
  const auto server = serve("127.0.0.1");
  const Readiness before = ask_readiness(server->address());
  EXPECT_FALSE(before.ready);
  EXPECT_NE(before.answer.find("no broker"), std::string::npos) << before.answer;
  EXPECT_EQ(healthcheck(server->address()), 1);
  broker = true;
  EXPECT_TRUE(ask_readiness(server->address()).ready);
  EXPECT_EQ(healthcheck(server->address()), 0);
  health_.set_stopping();
  EXPECT_FALSE(ask_readiness(server->address()).ready);
}

TEST_F(Healthcheck, AServiceOnAllAddressesIsAskedOverLoopback) {
  const auto server = serve("0.0.0.0");
  EXPECT_TRUE(ask_readiness({"0.0.0.0", server->address().port}).ready);
}

TEST_F(Healthcheck, AServiceThatIsGoneIsNotReadyAndTheAddressIsNamed) {
  Address address;
  {
    const auto server = serve("127.0.0.1");
    address = server->address();
  }
  const Readiness gone = ask_readiness(address);
  EXPECT_FALSE(gone.ready);
  EXPECT_NE(gone.answer.find(address.to_string()), std::string::npos) << gone.answer;
}

}  // namespace
}  // namespace millrace::runtime
