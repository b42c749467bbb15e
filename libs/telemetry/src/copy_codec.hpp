#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::telemetry {

/// Puts a state into bytes: little-endian words, and numbers of 7 bits a byte (varints as in Protocol Buffers).
/// Borrows the string.
class StateWriter {
 public:
  StateWriter(std::string& out, std::size_t most) : out_(out), most_(most) {}

  void bytes(std::string_view value) { out_.append(value); }
  void fixed64(std::uint64_t value) {
    if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
    std::array<char, 8> word{};
    std::memcpy(word.data(), &value, word.size());
    out_.append(word.data(), word.size());
  }
  void varint(std::uint64_t value) {
    std::array<char, 10> digits{};
    std::size_t size = 0;
    for (; value >= 0x80; value >>= 7) digits[size++] = static_cast<char>(value | 0x80);
    digits[size++] = static_cast<char>(value);
    out_.append(digits.data(), size);
  }
  void zigzag(std::int64_t value) {
    varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }

  /// The bound is passed: whoever writes stops, and what is written is thrown away.
  [[nodiscard]] bool full() const { return out_.size() > most_; }

 private:
  std::string& out_;
  std::size_t most_;
};

/// Takes a state out of bytes that may be anything. After the first fault it answers 0 and is at its end; whoever
/// reads in a loop asks failed().
class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

  [[nodiscard]] bool failed() const { return !fault_.empty(); }
  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] bool at_end() const { return at_ == end_; }
  void fail(std::string_view what) {
    if (failed()) return;
    fault_ = std::string(what) + " (byte " + std::to_string(at_ - begin_) + ")";
    at_ = end_;
  }

  std::string_view bytes(std::size_t size) {
    if (left() < size) {
      fail("the bytes end too early");
      return {};
    }
    const std::string_view value{at_, size};
    at_ += size;
    return value;
  }
  std::uint64_t fixed64() {
    const std::string_view word = bytes(8);
    std::uint64_t value = 0;
    if (word.size() == 8) std::memcpy(&value, word.data(), 8);
    if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; at_ != end_; shift += 7) {
      const auto digit = static_cast<unsigned char>(*at_++);
      if (shift == 63 && digit > 1) {
        fail("a number has more than 64 bits");
        return 0;
      }
      value |= static_cast<std::uint64_t>(digit & 0x7fU) << shift;
      if ((digit & 0x80U) == 0) return value;
    }
    fail("the bytes end too early");
    return 0;
  }
  std::int64_t zigzag() {
    const std::uint64_t value = varint();
    return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  std::uint64_t varint_most(std::string_view what, std::uint64_t most) {
    const std::uint64_t value = varint();
    if (value <= most) return value;
    fail(std::string(what) + " is " + std::to_string(value) + ", at most " + std::to_string(most) + " can be");
    return 0;
  }
  /// How many things follow, each of at least `least_bytes`: never more than the bytes can hold, so it bounds what is
  /// allocated for them.
  std::size_t count(std::string_view what, std::uint64_t most, std::size_t least_bytes) {
    const std::uint64_t value = varint_most(what, most);
    if (value <= left() / least_bytes) return static_cast<std::size_t>(value);
    fail(std::string(what) + ": the bytes end before the last of " + std::to_string(value));
    return 0;
  }
  /// An offset in [0, next), written as the difference to `previous`, which it replaces.
  std::int64_t offset(std::int64_t& previous, std::int64_t next) {
    const auto sum =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(previous) + static_cast<std::uint64_t>(zigzag()));
    if (sum >= 0 && sum < next) return previous = sum;
    fail("an offset is not before the state's own");
    return 0;
  }
  /// A time in [0, log_time], written as its age.
  TimeUs time(TimeUs log_time) {
    return log_time - static_cast<TimeUs>(varint_most("an age", static_cast<std::uint64_t>(log_time)));
  }

 private:
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  const char* begin_;
  const char* at_;
  const char* end_;
  std::string fault_;
};

}  // namespace millrace::telemetry
