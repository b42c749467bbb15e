#include "cbor_reader.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace millrace::telemetry {
namespace {

using Kind = CborItem::Kind;
using Step = CborReader::Step;

// Additional information (RFC 8949 section 3).
constexpr unsigned kOneByte = 24;
constexpr unsigned kEightBytes = 27;
constexpr unsigned kOpen = 31;

template <typename Number>
Number big_endian(const char* bytes) {
  Number number = 0;
  std::memcpy(&number, bytes, sizeof(number));
  if constexpr (std::endian::native == std::endian::big) return number;
  if constexpr (sizeof(number) == 8) return __builtin_bswap64(number);
  if constexpr (sizeof(number) == 4) return __builtin_bswap32(number);
  return __builtin_bswap16(static_cast<std::uint16_t>(number));
}

// IEEE 754 binary16 (RFC 8949 appendix D).
double half(std::uint64_t bits) {
  const auto exponent = static_cast<int>(bits >> 10U & 0x1fU);
  const auto mantissa = static_cast<double>(bits & 0x3ffU);
  double value = 0;
  if (exponent == 0) {
    value = std::ldexp(mantissa, -24);
  } else if (exponent != 31) {
    value = std::ldexp(mantissa + 1024, exponent - 25);
  } else {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x8000U) != 0 ? -value : value;
}

}  // namespace

Step CborReader::argument(unsigned info, std::uint64_t& out) {
  if (info < kOneByte) {
    out = info;
    return Step::kItem;
  }
  if (info > kEightBytes) return Step::kBad;
  const std::size_t size = std::size_t{1} << (info - kOneByte);
  if (bytes_.size() - at_ < size) return Step::kEnd;
  out = info == kEightBytes ? big_endian<std::uint64_t>(bytes_.data() + at_)
        : info == 26        ? big_endian<std::uint32_t>(bytes_.data() + at_)
        : info == 25        ? big_endian<std::uint16_t>(bytes_.data() + at_)
                            : static_cast<unsigned char>(bytes_[at_]);
  at_ += size;
  return Step::kItem;
}

Step CborReader::string(CborItem& item) {
  if (bytes_.size() - at_ < item.number) return Step::kEnd;
  item.text = bytes_.substr(at_, item.number);
  at_ += item.number;
  return Step::kItem;
}

Step CborReader::simple_or_real(unsigned info, CborItem& item) {
  switch (info) {
    case 20:
    case 21:
      item.kind = Kind::kBool;
      item.number = info - 20;
      return Step::kItem;
    case 22:
    case 23:
      item.kind = Kind::kNull;
      return Step::kItem;
    case 25:
    case 26:
    case 27:
      break;
    case kOpen:
      item.kind = Kind::kBreak;
      return Step::kItem;
    default:
      return Step::kBad;
  }
  item.kind = Kind::kReal;
  const Step step = argument(info, item.number);
  if (step != Step::kItem) return step;
  if (info == 25) {
    item.real = half(item.number);
  } else if (info == 26) {
    item.real = std::bit_cast<float>(static_cast<std::uint32_t>(item.number));
  } else {
    item.real = std::bit_cast<double>(item.number);
  }
  return Step::kItem;
}

Step CborReader::next(CborItem& item) {
  constexpr Kind kKinds[] = {Kind::kUnsigned, Kind::kNegative, Kind::kBytes, Kind::kText,
                             Kind::kArray,    Kind::kMap,      Kind::kTag};
  constexpr Kind kOpenKinds[] = {Kind::kOpenBytes, Kind::kOpenText, Kind::kOpenArray, Kind::kOpenMap};
  if (at_ == bytes_.size()) return Step::kEnd;
  const auto head = static_cast<unsigned char>(bytes_[at_++]);
  const unsigned major = head >> 5U;
  const unsigned info = head & 0x1fU;
  if (major == 7) return simple_or_real(info, item);
  if (info == kOpen && major >= 2 && major <= 5) {
    item.kind = kOpenKinds[major - 2];
    return Step::kItem;
  }
  item.kind = kKinds[major];
  const Step step = argument(info, item.number);
  if (step != Step::kItem || (major != 2 && major != 3)) return step;
  return string(item);
}

}  // namespace millrace::telemetry
