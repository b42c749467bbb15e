#pragma once

#include <cstdint>
#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/copy.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::storage_schema {

/// Column `kind` of sample and latest. kNumber is stored as NULL, so that an ordinary number costs nothing.
enum class Kind : std::int16_t { kNumber = 0, kInteger = 1, kBoolean = 2, kText = 3, kJson = 4 };

/// A value as its row holds it: `number` for kNumber (doubles, and integers of at most 2^53 in magnitude), else `other`
/// (decimal digits, `true`/`false`, the text, the JSON text).
struct Cell {
  Kind kind = Kind::kNumber;
  double number = 0;
  std::string other;
  bool operator==(const Cell&) const = default;
};
[[nodiscard]] Cell cell_of(const telemetry::Value& value);

/// First type of a metric, column `type` of storage.metric. kUnknown: only windows of it came so far.
enum class MetricType : std::int16_t { kUnknown = 0, kDouble = 1, kInteger = 2, kBoolean = 3, kText = 4, kJson = 5 };
[[nodiscard]] MetricType type_of(const telemetry::Value& value);

/// Back to a value. A kNumber cell of an integer metric that is whole becomes int64, every other kNumber a double.
/// kCorrupt: an unknown kind, or digits that are none.
[[nodiscard]] Result<telemetry::Value> value_of(const Cell& cell, MetricType type);

/// Reads three neighbouring columns `value, kind, other` of an answer.
[[nodiscard]] Cell cell_at(const postgres::Rows& rows, int row, int first_column);

/// One row of storage.sample for kCopySamples.
void encode_sample(postgres::CopyEncoder& encoder, TimeUs time, std::int32_t device, std::int32_t metric,
                   const Cell& cell, bool untimed);

}  // namespace millrace::storage_schema
