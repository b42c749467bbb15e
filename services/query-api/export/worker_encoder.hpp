#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include <millrace/archive/worker_call.hpp>

#include "export/point_encoder.hpp"

namespace millrace::query_api {

/// Parquet and Arrow files, which parquet-worker makes. It gets one block of points, says its bytes, and waits for the
/// next block: a caller that does not read stops it, and neither side holds more than a row group. The process lives
/// from begin() to the end of this object, and is killed then if it still runs.
class WorkerEncoder final : public PointEncoder {
 public:
  /// `format`: as the worker's command `export` takes it.
  WorkerEncoder(ColdReader& cold, std::string format) : cold_(cold), format_(std::move(format)) {}

  /// The first one waits for a seat and starts the worker. kPrecondition: there is none; kThrottled: no seat.
  [[nodiscard]] Result<bool> begin(std::string& data, const Patience& patience) override;
  [[nodiscard]] Status add(const ExportPoint& point, std::string& data) override;
  [[nodiscard]] std::size_t held() const override { return held_; }
  [[nodiscard]] Status end(bool last, std::string& data, const Patience& patience) override;
  [[nodiscard]] SharedSeat seat() const override { return seat_; }
  [[nodiscard]] bool complete() const override { return complete_; }

 private:
  [[nodiscard]] Status start(const Patience& patience);
  [[nodiscard]] Status give_points();
  /// Takes what the worker says, until it waits for points or `data` has enough.
  [[nodiscard]] Status advance(std::string& data);
  [[nodiscard]] Status take_frame(std::string& data);
  void be_patient(const Patience& patience);

  ColdReader& cold_;
  const std::string format_;
  SharedSeat seat_;
  std::unique_ptr<archive::WorkerCall> call_;
  bool awaited_ = false;    // the worker has not said that it is ready
  bool all_given_ = false;  // no points follow
  bool ending_ = false;     // and the worker was told
  bool complete_ = false;

  // Of the piece.
  archive::RowBlock block_;
  std::map<std::string, std::string, std::less<>> names_;  // by d<key> and m<key>
  std::optional<std::int32_t> device_;                     // of the point before
  std::optional<std::int32_t> metric_;
  std::size_t held_ = 0;
};

}  // namespace millrace::query_api
