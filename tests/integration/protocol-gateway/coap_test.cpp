#include <map>

#include "gateway_fixture.hpp"
#include "raw_coap.hpp"

namespace millrace::gateway {
namespace {

namespace option = millrace::testing::coap_option;
using millrace::testing::RawCoap;
using millrace::testing::RawUdp;
using millrace::testing::uint_option;

constexpr const char* kDevice = "device=m-1@acme";

/// The gateway as a device sees it that speaks CoAP without DTLS.
class CoapGatewayTest : public GatewayFixture {
 protected:
  void SetUp() override {
    GatewayFixture::SetUp();
    if (!::testing::Test::IsSkipped() && app_) client_.emplace(*app_->coap_address());
  }

  static RawCoap post_message(const std::string& payload, std::uint16_t id, const std::string& query = "") {
    RawCoap message;
    message.message_id = id;
    message.token = "t" + std::to_string(id);
    message.options = {{option::kUriPath, "v1"},
                       {option::kUriPath, "telemetry"},
                       {option::kContentFormat, uint_option(50)},
                       {option::kUriQuery, kDevice},
                       {option::kUriQuery, std::string("token=") + kToken}};
    if (!query.empty()) message.options.emplace_back(option::kUriQuery, query);
    message.payload = payload;
    return message;
  }

  /// Sends and gives the answer, which every message has within the minute.
  RawCoap ask(const RawCoap& message) {
    client_->send(message);
    const auto answer = client_->answer(message.token);
    EXPECT_TRUE(answer.has_value()) << "no answer";
    return answer.value_or(RawCoap{});
  }

  std::size_t records_with(const std::string& metric) {
    std::size_t count = 0;
    for (const auto& entry : testing::read_log(settings_, topics_.telemetry(), kPartitions)) {
      telemetry::Batch batch;
      telemetry::BatchCodec codec;
      count += codec.decode(entry.value, batch).ok() && batch.points.at(0).metric == metric ? 1U : 0U;
    }
    return count;
  }

  std::optional<RawUdp> client_;
};

TEST_F(CoapGatewayTest, AConfirmableMessageIsAcknowledgedEmptyAndAnsweredConfirmable) {
  const RawCoap message = post_message(R"({"power":1.5})", 7, "mid=abc");
  client_->send(message);
  const auto ack = client_->receive();
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->type, RawCoap::kAck);
  EXPECT_EQ(ack->code, 0);
  EXPECT_EQ(ack->message_id, 7);
  const auto answer = client_->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->type, RawCoap::kCon);
  EXPECT_EQ(answer->status(), 204);
  EXPECT_EQ(answer->token, message.token);
  EXPECT_EQ(answer->number(option::kContentFormat), 50U);
  client_->send(RawCoap{RawCoap::kAck, 0, answer->message_id});
  const auto batch = stored(receipt_of(answer->payload));
  ASSERT_TRUE(batch.has_value()) << answer->payload;
  EXPECT_EQ(batch->device_key, 7);
  EXPECT_EQ(batch->protocol, telemetry::Protocol::kCoap);
  EXPECT_EQ(batch->topic, "/v1/telemetry");
  EXPECT_EQ(batch->delivery.message_id, "abc");
  EXPECT_EQ(batch->delivery.coap_message_id, 7);
  EXPECT_EQ(batch->delivery.coap_token, message.token);
  EXPECT_TRUE(batch->delivery.coap_confirmable);
  EXPECT_NE(batch->delivery.payload_hash, 0U);
}

TEST_F(CoapGatewayTest, ANonConfirmableMessageIsAnsweredTheSameWay) {
  RawCoap message = post_message(R"({"non":1})", 8);
  message.type = RawCoap::kNon;
  client_->send(message);
  const auto answer = client_->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->type, RawCoap::kNon);
  EXPECT_EQ(answer->status(), 204);
  const auto batch = stored(receipt_of(answer->payload));
  ASSERT_TRUE(batch.has_value()) << answer->payload;
  EXPECT_FALSE(batch->delivery.coap_confirmable);
}

// The paths of children, and those that are nearly one.
TEST_F(CoapGatewayTest, APathOfAChildIsItsGatewaysToUse) {
  registry::v1::Entry grants;
  grants.mutable_credentials()->set_tenant("acme");
  grants.mutable_credentials()->set_device("m-1");
  grants.mutable_credentials()->add_children("m-2");
  put_registry("credentials/acme/m-1", grants);
  std::uint16_t id = 200;
  const auto post_to = [&](std::initializer_list<const char*> segments) {
    RawCoap message = post_message(R"({"power":3})", ++id);
    std::erase_if(message.options, [](const auto& one) { return one.first == option::kUriPath; });
    auto at = message.options.begin();
    for (const char* segment : segments) at = message.options.insert(at, {option::kUriPath, segment}) + 1;
    return ask(message);
  };
  RawCoap answer;
  ASSERT_TRUE(eventually([&] {
    answer = post_to({"v1", "devices", "m-2", "telemetry"});
    return answer.status() == 204;
  })) << answer.payload;
  const auto batch = stored(receipt_of(answer.payload));
  ASSERT_TRUE(batch.has_value()) << answer.payload;
  EXPECT_EQ(batch->device, "m-2");
  EXPECT_EQ(batch->device_key, 8);
  EXPECT_EQ(batch->topic, "/v1/devices/m-2/telemetry");
  const RawCoap own = post_to({"v1", "devices", "m-1", "telemetry"});
  EXPECT_EQ(stored(receipt_of(own.payload))->device, "m-1") << own.payload;
  EXPECT_EQ(post_to({"v1", "devices", "m-9", "telemetry"}).status(), 403);
  EXPECT_EQ(post_to({"v1", "devices", "m-2"}).status(), 404);
  EXPECT_EQ(post_to({"v1", "devices", "m-2", "elsewhere"}).status(), 404);
  EXPECT_EQ(post_to({"v1", "devices", "", "telemetry"}).status(), 404);
  EXPECT_EQ(post_to({"v2", "devices", "m-2", "telemetry"}).status(), 404);
}

TEST_F(CoapGatewayTest, APathBelowNamesTheMetricOfASingleValue) {
  RawCoap message = post_message("21.5", 60);
  message.options[2].second = uint_option(0);
  message.options.insert(message.options.begin() + 2, {{option::kUriPath, "pump"}, {option::kUriPath, "rpm"}});
  const RawCoap answer = ask(message);
  EXPECT_EQ(answer.status(), 204) << answer.payload;
  const auto batch = stored(receipt_of(answer.payload));
  ASSERT_TRUE(batch.has_value()) << answer.payload;
  EXPECT_EQ(batch->topic, "/v1/telemetry/pump/rpm");
  EXPECT_EQ(batch->points, (std::vector<telemetry::Point>{{"pump.rpm", 21.5, {}}}));
}

TEST_F(CoapGatewayTest, RetransmissionsGetTheSameAnswerAndAreOneRecord) {
  const RawCoap message = post_message(R"({"again":1})", 9);
  for (int i = 0; i < 5; ++i) client_->send(message);  // the first is still in flight for most of them
  const auto first = client_->answer(message.token);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->status(), 204);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(message).payload, first->payload);
  RawCoap non = post_message(R"({"again":2})", 10);
  non.type = RawCoap::kNon;
  const RawCoap second = ask(non);
  EXPECT_EQ(second.status(), 204);
  EXPECT_EQ(ask(non).payload, second.payload);
  EXPECT_EQ(records_with("again"), 2U);
}

TEST_F(CoapGatewayTest, AMessageIdUsedAnewForAnotherPayloadIsAnotherMessage) {
  const RawCoap first = ask(post_message(R"({"reboot":1})", 11));
  const RawCoap second = ask(post_message(R"({"reboot":2})", 11));
  EXPECT_EQ(first.status(), 204);
  EXPECT_EQ(second.status(), 204);
  EXPECT_NE(first.payload, second.payload);
  EXPECT_EQ(records_with("reboot"), 2U);
}

TEST_F(CoapGatewayTest, RefusalsSayWhatIsWrong) {
  RawCoap message = post_message(R"({"a":1})", 20);
  message.options[4].second = "token=mt_wrong";
  EXPECT_EQ(ask(message).status(), 401);
  message = post_message(R"({"a":1})", 21);
  message.options.resize(3);
  EXPECT_EQ(ask(message).status(), 401) << "no credentials";
  EXPECT_EQ(ask(post_message(R"({"a":1})", 22, "mdi=typo")).status(), 400);
  message = post_message(R"({"a":1})", 23);
  message.options[2].second = uint_option(42);
  EXPECT_EQ(ask(message).status(), 415);
  message = post_message(R"({"a":1})", 24);
  message.options[1].second = "elsewhere";
  EXPECT_EQ(ask(message).status(), 404);
  message = post_message("", 25);
  message.code = 1;  // GET
  EXPECT_EQ(ask(message).status(), 405);
  message = post_message(R"({"a":1})", 26);
  message.options.emplace_back(option::kAccept, uint_option(60));
  EXPECT_EQ(ask(message).status(), 406);
  message = post_message(R"({"a":1})", 27);
  message.options.insert(message.options.begin(), {1, ""});  // If-Match
  EXPECT_EQ(ask(message).status(), 402);
  EXPECT_EQ(records_with("a"), 0U);
}

TEST_F(CoapGatewayTest, AnUndecodablePayloadIsKeptAndToldWithItsReceipt) {
  const RawCoap answer = ask(post_message(R"({"a":)", 30));
  EXPECT_EQ(answer.status(), 400);
  EXPECT_NE(answer.payload.find("\"reason\":\"syntax\""), std::string::npos) << answer.payload;
  EXPECT_TRUE(receipt_of(answer.payload).starts_with("dead:")) << answer.payload;
  EXPECT_EQ(testing::read_log(settings_, topics_.telemetry_dead(), 3).size(), 1U);
}

TEST_F(CoapGatewayTest, CborIsStoredAsItsValues) {
  const std::string cbor("\xa2\x62ts\x1a\x65\x53\xf1\x00\x65power\xfb\x40\x45\x40\x00\x00\x00\x00\x00", 24);
  RawCoap message = post_message(cbor, 31);
  message.options[2].second = uint_option(60);
  const RawCoap answer = ask(message);
  ASSERT_EQ(answer.status(), 204) << answer.payload;
  const auto batch = stored(receipt_of(answer.payload));
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->event_time, TimeUs{1'700'000'000} * kUsPerSecond);
  ASSERT_EQ(batch->points.size(), 1U);
  EXPECT_EQ(batch->points[0].value, telemetry::Value(42.5));
}

TEST_F(CoapGatewayTest, ABodyInBlocksIsOneRecord) {
  const std::string body = R"([{"blocks":1},{"blocks":)" + std::string(300, ' ') + R"(2}])";
  constexpr std::size_t kBlock = 64;
  RawCoap last;
  for (std::size_t at = 0; at < body.size(); at += kBlock) {
    const auto number = static_cast<unsigned>(at / kBlock);
    const bool more = at + kBlock < body.size();
    RawCoap message = post_message(body.substr(at, kBlock), static_cast<std::uint16_t>(100 + number));
    message.options.emplace_back(option::kBlock1, uint_option(number << 4U | (more ? 8U : 0U) | 2U));
    last = ask(message);
    EXPECT_EQ(last.number(option::kBlock1), number << 4U | (more ? 8U : 0U) | 2U);
    ASSERT_EQ(last.status(), more ? 231 : 204) << number << last.payload;
    EXPECT_EQ(ask(message).status(), last.status()) << "the block again";
  }
  const auto batch = stored(receipt_of(last.payload));
  ASSERT_TRUE(batch.has_value()) << last.payload;
  EXPECT_EQ(batch->points.size(), 2U);
  EXPECT_EQ(records_with("blocks"), 1U);
}

TEST_F(CoapGatewayTest, BlocksThatCannotBePutTogetherAreRefused) {
  RawCoap message = post_message(std::string(64, ' '), 200);
  message.options.emplace_back(option::kBlock1, uint_option(5U << 4U | 8U | 2U));
  EXPECT_EQ(ask(message).status(), 408) << "it does not begin at the beginning";
  message = post_message(std::string(64, ' '), 201);
  message.options.emplace_back(option::kBlock1, uint_option(8U | 2U));
  message.options.emplace_back(option::kSize1, uint_option(10'000'000));
  const RawCoap answer = ask(message);
  EXPECT_EQ(answer.status(), 413) << "told before anything is kept";
  EXPECT_EQ(answer.number(option::kSize1), 256U * 1024);
  message = post_message(std::string(63, ' '), 202);
  message.options.emplace_back(option::kBlock1, uint_option(8U | 2U));
  EXPECT_EQ(ask(message).status(), 400) << "a block that is not full";
}

TEST_F(CoapGatewayTest, GarbageHarmsNobody) {
  const std::string good = millrace::testing::encode(post_message(R"({"garbage":1})", 300));
  for (std::size_t size = 0; size < good.size(); ++size) client_->send(std::string_view(good).substr(0, size));
  std::uint64_t random = 1;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = good;
    for (int flips = 0; flips < 3; ++flips) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      bytes[(random >> 33U) % bytes.size()] = static_cast<char>(random >> 25U);
    }
    client_->send(bytes);
  }
  RawUdp other(*app_->coap_address());
  const RawCoap message = post_message(R"({"after":1})", 301);
  std::optional<RawCoap> answer;
  // What was sent before may have filled the socket: the message is sent until it comes through.
  EXPECT_TRUE(eventually([&] {
    other.send(message);
    const auto ack = other.receive(std::chrono::milliseconds(500));
    if (ack && ack->code == 0) answer = other.answer(message.token);
    return answer.has_value();
  }));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 204);
}

TEST_F(CoapGatewayTest, TheResourceIsListed) {
  RawCoap message;
  message.code = 1;
  message.message_id = 400;
  message.token = "w";
  message.options = {{option::kUriPath, ".well-known"}, {option::kUriPath, "core"}};
  const RawCoap answer = ask(message);
  EXPECT_EQ(answer.status(), 205);
  EXPECT_NE(answer.payload.find("</v1/telemetry>"), std::string::npos) << answer.payload;
  EXPECT_NE(answer.payload.find("ct=\"50 60 110 112 65001\""), std::string::npos) << answer.payload;
}

TEST_F(CoapGatewayTest, APortInUseIsAnErrorThatNamesIt) {
  Config second = config_;
  second.state_dir = folder_ + "/second";
  std::filesystem::create_directory(second.state_dir);
  second.coap.plain = app_->coap_address();
  ProtocolGatewayApp other(second);
  const Status started = other.start();
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message.find(app_->coap_address()->to_string()), std::string::npos);
  EXPECT_NE(started.error().message.find("COAP_ADDR"), std::string::npos);
  EXPECT_EQ(ask(post_message(R"({"alone":1})", 500)).status(), 204) << "the first one keeps its traffic";
}

}  // namespace
}  // namespace millrace::gateway
