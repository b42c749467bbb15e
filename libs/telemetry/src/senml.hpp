#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "point_sink.hpp"

namespace millrace::telemetry {

/// A number as the payload has it: an integer stays one.
struct SenmlNumber {
  bool integer = true;
  std::int64_t whole = 0;
  double real = 0;  ///< of !integer; finite
  [[nodiscard]] double as_real() const { return integer ? static_cast<double>(whole) : real; }
};

/// The fields of RFC 8428 section 4.3; the number is the CBOR label (section 6) + 6.
enum class SenmlField : std::uint8_t {
  kBaseSum,
  kBaseValue,
  kBaseUnit,
  kBaseTime,
  kBaseName,
  kVersion,
  kName,
  kUnit,
  kValue,
  kText,
  kBool,
  kSum,
  kTime,
  kUpdateTime,
  kData,
};
inline constexpr std::int64_t kSenmlFirstLabel = -6;
inline constexpr std::size_t kSenmlFields = 15;

/// `bn`, `v` ...
[[nodiscard]] std::string_view to_string(SenmlField field);
[[nodiscard]] std::optional<SenmlField> senml_field(std::string_view label);
enum class SenmlType : std::uint8_t { kNumber, kText, kBool, kData };
[[nodiscard]] SenmlType type_of(SenmlField field);

/// A record as it stands. The views must live until the pack is over.
struct SenmlRecord {
  std::uint32_t has = 0;  ///< bits by SenmlField
  std::string_view base_name, base_unit, name, unit, text;
  std::string_view data;  ///< base64url without padding, as section 4.3 writes it
  SenmlNumber base_time, base_value, base_sum, version, value, sum, time;
  bool flag = false;

  [[nodiscard]] bool holds(SenmlField field) const { return (has >> static_cast<unsigned>(field) & 1U) != 0; }
};

/// Resolves the records of a pack (RFC 8428 section 4.6), one after the other, into points.
class SenmlResolver {
 public:
  void begin(PointSink& sink);

  // What a decoder found in the record: false is a fault, noted in the sink. A field that stands twice is one.
  [[nodiscard]] bool set_number(SenmlRecord& record, SenmlField field, const SenmlNumber& number);
  [[nodiscard]] bool set_text(SenmlRecord& record, SenmlField field, std::string_view text);
  [[nodiscard]] bool set_bool(SenmlRecord& record, SenmlField field, bool value);
  /// A label that is none of ours: those that end with `_` must be understood (section 4.4).
  [[nodiscard]] bool pass_over(std::string_view label);
  bool wrong_type(SenmlField field);

  /// The record is complete.
  [[nodiscard]] bool take(const SenmlRecord& record);
  /// The pack is.
  [[nodiscard]] bool finish();

 private:
  [[nodiscard]] bool claim(SenmlRecord& record, SenmlField field);
  [[nodiscard]] bool take_base(const SenmlRecord& record);
  [[nodiscard]] bool take_base_name(std::string_view name);
  [[nodiscard]] bool resolve_name(const SenmlRecord& record);
  [[nodiscard]] bool name_by_unit(std::string_view unit);
  [[nodiscard]] bool resolve_time(const SenmlRecord& record, std::optional<TimeUs>& time);
  [[nodiscard]] bool add_values(const SenmlRecord& record);
  [[nodiscard]] bool add_number(std::string_view field, const SenmlNumber* own, const SenmlNumber* base);
  void remember_unit(std::string_view unit, std::size_t first);
  [[nodiscard]] bool to_us(SenmlField field, const SenmlNumber& number, TimeUs& out);

  struct PointUnit {
    std::size_t point;
    std::size_t record;
    std::string_view unit;
  };

  PointSink* sink_ = nullptr;
  std::size_t record_ = 0;
  SenmlRecord base_;  // the base fields so far
  TimeUs base_time_ = 0;
  std::string resolved_;       // base name, and behind it the record's own
  std::size_t base_size_ = 0;  // of it
  std::string metric_;         // of the record
  std::vector<PointUnit> units_;
  bool several_units_ = false;
};

/// Replaces `out`.
void base64url(std::string_view bytes, std::string& out);

}  // namespace millrace::telemetry
