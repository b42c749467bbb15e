#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include <millrace/storage_schema/value.hpp>

namespace millrace::storage_schema {
namespace {

// Doubles hold integers exactly up to here.
constexpr std::int64_t kExact = 1LL << 53;

template <typename T>
char* put_big_endian(char* at, T value) {
  for (std::size_t i = sizeof(T); i-- > 0;) *at++ = static_cast<char>(value >> (8 * i));
  return at;
}

// Time, device, metric, number and three columns without a value: what nearly every row is, written in one go.
void encode_number(postgres::CopyEncoder& encoder, TimeUs time, std::int32_t device, std::int32_t metric,
                   double number) {
  constexpr std::uint32_t kNull = 0xffffffffU;
  std::array<char, 12 + 8 + 8 + 12 + 3 * 4> fields;
  char* at = put_big_endian(fields.data(), std::uint32_t{8});
  at = put_big_endian(at, static_cast<std::uint64_t>(time - postgres::kPostgresEpochUs));
  at = put_big_endian(at, std::uint32_t{4});
  at = put_big_endian(at, static_cast<std::uint32_t>(device));
  at = put_big_endian(at, std::uint32_t{4});
  at = put_big_endian(at, static_cast<std::uint32_t>(metric));
  at = put_big_endian(at, std::uint32_t{8});
  at = put_big_endian(at, std::bit_cast<std::uint64_t>(number));
  for (int i = 0; i < 3; ++i) at = put_big_endian(at, kNull);
  encoder.encoded({fields.data(), fields.size()});
}

Result<telemetry::Value> integer_of(const std::string& digits) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return Error{ErrorKind::kCorrupt, "a stored integer is no integer"};
  }
  return telemetry::Value{number};
}

}  // namespace

Cell cell_of(const telemetry::Value& value) {
  switch (value.index()) {
    case 0:
      return {Kind::kNumber, std::get<0>(value), {}};
    case 1: {
      const std::int64_t number = std::get<1>(value);
      if (number >= -kExact && number <= kExact) return {Kind::kNumber, static_cast<double>(number), {}};
      return {Kind::kInteger, 0, std::to_string(number)};
    }
    case 2:
      return {Kind::kBoolean, 0, std::get<2>(value) ? "true" : "false"};
    case 3:
      return {Kind::kText, 0, std::get<3>(value)};
    default:
      return {Kind::kJson, 0, std::get<4>(value).text};
  }
}

MetricType type_of(const telemetry::Value& value) {
  switch (value.index()) {
    case 0:
      return MetricType::kDouble;
    case 1:
      return MetricType::kInteger;
    case 2:
      return MetricType::kBoolean;
    case 3:
      return MetricType::kText;
    default:
      return MetricType::kJson;
  }
}

Result<telemetry::Value> value_of(const Cell& cell, MetricType type) {
  switch (cell.kind) {
    case Kind::kNumber:
      if (type == MetricType::kInteger && std::nearbyint(cell.number) == cell.number &&
          std::fabs(cell.number) <= static_cast<double>(kExact)) {
        return telemetry::Value{static_cast<std::int64_t>(cell.number)};
      }
      return telemetry::Value{cell.number};
    case Kind::kInteger:
      return integer_of(cell.other);
    case Kind::kBoolean:
      return telemetry::Value{cell.other == "true"};
    case Kind::kText:
      return telemetry::Value{cell.other};
    case Kind::kJson:
      return telemetry::Value{telemetry::Json{cell.other}};
  }
  return Error{ErrorKind::kCorrupt,
               "a stored value has the unknown kind " + std::to_string(static_cast<int>(cell.kind))};
}

Cell cell_at(const postgres::Rows& rows, int row, int first_column) {
  Cell cell;
  if (!rows.is_null(row, first_column)) cell.number = rows.float8(row, first_column);
  if (!rows.is_null(row, first_column + 1)) cell.kind = static_cast<Kind>(rows.integer(row, first_column + 1));
  if (!rows.is_null(row, first_column + 2)) cell.other = rows.text(row, first_column + 2);
  return cell;
}

void encode_sample(postgres::CopyEncoder& encoder, TimeUs time, std::int32_t device, std::int32_t metric,
                   const Cell& cell, bool untimed) {
  encoder.begin_row(7);
  if (cell.kind == Kind::kNumber && !untimed) {
    encode_number(encoder, time, device, metric, cell.number);
    return;
  }
  encoder.timestamptz(time);
  encoder.int4(device);
  encoder.int4(metric);
  if (cell.kind == Kind::kNumber) {
    encoder.float8(cell.number);
    encoder.null();
    encoder.null();
  } else {
    encoder.null();
    encoder.int2(static_cast<std::int16_t>(cell.kind));
    encoder.text(cell.other);
  }
  if (untimed)
    encoder.boolean(true);
  else
    encoder.null();
}

}  // namespace millrace::storage_schema
