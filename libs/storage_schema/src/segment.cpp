#include <bit>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

#include <millrace/storage_schema/segment.hpp>

namespace millrace::storage_schema {
namespace {

enum Column { kCount, kScale, kStep, kT4, kT8, kV2, kV4, kV8, kUntimedAt };

template <typename T>
T load(const char* data) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) bits = bits << 8U | static_cast<unsigned char>(data[i]);
  if constexpr (std::floating_point<T>) {
    return std::bit_cast<double>(bits);
  } else {
    return static_cast<T>(bits);
  }
}

/// A one-dimensional array in the binary format: dimensions, whether there are NULLs, type, length, lower bound; then
/// for each element its size, -1 for NULL, and its bytes. Views the row.
class Elements {
 public:
  /// Nothing: the bytes are no array of so many elements.
  static std::optional<Elements> of(std::string_view bytes, std::int32_t count) {
    constexpr std::size_t kHeading = 20;
    if (bytes.size() < kHeading || load<std::int32_t>(bytes.data()) != 1 ||
        load<std::int32_t>(bytes.data() + 12) != count)
      return std::nullopt;
    return Elements(bytes.substr(kHeading));
  }

  /// The next one into `value`; false: it is NULL, or none is left of this size.
  template <typename T>
  bool next(T& value) {
    if (rest_.size() < 4) return false;
    const auto size = load<std::int32_t>(rest_.data());
    rest_.remove_prefix(4);
    if (size != static_cast<std::int32_t>(sizeof(T)) || rest_.size() < sizeof(T)) return false;
    value = load<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return true;
  }

 private:
  explicit Elements(std::string_view rest) : rest_(rest) {}
  std::string_view rest_;
};

Error corrupt() { return {ErrorKind::kCorrupt, "storage.segment: the columns of a segment contradict each other"}; }

class Unpacking {
 public:
  Unpacking(const postgres::CopyFields& row, int first_column, std::vector<PackedNumber>& numbers)
      : row_(row),
        first_(first_column),
        count_(static_cast<std::int32_t>(row.integer(first_column + kCount))),
        begin_(numbers.size()),
        numbers_(numbers) {
    numbers_.resize(begin_ + static_cast<std::size_t>(count_));
  }

  bool times(TimeUs start) {
    if (has(kT4))
      return each<std::int32_t>(kT4, [start](auto& number, auto ms) { number.time = start + ms * 1'000LL; });
    if (has(kT8)) return each<std::int64_t>(kT8, [start](auto& number, auto us) { number.time = start + us; });
    if (!has(kStep)) return false;
    const std::int64_t step = row_.integer(first_ + kStep);
    for (std::int32_t i = 0; i < count_; ++i) at(i).time = start + i * step;
    return true;
  }

  bool values() {
    if (has(kV8)) return each<double>(kV8, [](auto& number, double value) { number.value = value; });
    if (!has(kScale)) return false;
    const auto scale = static_cast<double>(row_.integer(first_ + kScale));
    const auto divided = [scale](auto& number, auto value) { number.value = static_cast<double>(value) / scale; };
    if (has(kV4)) return each<std::int32_t>(kV4, divided);
    return has(kV2) && each<std::int16_t>(kV2, divided);
  }

  /// Of all of them, or of those that are marked: the others are NULL.
  bool untimed(bool all) {
    if (!has(kUntimedAt)) {
      for (std::int32_t i = 0; i < count_; ++i) at(i).untimed = all;
      return true;
    }
    auto marks = Elements::of(row_.text(first_ + kUntimedAt), count_);
    if (!marks) return false;
    for (std::int32_t i = 0; i < count_; ++i) {
      std::uint8_t mark = 0;
      at(i).untimed = marks->next(mark) ? mark != 0 : all;
    }
    return true;
  }

 private:
  [[nodiscard]] bool has(Column column) const { return !row_.is_null(first_ + column); }
  PackedNumber& at(std::int32_t i) { return numbers_[begin_ + static_cast<std::size_t>(i)]; }

  template <typename T, typename Put>
  bool each(Column column, const Put& put) {
    auto elements = Elements::of(row_.text(first_ + column), count_);
    if (!elements) return false;
    for (std::int32_t i = 0; i < count_; ++i) {
      T value{};
      if (!elements->next(value)) return false;
      put(at(i), value);
    }
    return true;
  }

  const postgres::CopyFields& row_;
  int first_;
  std::int32_t count_;
  std::size_t begin_;
  std::vector<PackedNumber>& numbers_;
};

}  // namespace

Status unpack(TimeUs start, bool untimed, const postgres::CopyFields& row, int first_column,
              std::vector<PackedNumber>& numbers) {
  if (row.is_null(first_column + kCount) || row.integer(first_column + kCount) < 1) return corrupt();
  Unpacking segment(row, first_column, numbers);
  if (!segment.times(start) || !segment.values() || !segment.untimed(untimed)) return corrupt();
  return {};
}

}  // namespace millrace::storage_schema
