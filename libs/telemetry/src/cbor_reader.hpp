#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::telemetry {

/// One data item's head, with the bytes of a string (RFC 8949 section 3).
struct CborItem {
  enum class Kind : std::uint8_t {
    kUnsigned,   ///< `number`
    kNegative,   ///< -1 - `number`
    kBytes,      ///< `text`
    kText,       ///< `text`, not checked for UTF-8
    kArray,      ///< `number` items follow
    kMap,        ///< `number` pairs follow
    kTag,        ///< `number`; the tagged item follows
    kReal,       ///< `real`
    kBool,       ///< `number`
    kNull,       ///< null or undefined
    kOpenBytes,  ///< parts until kBreak
    kOpenText,
    kOpenArray,
    kOpenMap,
    kBreak,
  };
  Kind kind = Kind::kNull;
  std::uint64_t number = 0;
  double real = 0;
  std::string_view text;  ///< of the payload
};

/// Reads the items of CBOR one after the other, bounds checked; allocates nothing and goes into nothing by itself.
class CborReader {
 public:
  enum class Step : std::uint8_t {
    kItem,
    kEnd,  ///< it ends too early
    kBad,  ///< a head or a simple value that RFC 8949 reserves or leaves without meaning
  };

  explicit CborReader(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] Step next(CborItem& item);
  /// Of the next item.
  [[nodiscard]] std::size_t offset() const { return at_; }
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }

 private:
  [[nodiscard]] Step argument(unsigned info, std::uint64_t& out);
  [[nodiscard]] Step string(CborItem& item);
  [[nodiscard]] Step simple_or_real(unsigned info, CborItem& item);

  std::string_view bytes_;
  std::size_t at_ = 0;
};

}  // namespace millrace::telemetry
