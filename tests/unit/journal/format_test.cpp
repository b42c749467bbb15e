#include <string>

#include <gtest/gtest.h>

#include <millrace/journal/format.hpp>

namespace millrace::journal {
namespace {

using Kind = Scanned::Kind;

std::string entry(std::string_view body) {
  std::string out;
  encode_entry(body, out);
  return out;
}

TEST(JournalFormat, HeaderComesBack) {
  const FileHeader header{{1, 2, 3, 255}, 0x123456789abcdef0};
  const std::string bytes = encode_header(header);
  EXPECT_EQ(bytes.size(), kFileHeaderBytes);
  const auto decoded = decode_header(bytes + "what follows");
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->run, header.run);
  EXPECT_EQ(decoded->first_counter, header.first_counter);
}

TEST(JournalFormat, HeaderIsRefusedWithAnyBitFlippedOrByteMissing) {
  const std::string bytes = encode_header({{1, 2, 3}, 7});
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_header(flipped).ok()) << bit;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_header(bytes.substr(0, size)).ok());
}

TEST(JournalFormat, EntriesComeBackInARow) {
  const std::string bytes = entry("one") + entry(std::string("\0\xff", 2)) + entry(std::string(100'000, 'x'));
  std::string_view rest = bytes;
  for (const std::string& body : {std::string("one"), std::string("\0\xff", 2), std::string(100'000, 'x')}) {
    const Scanned scanned = scan_entry(rest);
    ASSERT_EQ(scanned.kind, Kind::kEntry);
    EXPECT_EQ(scanned.body, body);
    EXPECT_EQ(scanned.size, kEntryOverhead + body.size());
    rest.remove_prefix(scanned.size);
  }
  EXPECT_EQ(scan_entry(rest).kind, Kind::kIncomplete);
}

TEST(JournalFormat, EveryTornEntryIsIncomplete) {
  const std::string bytes = entry("a body");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(scan_entry(std::string_view(bytes).substr(0, size)).kind, Kind::kIncomplete) << size;
  }
}

TEST(JournalFormat, NoFlippedBitPassesAsAnEntry) {
  const std::string bytes = entry("a body of some bytes");
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(scan_entry(flipped).kind, Kind::kEntry) << bit;
  }
}

TEST(JournalFormat, AbsurdLengthsAreBrokenBeforeAnythingIsRead) {
  EXPECT_EQ(scan_entry(std::string(16, '\0')).kind, Kind::kBroken);
  EXPECT_EQ(scan_entry(std::string(16, '\xff')).kind, Kind::kBroken);
  EXPECT_EQ(scan_entry(std::string(16, '\xff')).size, 0U);
}

TEST(JournalFormat, TheNewerOfTwoCheckpointsHoldsAndATornOneDoesNot) {
  std::string slots(2 * kCheckpointSlotBytes, '\0');
  EXPECT_EQ(decode_checkpoints(slots).generation, 0U);
  slots.replace(0, kCheckpointBytes, encode_checkpoint({4, 1, 100, 3}));
  slots.replace(kCheckpointSlotBytes, kCheckpointBytes, encode_checkpoint({5, 2, 200, 9}));
  EXPECT_EQ(decode_checkpoints(slots).file, 2U);
  EXPECT_EQ(decode_checkpoints(slots).counter, 9U);
  slots[kCheckpointSlotBytes + 9] ^= 1;
  const Checkpoint older = decode_checkpoints(slots);
  EXPECT_EQ(older.generation, 4U);
  EXPECT_EQ(older.offset, 100U);
  EXPECT_EQ(decode_checkpoints(slots.substr(0, 20)).generation, 0U);
}

}  // namespace
}  // namespace millrace::journal
