#include "coap/coap_ingest.hpp"

#include <gtest/gtest.h>

#include "fakes.hpp"

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SilentSink final : public AckSink {
 public:
  [[nodiscard]] std::size_t io_index() const override { return 0; }
  void settle(std::uint64_t, const Outcome&) override {}
  void flush() override {}
};

class CoapIngestTest : public ::testing::Test {
 protected:
  CoapIngestOptions options() {
    CoapIngestOptions options;
    options.answer_deadline = seconds(10);
    options.answers_when_stored = [this](const registry_view::Device& device) {
      return device.tenant == "acme" && stored_by_policy_;
    };
    return options;
  }
  static Result<std::shared_ptr<const Identity>> authenticate(std::string_view tenant, std::string_view device,
                                                              const Sha256& token) {
    if (tenant != "acme" || device != "m-1" || token != sha256("secret"))
      return Error{ErrorKind::kUnauthenticated, "unknown"};
    return std::make_shared<const Identity>(Identity{{"acme", "m-1", 42, true}, {}, "acme/m-1"});
  }

  static std::shared_ptr<const Identity> speaks_as(const std::shared_ptr<const Identity>& sender,
                                                   std::string_view child) {
    if (child.empty()) return sender;
    if (child != "child-1") return nullptr;
    return std::make_shared<const Identity>(Identity{{"acme", "child-1", 43, true}, {}, "acme/child-1"});
  }

  CoapRequest request(std::uint16_t message_id) {
    CoapRequest request;
    request.exchange.message_id = message_id;
    request.fingerprint = message_id;
    request.token = "tok";
    request.query = {"device=m-1@acme", "token=secret"};
    request.payload = R"({"a":1})";
    return request;
  }
  static Outcome acknowledged() {
    Outcome outcome;
    outcome.kind = Outcome::Kind::kAcknowledged;
    outcome.receipt = {3, 4711, 0, false};
    return outcome;
  }

  bool stored_by_policy_ = false;
  observability::Metrics registry_;
  GatewayMetrics metrics_{registry_};
  FakePublisher publisher_;
  FakeRefused refused_;
  MetricNames names_{100};
  FakeLimits limits_;
  Limiter limiter_{limits_, metrics_};
  FakeTypes types_;
  CoapIngest ingest_{options(), {authenticate, speaks_as},     publisher_, refused_, names_, limiter_, types_,
                     metrics_,  std::make_shared<SilentSink>()};
  CoapIngest::Clock::time_point now_{seconds(1'000'000)};
};

TEST_F(CoapIngestTest, AMessageIsAnsweredWhenItsOutcomeIsKnown) {
  const CoapReply taken = ingest_.handle(request(1), now_);
  ASSERT_NE(taken.id, 0U);
  EXPECT_EQ(taken.answer, nullptr);
  EXPECT_EQ(publisher_.records.at(0)->waiter.token, taken.id);
  EXPECT_EQ(ingest_.in_flight(), 1U);
  const CoapReply again = ingest_.handle(request(1), now_);
  EXPECT_EQ(again.id, 0U) << "nobody waits twice";
  EXPECT_EQ(again.answer, nullptr);
  const CoapAnswer* answer = ingest_.settle(taken.id, acknowledged(), now_);
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer->code, CoapCode::kChanged);
  const CoapAnswer* repeated = ingest_.handle(request(1), now_).answer;
  ASSERT_NE(repeated, nullptr);
  EXPECT_EQ(repeated->payload, R"({"receipt":"3:4711"})");
  EXPECT_EQ(publisher_.records.size(), 1U);
  EXPECT_EQ(ingest_.in_flight(), 0U);
}

TEST_F(CoapIngestTest, AGatewayDeviceSpeaksForItsChildren) {
  CoapRequest of_child = request(1);
  of_child.child = "child-1";
  of_child.metric = "rpm";
  of_child.payload = "7.5";
  ASSERT_NE(ingest_.handle(of_child, now_).id, 0U);
  ASSERT_EQ(publisher_.records.size(), 1U);
  EXPECT_EQ(publisher_.records[0]->identity->key, "acme/child-1");
  telemetry::Batch batch;
  telemetry::BatchCodec codec;
  ASSERT_TRUE(codec.decode(publisher_.records[0]->value, batch).ok());
  EXPECT_EQ(batch.device, "child-1");
  EXPECT_EQ(batch.topic, "/v1/devices/child-1/telemetry/rpm");
  EXPECT_EQ(batch.points, (std::vector<telemetry::Point>{{"rpm", 7.5, {}}}));
  CoapRequest of_other = request(2);
  of_other.child = "m-2";
  const CoapReply refused = ingest_.handle(of_other, now_);
  ASSERT_NE(refused.answer, nullptr);
  EXPECT_EQ(refused.answer->code, CoapCode::kForbidden);
  EXPECT_NE(refused.answer->payload.find("no gateway of it"), std::string::npos) << refused.answer->payload;
  EXPECT_EQ(publisher_.records.size(), 1U);
}

TEST_F(CoapIngestTest, TheDeadlineSaysUnknownAndARetransmissionLearnsMoreLater) {
  const CoapReply taken = ingest_.handle(request(1), now_);
  EXPECT_EQ(ingest_.next_deadline(), now_ + seconds(10));
  std::vector<std::pair<std::uint64_t, CoapCode>> answers;
  const auto collect = [&](std::uint64_t id, const CoapAnswer& answer) { answers.emplace_back(id, answer.code); };
  ingest_.expire(now_ + milliseconds(9'999), collect);
  EXPECT_TRUE(answers.empty());
  ingest_.expire(now_ + seconds(10), collect);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0], std::pair(taken.id, CoapCode::kTimeout));
  EXPECT_EQ(ingest_.handle(request(1), now_ + seconds(11)).answer->code, CoapCode::kTimeout);
  EXPECT_EQ(ingest_.settle(taken.id, acknowledged(), now_ + seconds(12)), nullptr) << "one answer was sent";
  EXPECT_EQ(ingest_.handle(request(1), now_ + seconds(13)).answer->code, CoapCode::kChanged);
  EXPECT_EQ(ingest_.next_deadline(), std::nullopt);
}

TEST_F(CoapIngestTest, ADeadlineAtLevelStoredSaysPendingAndIsTheEndOfIt) {
  CoapRequest asking = request(1);
  asking.query.push_back("ack=stored");
  const CoapReply taken = ingest_.handle(asking, now_);
  const InFlight& record = *publisher_.records.at(0);
  EXPECT_TRUE(record.until_stored);
  EXPECT_EQ(record.waiter.until, now_ + seconds(10));
  Outcome in_log = acknowledged();
  in_log.kind = Outcome::Kind::kInLog;
  EXPECT_EQ(ingest_.settle(taken.id, in_log, now_ + seconds(1)), nullptr) << "no answer yet";
  std::vector<CoapAnswer> answers;
  ingest_.expire(now_ + seconds(10), [&](std::uint64_t, const CoapAnswer& answer) { answers.push_back(answer); });
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].code, CoapCode::kChanged);
  EXPECT_EQ(answers[0].payload, R"({"receipt":"3:4711","state":"pending"})");
  EXPECT_EQ(ingest_.in_flight(), 0U) << "the holder of answers gives up at the same time";
  ASSERT_NE(ingest_.handle(asking, now_ + seconds(11)).answer, nullptr);
  EXPECT_EQ(ingest_.handle(asking, now_ + seconds(11)).answer->payload, answers[0].payload);
}

TEST_F(CoapIngestTest, AReportBehindTheDeadlineAtLevelStoredIsKeptForARetransmission) {
  CoapRequest asking = request(1);
  asking.query.push_back("ack=stored");
  const CoapReply taken = ingest_.handle(asking, now_);
  std::vector<CoapCode> codes;
  ingest_.expire(now_ + seconds(10), [&](std::uint64_t, const CoapAnswer& answer) { codes.push_back(answer.code); });
  EXPECT_EQ(codes, std::vector{CoapCode::kTimeout}) << "nobody knew that Kafka has it";
  Outcome in_log = acknowledged();
  in_log.kind = Outcome::Kind::kInLog;
  EXPECT_EQ(ingest_.settle(taken.id, in_log, now_ + seconds(12)), nullptr);
  EXPECT_EQ(ingest_.handle(asking, now_ + seconds(13)).answer->payload, R"({"receipt":"3:4711","state":"pending"})");
  EXPECT_EQ(ingest_.in_flight(), 0U);
}

TEST_F(CoapIngestTest, TheLevelIsTheMessagesThenTheTenants) {
  const auto level_of = [&](std::uint16_t id, std::string_view said) {
    CoapRequest asking = request(id);
    if (!said.empty()) asking.query.push_back(said);
    EXPECT_NE(ingest_.handle(asking, now_).id, 0U);
    return publisher_.records.back()->until_stored;
  };
  EXPECT_FALSE(level_of(1, ""));
  stored_by_policy_ = true;
  EXPECT_TRUE(level_of(2, ""));
  EXPECT_FALSE(level_of(3, "ack=bus"));
  stored_by_policy_ = false;
  EXPECT_TRUE(level_of(4, "ack=stored"));
  CoapRequest wrong = request(5);
  wrong.query.push_back("ack=disk");
  EXPECT_EQ(ingest_.handle(wrong, now_).answer->code, CoapCode::kBadRequest);
}

TEST_F(CoapIngestTest, WhatCannotBeTakenIsPushedBackBeforeItIsProduced) {
  publisher_.accepts = false;
  const CoapReply busy = ingest_.handle(request(1), now_);
  ASSERT_NE(busy.answer, nullptr);
  EXPECT_EQ(busy.answer->code, CoapCode::kUnavailable);
  EXPECT_EQ(busy.answer->max_age_s, 1U);
  publisher_.accepts = true;
  publisher_.fails = true;
  EXPECT_EQ(ingest_.handle(request(2), now_).answer->code, CoapCode::kUnavailable);
  publisher_.fails = false;
  ingest_.stop_intake();
  EXPECT_EQ(ingest_.handle(request(3), now_).answer->code, CoapCode::kUnavailable);
  EXPECT_TRUE(publisher_.records.empty());
  EXPECT_EQ(ingest_.in_flight(), 0U);
}

TEST_F(CoapIngestTest, OverDtlsTheSessionSaysWhoSends) {
  const CoapSecurity known{1, "acme", "m-1", sha256("secret")};
  CoapRequest secure = request(1);
  secure.query.clear();
  secure.security = &known;
  EXPECT_NE(ingest_.handle(secure, now_).id, 0U);
  secure = request(2);
  secure.security = &known;
  EXPECT_EQ(ingest_.handle(secure, now_).answer->code, CoapCode::kBadRequest) << "credentials in the query";
  const CoapSecurity revoked{2, "acme", "m-1", sha256("old")};
  secure = request(3);
  secure.query.clear();
  secure.security = &revoked;
  EXPECT_EQ(ingest_.handle(secure, now_).answer->code, CoapCode::kUnauthorized) << "asked for every message";
}

TEST_F(CoapIngestTest, ABodyInBlocksIsOneMessageWithTheFactsOfItsLastBlock) {
  const std::string body = R"({"a":)" + std::string(20, ' ') + "1}";
  CoapRequest first = request(1);
  first.block1 = CoapBlock{0, true, 0};
  first.payload = std::string_view(body).substr(0, 16);
  const CoapReply more = ingest_.handle(first, now_);
  ASSERT_NE(more.answer, nullptr);
  EXPECT_EQ(more.answer->code, CoapCode::kContinue);
  EXPECT_EQ(more.answer->block1, first.block1);
  EXPECT_EQ(ingest_.handle(first, now_).answer->code, CoapCode::kContinue) << "the block again";
  CoapRequest last = request(2);
  last.block1 = CoapBlock{1, false, 0};
  last.payload = std::string_view(body).substr(16);
  const CoapReply taken = ingest_.handle(last, now_);
  ASSERT_NE(taken.id, 0U);
  const CoapAnswer* answer = ingest_.settle(taken.id, acknowledged(), now_);
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer->block1, last.block1);
  telemetry::Batch batch;
  telemetry::BatchCodec codec;
  ASSERT_TRUE(codec.decode(publisher_.records.at(0)->value, batch).ok());
  EXPECT_EQ(batch.delivery.coap_message_id, 2);
  EXPECT_EQ(batch.points.size(), 1U);
}

TEST_F(CoapIngestTest, OverALimitTheAnswerSaysWhichAndWhen) {
  limits_.set({.messages = {{0.5, 1}}});
  EXPECT_NE(ingest_.handle(request(1), now_).id, 0U);
  const CoapReply refused = ingest_.handle(request(2), now_);
  ASSERT_NE(refused.answer, nullptr);
  EXPECT_EQ(refused.answer->code, CoapCode::kTooManyRequests);
  EXPECT_EQ(refused.answer->max_age_s, 2U);
  EXPECT_NE(refused.answer->payload.find(R"("limit":"messages","scope":"device","value":0.5)"), std::string::npos)
      << refused.answer->payload;
}

}  // namespace
}  // namespace millrace::gateway
