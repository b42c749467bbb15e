#include <gtest/gtest.h>
#include <httplib.h>

#include <millrace/runtime/ops_server.hpp>

namespace millrace::runtime {
namespace {

TEST(OpsServer, AnswersProbesAndMetrics) {
  Health health;
  bool broker = false;
  health.add("kafka", [&] { return CheckResult{broker, broker ? "connected" : "no\n\"broker\""}; });
  health.add_detail("durability", [] { return std::string("replication factor 1"); });
  observability::Metrics metrics;
  metrics.counter("millrace_z_total", "Z.").add();
  auto server = OpsServer::start({"127.0.0.1", 0}, health, metrics);
  ASSERT_TRUE(server.ok()) << server.error().message;
  httplib::Client client("127.0.0.1", (*server)->address().port);
  EXPECT_EQ(client.Get("/livez")->status, 200);
  const auto unready = client.Get("/readyz");
  EXPECT_EQ(unready->status, 503);
  EXPECT_NE(unready->body.find(R"("no \"broker\"")"), std::string::npos) << "one line: " << unready->body;
  broker = true;
  const auto ready = client.Get("/readyz");
  EXPECT_EQ(ready->status, 200);
  EXPECT_NE(ready->body.find("\"durability\":\"replication factor 1\""), std::string::npos) << ready->body;
  EXPECT_NE(client.Get("/metrics")->body.find("millrace_z_total 1"), std::string::npos);
  EXPECT_EQ(client.Get("/other")->status, 404);
  health.set_stopping();
  EXPECT_EQ(client.Get("/readyz")->status, 503);
}

TEST(OpsServer, ATakenPortIsAnErrorThatNamesIt) {
  Health health;
  observability::Metrics metrics;
  auto first = OpsServer::start({"127.0.0.1", 0}, health, metrics);
  ASSERT_TRUE(first.ok());
  const auto second = OpsServer::start((*first)->address(), health, metrics);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find((*first)->address().to_string()), std::string::npos);
}

}  // namespace
}  // namespace millrace::runtime
