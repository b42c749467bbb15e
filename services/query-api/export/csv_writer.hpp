#pragma once

#include <string>
#include <string_view>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

#include "export/point_encoder.hpp"

namespace millrace::query_api {

inline constexpr std::string_view kCsvHeading = "device,metric,time,type,value,untimed\r\n";

/// Appends one line of RFC 4180. Numbers are the shortest text that reads back the same; texts stand in quotes always,
/// so that a reader tells the text `5` from the number.
void append_csv(std::string& out, std::string_view device, std::string_view metric, TimeUs time,
                const telemetry::Value& value, bool untimed);  // NOLINT: a column, not a mode

/// A file of such lines.
class CsvEncoder final : public PointEncoder {
 public:
  [[nodiscard]] Result<bool> begin(std::string& data, const Patience& patience) override;
  [[nodiscard]] Status add(const ExportPoint& point, std::string& data) override;
  [[nodiscard]] std::size_t held() const override { return 0; }
  [[nodiscard]] Status end(bool last, std::string& data, const Patience& patience) override;
  [[nodiscard]] bool complete() const override { return complete_; }

 private:
  bool headed_ = false;
  bool complete_ = false;
};

}  // namespace millrace::query_api
