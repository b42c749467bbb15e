#include <gtest/gtest.h>

#include <millrace/archive_format/frame.hpp>

namespace millrace::archive_format {
namespace {

TEST(Frame, ComesBackInPiecesOfAnySize) {
  std::string stream;
  append_frame(stream, FrameType::kRows, "first");
  append_frame(stream, FrameType::kDone, "");
  append_frame(stream, FrameType::kItem, std::string(300, 'x'));
  for (std::size_t piece = 1; piece < 20; ++piece) {
    FrameReader reader;
    std::vector<std::pair<FrameType, std::string>> seen;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      reader.add(std::string_view(stream).substr(at, piece));
      for (;;) {
        const auto frame = reader.next();
        ASSERT_TRUE(frame.ok());
        if (!*frame) break;
        seen.emplace_back((*frame)->type, (*frame)->payload);
      }
    }
    ASSERT_EQ(seen.size(), 3U) << "pieces of " << piece;
    EXPECT_EQ(seen[0], std::pair(FrameType::kRows, std::string("first")));
    EXPECT_EQ(seen[1], std::pair(FrameType::kDone, std::string()));
    EXPECT_EQ(seen[2].second.size(), 300U);
    EXPECT_TRUE(reader.at_border());
  }
}

TEST(Frame, RefusesWhatIsNotOurs) {
  std::string good;
  append_frame(good, FrameType::kDone, "");
  struct Case {
    const char* what;
    std::size_t at;
    char byte;
    const char* said;
  };
  for (const Case& one : {Case{"version", 4, 9, "version 9"}, Case{"type", 5, 77, "unknown type 77"},
                          Case{"size", 3, 0x7f, "the limit is"}}) {
    std::string bad = good;
    bad[one.at] = one.byte;
    FrameReader reader;
    reader.add(bad);
    const auto frame = reader.next();
    ASSERT_FALSE(frame.ok()) << one.what;
    EXPECT_NE(frame.error().message.find(one.said), std::string::npos) << frame.error().message;
  }
}

TEST(Fields, ComeBack) {
  const Fields fields{{"command", "read"}, {"key", ""}, {"binary", std::string("\0\xff", 2)}, {"limit", "-12"}};
  const auto back = decode_fields(encode_fields(fields));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, fields);
  EXPECT_EQ(integer_of(*back, "limit"), -12);
  EXPECT_EQ(integer_of(*back, "command"), std::nullopt);
  EXPECT_EQ(text_of(*back, "missing"), "");
}

TEST(Fields, RefuseEveryCut) {
  const std::string whole = encode_fields({{"a", "bc"}, {"d", "e"}});
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(decode_fields(std::string_view(whole).substr(0, size)).ok()) << size;
  EXPECT_FALSE(decode_fields(whole + "x").ok());
}

}  // namespace
}  // namespace millrace::archive_format
