#include "read/page_token.hpp"

#include <millrace/base/digest.hpp>

namespace millrace::query_api {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kMostNumbers = 4'096;

void put64(std::string& out, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(value >> shift);
}

std::uint64_t get64(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}

Error bad_token() {
  return {ErrorKind::kInvalid, "page_token is not one that this request was answered with; begin again without it"};
}

}  // namespace

std::string make_page_token(std::string_view scope, std::span<const std::int64_t> position) {
  std::string bytes(1, kVersion);
  put64(bytes, hash64(scope));
  for (const std::int64_t number : position) put64(bytes, static_cast<std::uint64_t>(number));
  put64(bytes, hash64(bytes));
  return to_hex(bytes);
}

Result<std::vector<std::int64_t>> read_page_token(std::string_view scope, std::string_view token) {
  if (token.size() > 2 * (17 + 8 * kMostNumbers)) return bad_token();
  const auto decoded = from_hex(token);
  if (!decoded.ok()) return bad_token();
  const std::string_view bytes = decoded.value();
  if (bytes.size() < 17 || (bytes.size() - 1) % 8 != 0 || bytes[0] != kVersion) return bad_token();
  const std::string_view signed_part = bytes.substr(0, bytes.size() - 8);
  if (get64(bytes.substr(bytes.size() - 8)) != hash64(signed_part)) return bad_token();
  if (get64(bytes.substr(1)) != hash64(scope)) return bad_token();
  std::vector<std::int64_t> position;
  for (std::size_t at = 9; at < signed_part.size(); at += 8) {
    position.push_back(static_cast<std::int64_t>(get64(signed_part.substr(at))));
  }
  return position;
}

std::vector<std::int64_t> numbers_of_text(std::string_view text) {
  std::vector<std::int64_t> numbers{static_cast<std::int64_t>(text.size())};
  std::string bytes(text);
  bytes.resize((text.size() + 7) / 8 * 8);
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    numbers.push_back(static_cast<std::int64_t>(get64(std::string_view(bytes).substr(at))));
  }
  return numbers;
}

Result<std::string> text_of_numbers(std::span<const std::int64_t> numbers) {
  if (numbers.empty() || numbers[0] < 0 || (numbers[0] + 7) / 8 != static_cast<std::int64_t>(numbers.size()) - 1) {
    return bad_token();
  }
  std::string bytes;
  for (const std::int64_t number : numbers.subspan(1)) put64(bytes, static_cast<std::uint64_t>(number));
  bytes.resize(static_cast<std::size_t>(numbers[0]));
  return bytes;
}

}  // namespace millrace::query_api
