#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include <millrace/telemetry/batch.hpp>

namespace millrace::telemetry {
namespace {

Batch sample_batch() {
  Batch batch;
  for (std::size_t i = 0; i < 16; ++i) batch.ingest_id.start[i] = static_cast<std::uint8_t>(i + 1);
  batch.ingest_id.counter = 0x1122334455667788;
  batch.ingest_time = 1795391565123456;
  batch.delivery = {"gw", "id-1", "client", 77, 65535, true, 0xdeadbeefcafef00d, 65535, std::string("t\0k", 3), true};
  batch.tenant = "demo";
  batch.device = "meter-1";
  batch.device_key = 42;
  batch.protocol = Protocol::kMqtt5;
  batch.qos = 1;
  batch.topic = "devices/meter-1/telemetry";
  batch.event_time = -5;
  batch.points = {{"a", 1.5, {}},
                  {"b", std::numeric_limits<std::int64_t>::min(), TimeUs{9}},
                  {"c", true, {}},
                  {"d", std::string("text"), {}},
                  {"e", Json{"[1,2]"}, {}}};
  return batch;
}

TEST(BatchCodec, RoundTripsEveryField) {
  BatchCodec codec;
  std::string bytes;
  codec.encode(sample_batch(), bytes);
  Batch decoded;
  ASSERT_TRUE(codec.decode(bytes, decoded).ok());
  EXPECT_EQ(decoded, sample_batch());
}

TEST(BatchCodec, DecodeReusesTheTargetWithoutLeftovers) {
  BatchCodec codec;
  std::string bytes;
  Batch small;
  small.points = {{"x", 2.0, {}}};
  codec.encode(small, bytes);
  Batch decoded = sample_batch();
  ASSERT_TRUE(codec.decode(bytes, decoded).ok());
  small.ingest_id.counter = 1;
  EXPECT_EQ(decoded, small);
}

TEST(BatchCodec, EncodeReusesItsMemoryWithoutLeftovers) {
  Batch replayed = sample_batch();
  replayed.replay = Replay{"dead:3:12", "1:2"};
  Batch swapped = sample_batch();  // each point of another kind than its predecessor's in its place
  std::rotate(swapped.points.begin(), swapped.points.begin() + 1, swapped.points.end());
  Batch few = sample_batch();
  few.points.resize(1);
  BatchCodec used;
  for (const Batch& batch : {replayed, swapped, Batch{}, few, replayed, sample_batch(), few}) {
    std::string bytes, fresh;
    used.encode(batch, bytes);
    BatchCodec().encode(batch, fresh);
    EXPECT_EQ(bytes, fresh);
  }
}

TEST(BatchCodec, FactsAreTheBatchWithoutPoints) {
  BatchCodec codec;
  std::string bytes;
  codec.encode(sample_batch(), bytes);
  Batch facts;
  ASSERT_TRUE(decode_facts(bytes, facts).ok());
  Batch expected = sample_batch();
  expected.points.clear();
  EXPECT_EQ(facts, expected);
}

TEST(BatchCodec, AReplaySaysSoInTheFactsToo) {
  BatchCodec codec;
  Batch batch = sample_batch();
  batch.replay = Replay{"dead:1:12", "3:4711.1"};
  batch.answer_when_stored = true;
  std::string bytes;
  codec.encode(batch, bytes);
  Batch decoded;
  ASSERT_TRUE(codec.decode(bytes, decoded).ok());
  EXPECT_EQ(decoded, batch);
  Batch facts;
  ASSERT_TRUE(decode_facts(bytes, facts).ok());
  EXPECT_EQ(facts.replay, batch.replay);
  EXPECT_TRUE(facts.answer_when_stored);
  codec.encode(sample_batch(), bytes);
  ASSERT_TRUE(codec.decode(bytes, decoded).ok());
  EXPECT_FALSE(decoded.replay) << "nothing is left of the record before";
  EXPECT_FALSE(decoded.answer_when_stored);
}

TEST(BatchCodec, CounterIsSetInTheEncodedBytes) {
  BatchCodec codec;
  Batch batch = sample_batch();
  batch.ingest_id.counter = 0;
  std::string bytes;
  codec.encode(batch, bytes);
  for (const std::uint64_t counter :
       {std::uint64_t{1}, std::uint64_t{300}, std::numeric_limits<std::uint64_t>::max()}) {
    set_ingest_counter(bytes, counter);
    Batch decoded;
    ASSERT_TRUE(codec.decode(bytes, decoded).ok());
    batch.ingest_id.counter = counter;
    EXPECT_EQ(decoded, batch);
  }
}

TEST(BatchCodec, AFieldOfALaterVersionIsPassedOver) {
  BatchCodec codec;
  std::string bytes;
  codec.encode(sample_batch(), bytes);
  bytes += std::string("\x9a\x06\x03new", 6);  // field 99, a string
  Batch decoded;
  ASSERT_TRUE(codec.decode(bytes, decoded).ok());
  EXPECT_EQ(decoded, sample_batch());
  EXPECT_FALSE(codec.decode(bytes + std::string("\x30\x07", 2), decoded).ok()) << "device_key behind the points";
}

TEST(BatchCodec, RefusesBytesThatAreNoBatch) {
  BatchCodec codec;
  Batch out;
  EXPECT_FALSE(codec.decode("\xff\xff\xff", out).ok());
  EXPECT_FALSE(codec.decode("", out).ok()) << "no ingest id";
  std::string bytes;
  codec.encode(sample_batch(), bytes);
  for (std::size_t length = 0; length + 1 < bytes.size(); ++length) {
    const std::string_view cut = std::string_view(bytes).substr(0, length);
    const auto whole = codec.decode(cut, out);
    const auto facts = decode_facts(cut, out);
    EXPECT_TRUE(!whole.ok() || out.points.size() < 5) << length;
    static_cast<void>(facts);
  }
}

}  // namespace
}  // namespace millrace::telemetry
