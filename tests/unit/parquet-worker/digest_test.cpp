#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>

#include "sha256.hpp"

namespace millrace::parquet_worker {
namespace {

TEST(Sha256, AgreesWithOpenSslAtEveryLengthAndPiece) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>(i * 7);
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const std::string_view text = std::string_view(bytes).substr(0, size);
    Sha256 whole;
    whole.add(text);
    const std::string expected = to_hex(millrace::bytes_of(millrace::sha256(text)));
    ASSERT_EQ(whole.finish(), expected) << size;
    Sha256 pieces;
    for (std::size_t at = 0; at < size; at += 13) pieces.add(text.substr(at, 13));
    ASSERT_EQ(pieces.finish(), expected) << size;
  }
}

}  // namespace
}  // namespace millrace::parquet_worker
