#include <iterator>
#include <map>
#include <random>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <millrace/telemetry/copy_rules.hpp>

namespace millrace::telemetry {
namespace {

constexpr CopyVerdict kFresh{};

// A log of one partition: every appended record gets the next offset and an ingest counter of its own.
class CopyRulesTest : public ::testing::Test {
 protected:
  struct Publish {
    std::uint64_t epoch = 1;
    std::uint16_t packet_id = 1;
    bool dup = false;
    std::uint64_t payload = 100 << 16;
    std::string client = "c";
    std::string device = "d";
  };

  static Batch record(const std::string& device, Protocol protocol) {
    Batch batch;
    batch.tenant = "t";
    batch.device = device;
    batch.protocol = protocol;
    batch.qos = 1;
    return batch;
  }

  CopyVerdict append(Batch batch) {
    if (batch.ingest_id.counter == 0) batch.ingest_id.counter = ++counter_;
    last_ = batch;
    return rules_.judge(offset_++, time_, batch);
  }

  CopyVerdict publish(const Publish& given) {
    Batch batch = record(given.device, Protocol::kMqtt311);
    batch.delivery.client_id = given.client;
    batch.delivery.connection_epoch = given.epoch;
    batch.delivery.packet_id = given.packet_id;
    batch.delivery.dup = given.dup;
    batch.delivery.payload_hash = given.payload;
    return append(batch);
  }

  CopyVerdict post(const std::string& id, std::uint64_t payload, const std::string& device = "d") {
    Batch batch = record(device, Protocol::kHttp);
    batch.delivery.message_id = id;
    batch.delivery.payload_hash = payload;
    return append(batch);
  }

  struct CoapRequest {
    std::uint16_t message_id = 7;
    std::string token = "t";
    std::uint64_t payload = 100 << 16;
    bool confirmable = true;
    std::string device = "d";
  };
  CopyVerdict coap(const CoapRequest& given) {
    Batch batch = record(given.device, Protocol::kCoap);
    batch.delivery.coap_message_id = given.message_id;
    batch.delivery.coap_token = given.token;
    batch.delivery.coap_confirmable = given.confirmable;
    batch.delivery.payload_hash = given.payload;
    return append(batch);
  }

  static CopyVerdict copy_of(std::int64_t original, CopyRule rule) { return {rule, original}; }

  CopyRules rules_;
  Batch last_;
  std::int64_t offset_ = 0;
  std::uint64_t counter_ = 0;
  TimeUs time_ = 1'000'000 * kUsPerSecond;
};

// Rule 0

// Where ids follow each other they are not searched but counted: with gaps, repetitions and behind 65,535 the last one
// with an id is found as by a search.
TEST_F(CopyRulesTest, FindsTheLastPublishWithAPacketIdHoweverTheClientCounts) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const std::string client = "client-" + std::to_string(round);
    std::map<std::uint16_t, std::pair<std::int64_t, std::uint64_t>> last;  // offset and payload by id
    auto id = static_cast<std::uint16_t>(round % 2 == 0 ? 65'500 + random() % 36 : 1 + random() % 100);
    const std::size_t count = 1 + random() % 200;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t payload = (static_cast<std::uint64_t>(round) * 1'000 + i + 1) << 16U;
      last[id] = {offset_, payload};
      ASSERT_EQ(publish({.epoch = 1, .packet_id = id, .payload = payload, .client = client}), kFresh);
      id = random() % 20 == 0 ? static_cast<std::uint16_t>(1 + random() % 65'535)
                              : static_cast<std::uint16_t>(id % 65'535 + 1);
    }
    const auto chosen = std::next(last.begin(), static_cast<std::ptrdiff_t>(random() % last.size()));
    const auto [offset, payload] = chosen->second;
    EXPECT_EQ(publish({.epoch = 2, .packet_id = chosen->first, .dup = true, .payload = payload, .client = client}),
              copy_of(offset, CopyRule::kMqttDup))
        << "round " << round << ", packet id " << chosen->first;
  }
}

TEST_F(CopyRulesTest, AnEqualIngestIdIsACopyOfTheFirst) {
  EXPECT_EQ(publish({}), kFresh);
  const Batch first = last_;
  EXPECT_EQ(publish({.packet_id = 2}), kFresh);
  EXPECT_EQ(append(first), copy_of(0, CopyRule::kIngestId));
}

TEST_F(CopyRulesTest, CountersOfAnotherStartAreOthers) {
  Batch a = record("d", Protocol::kHttp);
  a.ingest_id.counter = 7;
  EXPECT_EQ(append(a), kFresh);
  a.ingest_id.start[0] = 1;
  EXPECT_EQ(append(a), kFresh);
  EXPECT_EQ(append(a), copy_of(1, CopyRule::kIngestId));
}

TEST_F(CopyRulesTest, CountersAreToldApartWithinTheWindowEvenOutOfOrder) {
  Batch a = record("d", Protocol::kHttp);
  for (const std::uint64_t counter : {1, 3, 2, 70'000, 5'000, 4'999}) {
    a.ingest_id.counter = counter;
    EXPECT_EQ(append(a), kFresh) << counter;
  }
  a.ingest_id.counter = 5'000;
  EXPECT_EQ(append(a), copy_of(4, CopyRule::kIngestId));
  a.ingest_id.counter = 4'464;  // 70,000 - 65,536: just outside
  EXPECT_EQ(append(a), kFresh);
  EXPECT_EQ(append(a), kFresh) << "what cannot be told is kept";
}

TEST_F(CopyRulesTest, TheWindowKeepsWhatItKnewWhenItGrows) {
  Batch a = record("d", Protocol::kHttp);
  for (std::uint64_t counter = 1; counter <= 3000; ++counter) {
    a.ingest_id.counter = counter;
    ASSERT_EQ(append(a), kFresh);
  }
  for (const std::uint64_t counter : {1, 1024, 1025, 2048, 3000}) {
    a.ingest_id.counter = counter;
    EXPECT_EQ(append(a), copy_of(static_cast<std::int64_t>(counter) - 1, CopyRule::kIngestId)) << counter;
  }
}

TEST_F(CopyRulesTest, ARecordProducedTwiceDoesNotMakeItsClientLookCareless) {
  publish({.packet_id = 5});
  append(last_);
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 5, .dup = true}), copy_of(0, CopyRule::kMqttDup));
}

// Rule 1

TEST_F(CopyRulesTest, SamePublisherIdAndPayloadIsACopy) {
  EXPECT_EQ(post("a", 1), kFresh);
  EXPECT_EQ(post("a", 1), copy_of(0, CopyRule::kExplicitId));
  EXPECT_EQ(post("a", 1, "other"), kFresh) << "another publisher";
  EXPECT_EQ(post("b", 1), kFresh) << "another id";
}

TEST_F(CopyRulesTest, TheSameIdWithAnotherPayloadIsAMessageOfItsOwn) {
  post("1", 1);
  EXPECT_EQ(post("1", 2), kFresh);
  EXPECT_EQ(rules_.counts().id_with_other_payload, 1U);
  EXPECT_EQ(post("1", 1), copy_of(0, CopyRule::kExplicitId));
  EXPECT_EQ(post("1", 2), copy_of(1, CopyRule::kExplicitId));
}

TEST_F(CopyRulesTest, IdsAreForgottenAfterAThousandLaterOnes) {
  post("first", 1);
  for (int i = 0; i < 999; ++i) post("x" + std::to_string(i), 1);
  EXPECT_TRUE(post("first", 1).is_copy());
  post("one more", 1);
  EXPECT_EQ(post("first", 1), kFresh);
}

TEST_F(CopyRulesTest, IdsAreForgottenAfterADayOfLogTime) {
  post("a", 1);
  time_ += 23 * 3600 * kUsPerSecond;
  EXPECT_TRUE(post("a", 1).is_copy());
  time_ += 3 * 3600 * kUsPerSecond;
  EXPECT_EQ(post("a", 1), kFresh);
}

TEST_F(CopyRulesTest, AnExplicitIdCountsOnMqttTooAndTheDupRuleIsNotAsked) {
  Batch batch = record("d", Protocol::kMqtt5);
  batch.delivery = {"", "id", "c", 1, 9, false, 5};
  EXPECT_EQ(append(batch), kFresh);
  batch.delivery.packet_id = 10;
  batch.delivery.connection_epoch = 2;
  EXPECT_EQ(append(batch), copy_of(0, CopyRule::kExplicitId));
  batch.delivery = {"", "other id", "c", 3, 9, true, 5};
  EXPECT_EQ(append(batch), kFresh);
}

// Rule 2

TEST_F(CopyRulesTest, DupOnALaterConnectionIsACopy) {
  publish({.epoch = 1, .packet_id = 7});
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 7, .dup = true}), copy_of(0, CopyRule::kMqttDup));
  EXPECT_EQ(publish({.epoch = 3, .packet_id = 7, .dup = true}), copy_of(0, CopyRule::kMqttDup)) << "a copy of a copy";
}

TEST_F(CopyRulesTest, DupProvesNothingWithinOneConnectionOrForAnotherPayloadIdOrClient) {
  publish({.epoch = 1, .packet_id = 7});
  EXPECT_EQ(publish({.epoch = 1, .packet_id = 7, .dup = true}), kFresh);
  publish({.epoch = 1, .packet_id = 8});
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 8, .dup = true, .payload = 7 << 16}), kFresh);
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 9, .dup = true}), kFresh);
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 8, .dup = true, .client = "e"}), kFresh);
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 8, .dup = true, .device = "e"}), kFresh);
}

TEST_F(CopyRulesTest, OnlyTheLastRecordWithThatPacketIdCounts) {
  publish({.epoch = 1, .packet_id = 7});
  publish({.epoch = 1, .packet_id = 7, .payload = 9 << 16});
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 7, .dup = true}), kFresh);
}

TEST_F(CopyRulesTest, TwoHonestEqualMessagesStayTwo) {
  EXPECT_EQ(publish({.packet_id = 1}), kFresh);
  EXPECT_EQ(publish({.packet_id = 2}), kFresh);
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 1}), kFresh) << "without DUP nothing is dropped";
}

TEST_F(CopyRulesTest, AClientThatRepeatsWithoutDupIsNotBelievedAnyMore) {
  publish({.epoch = 1, .packet_id = 1});
  publish({.epoch = 2, .packet_id = 1});
  EXPECT_EQ(publish({.epoch = 3, .packet_id = 1, .dup = true}), kFresh);
  EXPECT_EQ(rules_.counts().dup_without_proof, 1U);
}

TEST_F(CopyRulesTest, AHungGatewayThatWakesUpWritesACopy) {
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 7, .dup = true}), kFresh);
  EXPECT_EQ(publish({.epoch = 1, .packet_id = 7}), copy_of(0, CopyRule::kMqttDup));
}

TEST_F(CopyRulesTest, ARecordOfTheEarlierConnectionsLastTwoMinutesOnly) {
  publish({.epoch = 1, .packet_id = 7});
  time_ += 121 * kUsPerSecond;
  publish({.epoch = 1, .packet_id = 8});
  time_ += 3600 * kUsPerSecond;
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 7, .dup = true}), kFresh);
  EXPECT_TRUE(publish({.epoch = 2, .packet_id = 8, .dup = true}).is_copy()) << "an outage of an hour does not matter";
}

TEST_F(CopyRulesTest, ARecordAmongTheEarlierConnectionsLast1024Only) {
  for (std::uint16_t id = 1; id <= 1500; ++id) publish({.epoch = 1, .packet_id = id});
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 476, .dup = true}), kFresh);
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 477, .dup = true}), copy_of(476, CopyRule::kMqttDup));
  EXPECT_EQ(publish({.epoch = 2, .packet_id = 1500, .dup = true}), copy_of(1499, CopyRule::kMqttDup));
}

TEST_F(CopyRulesTest, ABrokersPacketIdsSayNothing) {
  Batch batch = record("d", Protocol::kBridge);
  batch.delivery = {"", "", "c", 1, 7, false, 5};
  append(batch);
  batch.delivery.connection_epoch = 2;
  batch.delivery.dup = true;
  EXPECT_EQ(append(batch), kFresh);
}

TEST_F(CopyRulesTest, QosZeroIsNeverACopy) {
  Batch batch = record("d", Protocol::kMqtt311);
  batch.qos = 0;
  EXPECT_EQ(append(batch), kFresh);
  EXPECT_EQ(append(batch), kFresh);
}

// Reading again

TEST_F(CopyRulesTest, AskedAgainItAnswersTheSameAndLearnsNothing) {
  publish({.epoch = 1, .packet_id = 7});
  const Batch first = last_;
  publish({.epoch = 2, .packet_id = 7, .dup = true});
  const Batch second = last_;
  publish({.epoch = 2, .packet_id = 8});
  EXPECT_EQ(rules_.judge(0, time_, first), kFresh);
  EXPECT_EQ(rules_.judge(1, time_, second), copy_of(0, CopyRule::kMqttDup));
  EXPECT_EQ(publish({.epoch = 3, .packet_id = 7, .dup = true}), copy_of(0, CopyRule::kMqttDup));
}

TEST_F(CopyRulesTest, RebuiltFromTheLogItDecidesAlike) {
  std::vector<Batch> log;
  std::vector<CopyVerdict> verdicts;
  for (int i = 0; i < 4000; ++i) {
    const auto n = static_cast<std::uint16_t>(i);
    verdicts.push_back(publish({.epoch = 1U + n / 1000U,
                                .packet_id = static_cast<std::uint16_t>(1 + n % 997),
                                .dup = i % 3 == 0,
                                .payload = static_cast<std::uint64_t>(n % 997 + 1) << 16,
                                .client = "c" + std::to_string(n % 7)}));
    log.push_back(last_);
  }
  CopyRules again;
  for (std::size_t i = 0; i < log.size(); ++i) {
    EXPECT_EQ(again.judge(static_cast<std::int64_t>(i), time_, log[i]), verdicts[i]) << i;
  }
}

TEST_F(CopyRulesTest, LogTimeNeverGoesBack) {
  publish({});
  const TimeUs before = rules_.log_time();
  time_ -= 50 * kUsPerSecond;
  publish({.packet_id = 2});
  EXPECT_EQ(rules_.log_time(), before);
}

// Rule 3

TEST_F(CopyRulesTest, ARepeatedCoapMessageIsACopy) {
  EXPECT_EQ(coap({}), kFresh);
  EXPECT_EQ(coap({}), copy_of(0, CopyRule::kCoap));
  EXPECT_EQ(coap({}), copy_of(0, CopyRule::kCoap)) << "a copy of a copy names the first";
}

TEST_F(CopyRulesTest, CoapMessagesThatDifferInOneFactAreTheirOwn) {
  EXPECT_EQ(coap({}), kFresh);
  EXPECT_EQ(coap({.message_id = 8}), kFresh) << "message id";
  EXPECT_EQ(coap({.token = "u"}), kFresh) << "token";
  EXPECT_EQ(coap({.payload = 101 << 16}), kFresh) << "payload";
  EXPECT_EQ(coap({.confirmable = false}), kFresh) << "kind";
  EXPECT_EQ(coap({.device = "other"}), kFresh) << "publisher";
  EXPECT_EQ(coap({.message_id = 8}), copy_of(1, CopyRule::kCoap));
}

TEST_F(CopyRulesTest, ACoapMessageIdLivesAsLongAsItsExchange) {
  coap({});
  coap({.message_id = 9, .confirmable = false});
  time_ += 144 * kUsPerSecond;
  EXPECT_EQ(coap({.message_id = 9, .confirmable = false}), copy_of(1, CopyRule::kCoap));
  time_ += 2 * kUsPerSecond;
  EXPECT_EQ(coap({.message_id = 9, .confirmable = false}), kFresh) << "NON_LIFETIME";
  time_ += 100 * kUsPerSecond;
  EXPECT_EQ(coap({}), copy_of(0, CopyRule::kCoap)) << "counted from the first transmission, 246 s ago";
  time_ += 2 * kUsPerSecond;
  EXPECT_EQ(coap({}), kFresh) << "EXCHANGE_LIFETIME";
}

TEST_F(CopyRulesTest, ACoapMessageWithAnExplicitIdIsJudgedByThatAlone) {
  Batch batch = record("d", Protocol::kCoap);
  batch.delivery.message_id = "a";
  batch.delivery.payload_hash = 1;
  batch.delivery.coap_message_id = 7;
  EXPECT_EQ(append(batch), kFresh);
  batch.ingest_id.counter = 0;
  batch.delivery.coap_message_id = 8;
  EXPECT_EQ(append(batch), copy_of(0, CopyRule::kExplicitId));
  batch.ingest_id.counter = 0;
  batch.delivery.message_id = "b";
  EXPECT_EQ(append(batch), kFresh);
}

TEST_F(CopyRulesTest, OfABusyCoapPublisherTheLastThousandsAreRemembered) {
  for (std::uint16_t id = 0; id < 5'000; ++id) ASSERT_EQ(coap({.message_id = id}), kFresh) << id;
  EXPECT_EQ(coap({.message_id = 1'100}), copy_of(1'100, CopyRule::kCoap));
  EXPECT_EQ(coap({.message_id = 3}), kFresh) << "beyond what is remembered: kept";
}

}  // namespace
}  // namespace millrace::telemetry
