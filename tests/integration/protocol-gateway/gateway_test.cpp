#include "gateway_fixture.hpp"

namespace millrace::gateway {
namespace {

class GatewayTest : public GatewayFixture {};

TEST_F(GatewayTest, HttpAnswersWithThePlaceInTheLog) {
  const RawAnswer answer = post(R"([{"power":1.5},{"power":2,"ts":1700000000}])", "Idempotency-Key: abc\r\n");
  ASSERT_EQ(answer.status, 202) << answer.body;
  const auto batch = stored(receipt_of(answer.body));
  ASSERT_TRUE(batch.has_value()) << answer.body;
  EXPECT_EQ(batch->device_key, 7);
  EXPECT_EQ(batch->protocol, telemetry::Protocol::kHttp);
  EXPECT_EQ(batch->delivery.message_id, "abc");
  EXPECT_EQ(batch->points.size(), 2U);
}

TEST_F(GatewayTest, HttpRefusesPrecisely) {
  EXPECT_EQ(post(R"({"a":1})", "", "mt_wrong").status, 401);
  EXPECT_EQ(post(R"({"a":1})", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n").status, 400);
  RawSocket client(app_->http_address());
  client.send("GET /v1/telemetry HTTP/1.1\r\nHost: x\r\n\r\nGET /other HTTP/1.1\r\nHost: x\r\n\r\n");
  const RawAnswer method = client.answer();
  EXPECT_EQ(method.status, 405);
  EXPECT_TRUE(method.has("Allow: POST"));
  EXPECT_EQ(client.answer().status, 404);
}

TEST_F(GatewayTest, AnUndecodablePayloadIsKeptAndToldWithItsReceipt) {
  const RawAnswer answer = post(R"({"a":)");
  ASSERT_EQ(answer.status, 400) << answer.body;
  EXPECT_NE(answer.body.find("\"reason\":\"syntax\""), std::string::npos) << answer.body;
  EXPECT_TRUE(receipt_of(answer.body).starts_with("dead:")) << answer.body;
  const auto dead = testing::read_log(settings_, topics_.telemetry_dead(), 3);
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].value, R"({"a":)");
  EXPECT_EQ(dead[0].key, "acme/m-1");
  std::map<std::string, std::string> headers;
  for (const kafka::Header& header : dead[0].headers) headers[header.name] = header.value;
  EXPECT_EQ(headers["refused"], "true");
  EXPECT_EQ(headers["tenant"], "acme");
  EXPECT_EQ(headers["reason"], "syntax");
}

}  // namespace
}  // namespace millrace::gateway
