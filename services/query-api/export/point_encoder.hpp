#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

#include "read/cold_reader.hpp"

namespace millrace::query_api {

/// One row of an export, with the keys that its names have in the database.
struct ExportPoint {
  std::int32_t device_key = 0;
  std::int32_t metric_key = 0;
  std::string_view device;
  std::string_view metric;
  TimeUs time = 0;
  const telemetry::Value& value;
  bool untimed = false;
};

/// A piece with more is sent: with one more stretch of the longest names and texts it stays below the 4 MB that gRPC
/// clients take by default.
inline constexpr std::size_t kEnoughBytes = 300'000;

/// Makes the bytes of one file out of points, piece by piece. One thread at a time; what takes `patience` blocks.
class PointEncoder {
 public:
  PointEncoder() = default;
  virtual ~PointEncoder() = default;
  PointEncoder(const PointEncoder&) = delete;
  PointEncoder& operator=(const PointEncoder&) = delete;

  /// Begins a piece, with what is still to be said of the points before. False: this piece takes no points.
  [[nodiscard]] virtual Result<bool> begin(std::string& data, const Patience& patience) = 0;
  [[nodiscard]] virtual Status add(const ExportPoint& point, std::string& data) = 0;
  /// Bytes of points of this piece that are not in `data` yet.
  [[nodiscard]] virtual std::size_t held() const = 0;
  /// Behind the points of a piece. `last`: none follow.
  [[nodiscard]] virtual Status end(bool last, std::string& data, const Patience& patience) = 0;
  /// Of the worker process that it keeps, for those that read the archive meanwhile; null: it keeps none.
  [[nodiscard]] virtual SharedSeat seat() const { return nullptr; }
  /// Nothing follows in the file.
  [[nodiscard]] virtual bool complete() const = 0;
};

}  // namespace millrace::query_api
