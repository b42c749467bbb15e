#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <millrace/archive_format/rows.hpp>

#include "little_endian.hpp"

namespace millrace::archive_format {
namespace {

constexpr std::uint8_t kUntimed = 0x80;
/// Bytes of a row without its text.
constexpr std::size_t kFixed = 4 + 4 + 8 + 8 + 1 + 4;

static_assert(std::endian::native == std::endian::little, "columns are copied as they lie in memory");

template <typename T>
void append_column(std::string& out, const std::vector<T>& column) {
  const std::size_t at = out.size();
  out.resize(at + column.size() * sizeof(T));
  std::memcpy(out.data() + at, column.data(), column.size() * sizeof(T));
}

template <typename T>
void take_column(std::string_view& rest, std::size_t rows, std::vector<T>& column) {
  column.resize(rows);
  std::memcpy(column.data(), rest.data(), rows * sizeof(T));
  rest.remove_prefix(rows * sizeof(T));
}

}  // namespace

bool same_row(const Row& a, const Row& b) {
  return a.key == b.key && a.kind == b.kind && a.untimed == b.untimed && a.other == b.other &&
         (a.kind != 0 || std::bit_cast<std::uint64_t>(a.number) == std::bit_cast<std::uint64_t>(b.number));
}

bool RowBlock::add(const Row& row) {
  if (row.other.size() > kMostText) return false;
  devices_.push_back(row.key.device);
  metrics_.push_back(row.key.metric);
  times_.push_back(row.key.time);
  numbers_.push_back(row.kind == 0 ? row.number : 0);
  kinds_.push_back(static_cast<std::uint8_t>(row.kind | (row.untimed ? kUntimed : 0)));
  text_ += row.other;
  ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  return true;
}

void RowBlock::clear() {
  devices_.clear();
  metrics_.clear();
  times_.clear();
  numbers_.clear();
  kinds_.clear();
  ends_.clear();
  text_.clear();
}

Row RowBlock::at(std::size_t index) const {
  const std::uint32_t begin = index == 0 ? 0 : ends_[index - 1];
  return {{devices_[index], metrics_[index], times_[index]},
          static_cast<std::uint8_t>(kinds_[index] & ~kUntimed),
          (kinds_[index] & kUntimed) != 0,
          numbers_[index],
          std::string_view(text_).substr(begin, ends_[index] - begin)};
}

std::string RowBlock::encode() const {
  std::string out;
  out.reserve(4 + size() * kFixed + text_.size());
  append_little_endian(out, static_cast<std::uint32_t>(size()));
  append_column(out, devices_);
  append_column(out, metrics_);
  append_column(out, times_);
  append_column(out, numbers_);
  append_column(out, kinds_);
  append_column(out, ends_);
  out += text_;
  return out;
}

Result<RowBlock> RowBlock::decode(std::string_view payload) {
  if (payload.size() < 4) return Error{ErrorKind::kInvalid, "a block of rows that is cut"};
  const std::size_t rows = load_little_endian<std::uint32_t>(payload);
  payload.remove_prefix(4);
  if (payload.size() / kFixed < rows) return Error{ErrorKind::kInvalid, "a block of rows that is cut"};
  RowBlock block;
  take_column(payload, rows, block.devices_);
  take_column(payload, rows, block.metrics_);
  take_column(payload, rows, block.times_);
  take_column(payload, rows, block.numbers_);
  take_column(payload, rows, block.kinds_);
  take_column(payload, rows, block.ends_);
  const bool known = std::all_of(block.kinds_.begin(), block.kinds_.end(),
                                 [](std::uint8_t kind) { return (kind & ~kUntimed) <= kMostKind; });
  if (!known) return Error{ErrorKind::kInvalid, "a row of an unknown kind"};
  const std::size_t text = block.ends_.empty() ? 0 : block.ends_.back();
  if (!std::is_sorted(block.ends_.begin(), block.ends_.end()) || text != payload.size())
    return Error{ErrorKind::kInvalid, "a block of rows whose texts do not fit"};
  block.text_.assign(payload);
  return block;
}

void RowsHash::mix(std::uint64_t word) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(state_ ^ word) * 0xa0761d6478bd642fU;
  state_ = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64) ^ 0xe7037ed1a0b428dbU;
}

void RowsHash::add(const Row& row) {
  mix((static_cast<std::uint64_t>(static_cast<std::uint32_t>(row.key.device)) << 32) |
      static_cast<std::uint32_t>(row.key.metric));
  mix(static_cast<std::uint64_t>(row.key.time));
  mix((static_cast<std::uint64_t>(row.kind) << 1) | (row.untimed ? 1U : 0U));
  if (row.kind == 0) {
    mix(std::bit_cast<std::uint64_t>(row.number));
  } else {
    mix(row.other.size());
    for (std::size_t at = 0; at < row.other.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, row.other.data() + at, std::min<std::size_t>(8, row.other.size() - at));
      mix(word);
    }
  }
  ++rows_;
}

void RowsHash::add(const RowBlock& block) {
  for (std::size_t i = 0; i < block.size(); ++i) add(block.at(i));
}

std::string RowsHash::hex() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = kDigits[(state_ >> (60 - 4 * i)) & 0xf];
  return text;
}

}  // namespace millrace::archive_format
