#include <gtest/gtest.h>

#include "coap/block_transfers.hpp"
#include "coap/coap_answer.hpp"
#include "coap/coap_query.hpp"
#include "coap/exchange_table.hpp"

namespace millrace::gateway {
namespace {

using std::chrono::seconds;

constexpr CoapExchangeTable::Clock::time_point kStart{seconds(1'000'000)};

CoapExchangeKey key_of(std::uint16_t message_id, std::uint16_t port = 1000, std::uint64_t session = 0) {
  CoapExchangeKey key;
  key.message_id = message_id;
  key.port = port;
  key.session = session;
  return key;
}

TEST(CoapExchanges, ARepeatedMessageGetsTheAnswerOfTheFirst) {
  CoapExchangeTable table(100);
  const auto first = table.begin(key_of(1), 7, true, kStart);
  EXPECT_FALSE(first.repeated);
  const auto again = table.begin(key_of(1), 7, true, kStart);
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.answer, nullptr) << "still in flight";
  table.finish(key_of(1), first.id, {.code = CoapCode::kChanged, .payload = "x"});
  const auto late = table.begin(key_of(1), 7, true, kStart + seconds(246));
  ASSERT_NE(late.answer, nullptr);
  EXPECT_EQ(late.answer->payload, "x");
}

TEST(CoapExchanges, PeersSessionsAndBytesTellMessagesApart) {
  CoapExchangeTable table(100);
  static_cast<void>(table.begin(key_of(1), 7, true, kStart));
  EXPECT_FALSE(table.begin(key_of(2), 7, true, kStart).repeated) << "message id";
  EXPECT_FALSE(table.begin(key_of(1, 1001), 7, true, kStart).repeated) << "port";
  EXPECT_FALSE(table.begin(key_of(1, 1000, 5), 7, true, kStart).repeated) << "DTLS session";
  EXPECT_FALSE(table.begin(key_of(1), 8, true, kStart).repeated) << "another message under the id";
  EXPECT_TRUE(table.begin(key_of(1), 8, true, kStart).repeated);
}

TEST(CoapExchanges, AnswersOfAReplacedMessageAreNotGivenToTheNewOne) {
  CoapExchangeTable table(100);
  const auto old = table.begin(key_of(1), 7, true, kStart);
  static_cast<void>(table.begin(key_of(1), 8, true, kStart));
  table.finish(key_of(1), old.id, {.code = CoapCode::kChanged});
  EXPECT_EQ(table.begin(key_of(1), 8, true, kStart).answer, nullptr);
}

TEST(CoapExchanges, LiveAsLongAsTheirKindOfMessageId) {
  CoapExchangeTable table(100);
  static_cast<void>(table.begin(key_of(1), 7, true, kStart));
  static_cast<void>(table.begin(key_of(2), 7, false, kStart));
  EXPECT_TRUE(table.begin(key_of(2), 7, false, kStart + seconds(144)).repeated);
  EXPECT_FALSE(table.begin(key_of(2), 7, false, kStart + seconds(145)).repeated);
  EXPECT_TRUE(table.begin(key_of(1), 7, true, kStart + seconds(246)).repeated);
  EXPECT_FALSE(table.begin(key_of(1), 7, true, kStart + seconds(247)).repeated);
}

TEST(CoapExchanges, TheOldestMakesRoom) {
  CoapExchangeTable table(10);
  for (std::uint16_t id = 0; id < 25; ++id) static_cast<void>(table.begin(key_of(id), 7, id % 2 == 0, kStart));
  EXPECT_EQ(table.size(), 10U);
  EXPECT_TRUE(table.begin(key_of(15), 7, false, kStart).repeated);
  EXPECT_FALSE(table.begin(key_of(14), 7, true, kStart).repeated);
  // One id again and again fills nothing either.
  for (std::uint64_t bytes = 0; bytes < 1000; ++bytes) static_cast<void>(table.begin(key_of(1), bytes, true, kStart));
  EXPECT_LE(table.size(), 10U);
}

class BlocksTest : public ::testing::Test {
 protected:
  BlockTransfers::Step take(std::uint32_t number, bool more, const std::string& data, const std::string& key = "k",
                            const std::string& device = "t/d", std::optional<std::uint32_t> size1 = {}) {
    return blocks_.take({device, key, {number, more, 0}, data, size1}, now_, body_);
  }
  BlockTransferLimits limits_{.body_bytes = 64, .all_bytes = 96, .transfers = 5, .per_device = 2, .idle = seconds(247)};
  BlockTransfers blocks_{limits_};
  BlockTransfers::Clock::time_point now_ = kStart;
  std::string body_;
};

constexpr const char* kFull = "0123456789abcdef";

TEST_F(BlocksTest, AreJoinedInOrder) {
  EXPECT_EQ(take(0, true, kFull), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(1, true, kFull), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(2, false, "end"), BlockTransfers::Step::kComplete);
  EXPECT_EQ(body_, std::string(kFull) + kFull + "end");
  EXPECT_EQ(blocks_.bytes(), 0U);
}

TEST_F(BlocksTest, OneBlockIsABodyToo) {
  EXPECT_EQ(take(0, false, "all"), BlockTransfers::Step::kComplete);
  EXPECT_EQ(body_, "all");
}

TEST_F(BlocksTest, AGapOrAnUnknownTransferIsIncomplete) {
  EXPECT_EQ(take(1, true, kFull), BlockTransfers::Step::kIncomplete);
  EXPECT_EQ(take(0, true, kFull), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(2, false, "x"), BlockTransfers::Step::kIncomplete);
  EXPECT_EQ(take(1, false, "x", "other"), BlockTransfers::Step::kIncomplete);
  EXPECT_EQ(take(1, false, "x", "k", "t/other"), BlockTransfers::Step::kIncomplete);
  EXPECT_EQ(take(1, false, "x"), BlockTransfers::Step::kComplete);
}

TEST_F(BlocksTest, TheFirstBlockAgainBeginsAnew) {
  EXPECT_EQ(take(0, true, kFull), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(0, true, "ABCDEFGHIJKLMNOP"), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(1, false, "x"), BlockTransfers::Step::kComplete);
  EXPECT_EQ(body_, "ABCDEFGHIJKLMNOPx");
}

TEST_F(BlocksTest, SizesAreHeldTo) {
  EXPECT_EQ(take(0, true, "short"), BlockTransfers::Step::kMalformed);
  EXPECT_EQ(take(0, false, std::string(kFull) + "x"), BlockTransfers::Step::kMalformed);
  EXPECT_EQ(take(0, true, kFull, "k", "t/d", 65), BlockTransfers::Step::kTooLarge) << "announced";
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(take(i, true, kFull), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(4, false, "x"), BlockTransfers::Step::kTooLarge) << "arrived";
  EXPECT_EQ(blocks_.bytes(), 0U) << "what is refused is not kept";
}

TEST_F(BlocksTest, MemoryIsBoundedPerDeviceAndInAll) {
  for (const char* key : {"1", "2", "3"}) EXPECT_EQ(take(0, true, kFull, key), BlockTransfers::Step::kContinue);
  EXPECT_EQ(blocks_.bytes(), 32U) << "the device's oldest transfer ended";
  EXPECT_EQ(take(1, false, "x", "1"), BlockTransfers::Step::kIncomplete);
  for (const char* device : {"a", "b", "c"})
    EXPECT_EQ(take(0, true, kFull, "k", device), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(0, true, kFull, "k", "d"), BlockTransfers::Step::kNoRoom) << "five transfers";
  EXPECT_EQ(take(1, true, kFull, "k", "a"), BlockTransfers::Step::kContinue);
  EXPECT_EQ(take(2, true, kFull, "k", "a"), BlockTransfers::Step::kNoRoom) << "96 bytes";
  now_ += seconds(248);
  EXPECT_EQ(take(0, true, kFull, "k", "d"), BlockTransfers::Step::kContinue) << "the idle ones are gone";
  EXPECT_EQ(blocks_.bytes(), 16U);
}

TEST(CoapQueries, KnowTheirParameters) {
  const std::array<std::string_view, 4> items{"device=m-1@acme", "token=a=b", "mid=x",
                                              "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};
  const auto query = parse_coap_query(items);
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(query->device, "m-1@acme");
  EXPECT_EQ(query->token, "a=b");
  EXPECT_EQ(query->message_id, "x");
  EXPECT_TRUE(query->traceparent.starts_with("00-4bf9"));
}

TEST(CoapQueries, RefuseWhatMeansNothing) {
  const std::string long_id = "mid=" + std::string(129, 'x');
  for (const std::string_view item :
       {std::string_view("mdi=x"), std::string_view("mid"), std::string_view("mid="), std::string_view("mid=a b"),
        std::string_view("traceparent=00"), std::string_view(""), std::string_view(long_id)}) {
    const std::array items{item};
    const auto query = parse_coap_query(items);
    ASSERT_FALSE(query.ok()) << item;
    EXPECT_EQ(query.error().kind, ErrorKind::kInvalid);
  }
  const std::array<std::string_view, 2> twice{"mid=a", "mid=b"};
  EXPECT_FALSE(parse_coap_query(twice).ok());
}

TEST(CoapAnswers, FollowTheOutcome) {
  Outcome outcome;
  outcome.kind = Outcome::Kind::kAcknowledged;
  outcome.receipt = {3, 4711, 0, false};
  EXPECT_EQ(coap_answer(outcome), (CoapAnswer{.code = CoapCode::kChanged, .payload = R"({"receipt":"3:4711"})"}));
  outcome.kind = Outcome::Kind::kStored;
  EXPECT_EQ(coap_answer(outcome),
            (CoapAnswer{.code = CoapCode::kChanged, .payload = R"({"receipt":"3:4711","state":"stored"})"}));
  outcome.kind = Outcome::Kind::kNotStored;
  outcome.error = {ErrorKind::kInvalid, "point 1 is a dead letter"};
  EXPECT_EQ(coap_answer(outcome).code, CoapCode::kUnprocessable);
  for (const char* member : {R"("reason":"not_storable")", R"("receipt":"3:4711")", "point 1 is a dead letter"})
    EXPECT_NE(coap_answer(outcome).payload.find(member), std::string::npos) << coap_answer(outcome).payload;
  outcome.kind = Outcome::Kind::kUnknown;
  EXPECT_EQ(coap_answer(outcome).code, CoapCode::kTimeout);
  EXPECT_NE(coap_answer(outcome).payload.find(R"("outcome":"unknown")"), std::string::npos);
  outcome.kind = Outcome::Kind::kKeptAsRefused;
  outcome.receipt = {1, 2, 0, true};
  outcome.payload_error = std::make_shared<const telemetry::PayloadError>(
      telemetry::PayloadError{telemetry::PayloadFault::kSyntax, "not JSON", 5, 1});
  const CoapAnswer refused = coap_answer(outcome);
  EXPECT_EQ(refused.code, CoapCode::kBadRequest);
  for (const char* member : {R"("reason":"syntax")", R"("offset":5)", R"("element":1)", R"("receipt":"dead:1:2")"})
    EXPECT_NE(refused.payload.find(member), std::string::npos) << refused.payload;
  outcome.payload_error = std::make_shared<const telemetry::PayloadError>(
      telemetry::PayloadError{telemetry::PayloadFault::kTooLarge, "large", {}, {}});
  EXPECT_EQ(coap_answer(outcome).code, CoapCode::kTooLarge);
  EXPECT_EQ(coap_answer(outcome).size1, 256U * 1024);
}

TEST(CoapAnswers, FollowTheKindOfARefusal) {
  EXPECT_EQ(coap_refusal({ErrorKind::kUnavailable, ""}).code, CoapCode::kUnavailable);
  EXPECT_EQ(coap_refusal({ErrorKind::kUnavailable, ""}).max_age_s, 1U);
  EXPECT_EQ(coap_refusal({ErrorKind::kThrottled, ""}).code, CoapCode::kTooManyRequests);
  EXPECT_EQ(coap_refusal({ErrorKind::kThrottled, ""}).max_age_s, 1U);
  EXPECT_EQ(coap_refusal({ErrorKind::kTooLarge, ""}).code, CoapCode::kTooLarge);
  EXPECT_EQ(coap_refusal({ErrorKind::kUnauthenticated, ""}).code, CoapCode::kUnauthorized);
  EXPECT_EQ(coap_refusal({ErrorKind::kInternal, ""}).code, CoapCode::kInternalError);
}

}  // namespace
}  // namespace millrace::gateway
