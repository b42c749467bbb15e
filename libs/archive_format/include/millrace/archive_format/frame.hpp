#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::archive_format {

/// One frame on the pipe: size of the payload (uint32), version (uint8), type (uint8), two zero bytes, the payload. All
/// numbers little-endian.
inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kMostPayload = 16U << 20;

enum class FrameType : std::uint8_t {
  kRequest = 1,  ///< to the worker, first: fields
  kRows = 2,     ///< either way: a block of rows
  kItem = 3,     ///< from the worker: fields of one of several answers; to it: names for the rows of an export
  kDone = 4,     ///< to the worker: no more rows; from it: the call succeeded, fields
  kError = 5,    ///< from the worker, last: `message`
  kBytes = 6,    ///< from the worker: the next bytes of a file
};

struct Frame {
  FrameType type = FrameType::kDone;
  std::string_view payload;
};

/// Appends header and payload. The payload is at most kMostPayload; a longer one is a fault of the program.
void append_frame(std::string& out, FrameType type, std::string_view payload);

/// Takes bytes as they come and gives whole frames. Holds at most one frame and one piece.
class FrameReader {
 public:
  void add(std::string_view bytes);
  /// The next whole frame, or nothing until more bytes come. Its payload lives until the next call of any member.
  /// kInvalid: another version, an unknown type or a payload beyond the limit; the stream is of no use then.
  [[nodiscard]] Result<std::optional<Frame>> next();
  /// True where no byte of an unfinished frame is held.
  [[nodiscard]] bool at_border() const { return taken_ == buffer_.size(); }

 private:
  std::string buffer_;
  std::size_t taken_ = 0;
};

/// Names and values of a request or an answer.
using Fields = std::map<std::string, std::string, std::less<>>;

[[nodiscard]] std::string encode_fields(const Fields& fields);
/// kInvalid: cut, or with more than 256 fields.
[[nodiscard]] Result<Fields> decode_fields(std::string_view payload);

/// Value of a field, empty where it is missing.
[[nodiscard]] std::string_view text_of(const Fields& fields, std::string_view name);
/// Nothing where the field is missing or no decimal number.
[[nodiscard]] std::optional<std::int64_t> integer_of(const Fields& fields, std::string_view name);

}  // namespace millrace::archive_format
