// The copy rules' state as bytes: what was saved must judge on as if it had never been away, and any bytes at all must
// be answered with a state or an error.
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/copy_rules.hpp>

namespace millrace::telemetry {
namespace {

struct Entry {
  TimeUs time = 0;
  Batch facts;
};

// A partition's log with copies of all four kinds, forgotten ones among them, and near misses.
class RandomLog {
 public:
  explicit RandomLog(std::uint64_t seed) : random_(seed) {}

  std::vector<Entry> make(std::size_t count) {
    std::vector<Entry> log;
    for (std::size_t i = 0; i < count; ++i) {
      time_ += pause();
      const std::size_t back = 1 + below(chance(80) ? 30 : 600);
      Batch next = back <= log.size() && chance(35) ? repeated(log[log.size() - back].facts) : record();
      log.push_back({time_, std::move(next)});
    }
    return log;
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool chance(unsigned percent) { return below(100) < percent; }

  TimeUs pause() {
    if (below(300) == 0) return static_cast<TimeUs>(below(14 * 3600)) * kUsPerSecond;
    if (chance(3)) return static_cast<TimeUs>(below(400)) * kUsPerSecond;
    return static_cast<TimeUs>(below(2 * kUsPerSecond));
  }

  Batch record() {
    Batch batch;
    batch.tenant = "t";
    batch.device = "d" + std::to_string(below(8));
    batch.qos = 1;
    batch.delivery.payload_hash = (1 + below(50)) << 20;
    if (chance(10)) batch.delivery.publisher = "p";
    const std::uint64_t kind = below(10);
    if (kind < 3) {
      batch.protocol = Protocol::kHttp;
      batch.delivery.message_id = "id-" + std::to_string(below(100));
    } else if (kind < 7) {
      batch.protocol = Protocol::kMqtt5;
      batch.delivery.client_id = "c" + std::to_string(below(3));
      batch.delivery.connection_epoch = 1 + below(6);
      batch.delivery.packet_id = static_cast<std::uint16_t>(1 + below(20));
      batch.delivery.dup = chance(20);
    } else {
      batch.protocol = Protocol::kCoap;
      batch.delivery.coap_message_id = static_cast<std::uint16_t>(below(20));
      batch.delivery.coap_token = std::string(1, static_cast<char>('a' + below(2)));
      batch.delivery.coap_confirmable = chance(50);
    }
    return produced(std::move(batch));
  }

  Batch produced(Batch batch) {
    batch.ingest_id.start = {static_cast<std::uint8_t>(below(5))};
    std::uint64_t& counter = counters_[batch.ingest_id.start[0]];
    counter += chance(2) ? below(200) : 1;
    batch.ingest_id.counter = counter + (chance(5) ? 3 : 0);
    return batch;
  }

  // By its gateway, or by its device, over the same connection or the next.
  Batch repeated(Batch batch) {
    if (chance(20)) return batch;
    if (!chance(10)) batch.delivery.dup = !batch.delivery.dup;
    if (!chance(20)) batch.delivery.connection_epoch += batch.delivery.dup ? 1 : static_cast<std::uint64_t>(-1);
    return produced(std::move(batch));
  }

  std::mt19937_64 random_;
  TimeUs time_ = 1'767'225'600 * kUsPerSecond;
  std::array<std::uint64_t, 5> counters_{};
};

CopyLimits small_limits() {
  CopyLimits limits;
  limits.counter_window = 64;
  limits.starts = 3;
  limits.ids_per_publisher = 12;
  limits.records_per_connection = 6;
  limits.connections_per_client = 3;
  limits.coap_records_per_publisher = 16;
  return limits;
}

std::string saved(const CopyRules& rules, std::size_t next) {
  auto bytes = rules.save(static_cast<std::int64_t>(next));
  if (bytes) return *bytes;
  ADD_FAILURE() << bytes.error().message;
  return {};
}

CopyRules loaded(const std::string& bytes, const CopyLimits& limits = {}) {
  auto rules = CopyRules::load(bytes, limits);
  if (rules) return std::move(*rules);
  ADD_FAILURE() << rules.error().message;
  return CopyRules(limits);
}

CopyVerdict judge(CopyRules& rules, const std::vector<Entry>& log, std::size_t at) {
  return rules.judge(static_cast<std::int64_t>(at), log[at].time, log[at].facts);
}

// With the checksum made right again, so that what is behind it is reached.
std::string sealed(std::string bytes) {
  bytes.resize(bytes.size() - 8);
  const std::uint64_t hash = hash64(bytes);
  std::array<char, 8> word{};
  std::memcpy(word.data(), &hash, word.size());
  return bytes.append(word.data(), word.size());
}

class CopyStateProperty : public ::testing::TestWithParam<std::tuple<std::uint64_t, bool>> {};

TEST_P(CopyStateProperty, WhatWasSavedJudgesEveryLaterRecordAlike) {
  const auto& [seed, small] = GetParam();
  const CopyLimits limits = small ? small_limits() : CopyLimits{};
  const std::vector<Entry> log = RandomLog(seed).make(4'000);
  CopyRules original(limits);
  CopyRules once(limits);   // saved and loaded a single time
  CopyRules often(limits);  // again and again
  std::array<int, 4> copies{};
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (i == log.size() / 3) once = loaded(saved(original, i), limits);
    if (i % 61 == 0) {
      const std::string bytes = saved(original, i);
      ASSERT_EQ(saved(often, i), bytes) << "record " << i;
      often = loaded(bytes, limits);
      ASSERT_EQ(saved(often, i), bytes) << "record " << i;
      ASSERT_EQ(often.next_offset(), static_cast<std::int64_t>(i));
    }
    const CopyVerdict verdict = judge(original, log, i);
    ASSERT_EQ(judge(often, log, i), verdict) << "record " << i;
    if (i >= log.size() / 3) {
      ASSERT_EQ(judge(once, log, i), verdict) << "record " << i;
    }
    if (verdict.is_copy()) ++copies.at(static_cast<std::size_t>(verdict.rule));
  }
  EXPECT_EQ(saved(once, log.size()), saved(original, log.size()));
  for (const int of_rule : copies) EXPECT_GT(of_rule, 20) << "the log does not ask all rules";
}

TEST_P(CopyStateProperty, TheStateAndTheLogFromItsOffsetAreTheWholeLog) {
  const auto& [seed, small] = GetParam();
  const CopyLimits limits = small ? small_limits() : CopyLimits{};
  const std::vector<Entry> log = RandomLog(seed + 1'000).make(1'500);
  CopyRules whole(limits);
  std::string at_700;
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (i == 700) at_700 = saved(whole, i);
    static_cast<void>(judge(whole, log, i));
  }
  for (const std::size_t from : {700U, 650U, 0U}) {
    CopyRules again = loaded(at_700, limits);
    for (std::size_t i = from; i < log.size(); ++i) static_cast<void>(judge(again, log, i));
    EXPECT_EQ(saved(again, log.size()), saved(whole, log.size())) << "read again from " << from;
    EXPECT_EQ(again.log_time(), whole.log_time());
  }
}

INSTANTIATE_TEST_SUITE_P(Logs, CopyStateProperty,
                         ::testing::Combine(::testing::Range<std::uint64_t>(1, 13), ::testing::Bool()));

class CopyStateTest : public ::testing::Test {
 protected:
  // Small, with something in each memory.
  static std::string some_state() {
    const std::vector<Entry> log = RandomLog(7).make(60);
    CopyRules rules(small_limits());
    for (std::size_t i = 0; i < log.size(); ++i) static_cast<void>(judge(rules, log, i));
    return saved(rules, log.size());
  }
  static Error refused(const std::string& bytes) {
    auto rules = CopyRules::load(bytes, small_limits());
    return rules ? Error{ErrorKind::kInternal, "was taken"} : rules.error();
  }
};

TEST_F(CopyStateTest, NothingIsAState) {
  CopyRules rules = loaded(saved(CopyRules(), 0));
  EXPECT_EQ(rules.next_offset(), 0);
  EXPECT_EQ(rules.log_time(), 0);
}

TEST_F(CopyStateTest, EveryTruncationIsRefused) {
  const std::string bytes = some_state();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_EQ(refused(bytes.substr(0, size)).kind, ErrorKind::kCorrupt) << size;
    if (size < 8) continue;
    ASSERT_EQ(refused(sealed(bytes.substr(0, size))).kind, ErrorKind::kCorrupt) << size;
  }
  EXPECT_EQ(refused(sealed(bytes + "12345678")).message,
            "the saved state of the copy rules is damaged: bytes are left over (byte " +
                std::to_string(bytes.size() - 8 - 5) + ")");
}

TEST_F(CopyStateTest, EveryFlippedBitIsRefused) {
  const std::string bytes = some_state();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const Error error = refused(flipped);
    ASSERT_EQ(error.kind, bit / 8 == 4 ? ErrorKind::kPrecondition : ErrorKind::kCorrupt) << bit << error.message;
  }
}

TEST_F(CopyStateTest, BytesWithARightChecksumAreAStateOrAnError) {
  const std::string bytes = some_state();
  const std::vector<Entry> later = RandomLog(8).make(20);
  std::mt19937_64 random(9);
  int taken = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string changed = bytes;
    for (std::uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      // Behind the hash of the limits; half of them become what a number's greatest digit is.
      char& one = changed[13 + random() % (changed.size() - 21)];
      one = random() % 2 == 0 ? '\xff' : static_cast<char>(random());
    }
    auto rules = CopyRules::load(sealed(changed), small_limits());
    if (!rules) {
      ASSERT_EQ(rules.error().kind, ErrorKind::kCorrupt);
      continue;
    }
    ++taken;
    for (std::size_t i = 0; i < later.size(); ++i) {
      const std::int64_t offset = rules->next_offset();
      const auto verdict = rules->judge(offset, rules->log_time() + 1, later[i].facts);
      ASSERT_LT(verdict.original, offset);
    }
    ASSERT_TRUE(rules->save(rules->next_offset()).ok());
  }
  EXPECT_GT(taken, 1'000) << "hashes may be any";
}

TEST_F(CopyStateTest, ACountThatTheBytesCannotHoldIsRefusedBeforeAnythingIsAllocated) {
  std::string bytes = saved(CopyRules(small_limits()), 0);
  ASSERT_EQ(bytes.size(), 5U + 8 + 3 + 4 + 8) << "offset and times, four counts";
  bytes.insert(17, "\xff\xff\xff\xff\xff\xff\x7f");  // publishers of ids
  EXPECT_NE(refused(sealed(bytes)).message.find("publishers of ids: the bytes end before the last of"),
            std::string::npos)
      << refused(sealed(bytes)).message;
}

TEST_F(CopyStateTest, AnotherVersionAndOtherLimitsAreSaid) {
  std::string bytes = some_state();
  const auto other_limits = CopyRules::load(bytes);
  ASSERT_FALSE(other_limits.ok());
  EXPECT_EQ(other_limits.error().kind, ErrorKind::kPrecondition);
  bytes[4] = 2;
  EXPECT_EQ(refused(bytes).message, "the saved state of the copy rules is of version 2, this program reads version 1");
}

TEST_F(CopyStateTest, TheBytesAreFewAndBounded) {
  constexpr std::int64_t kIds = 20'000;
  CopyRules rules;
  Batch batch;
  batch.protocol = Protocol::kHttp;
  for (std::int64_t i = 0; i < kIds; ++i) {
    batch.device = "d" + std::to_string(i % 40);
    batch.ingest_id.counter = static_cast<std::uint64_t>(i + 1);
    batch.delivery.message_id = std::to_string(i);
    batch.delivery.payload_hash = hash64(batch.delivery.message_id);
    ASSERT_FALSE(rules.judge(i, 1'000'000 * kUsPerSecond + i, batch).is_copy());
  }
  const std::string bytes = saved(rules, kIds);
  EXPECT_LT(bytes.size(), static_cast<std::size_t>(kIds * (18 + 1) + 20'000)) << "18 B an id, 1 B a counter";
  EXPECT_TRUE(rules.save(kIds, bytes.size()).ok());
  const auto too_large = rules.save(kIds, bytes.size() - 1);
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().kind, ErrorKind::kTooLarge);
}

}  // namespace
}  // namespace millrace::telemetry
