// Readings out of a CSV file: the first column is the time, the others are metrics named by the first line.
#pragma once

#include <filesystem>

#include <millrace/base/result.hpp>

#include "readings/readings.hpp"

namespace millrace::fleet {

enum class SequencePoint { kLeaveOut, kAdd };

/// Every device sends every row. Times: RFC 3339, the same without zone (taken as UTC), or a number as devices send it.
class FileReadings : public Readings {
 public:
  FileReadings(const ReadingsOptions& options, std::string_view csv, SequencePoint sequence);

  std::optional<Message> make(std::size_t device, std::uint32_t index, TimeUs now_us,
                              TimeUs last_time_us) const override;
  void write(std::size_t device, const Message& message, std::string& out) const override;
  const std::vector<std::string>& metrics() const override { return metrics_; }
  std::optional<double> expected(std::size_t device, const Message& message, std::size_t metric) const override;

  [[nodiscard]] std::size_t rows() const { return times_.size(); }
  [[nodiscard]] TimeUs time_of(std::size_t row) const { return times_[row]; }

 private:
  void parse(std::string_view csv);

  SequencePoint sequence_;
  std::vector<std::string> metrics_;
  std::vector<TimeUs> times_;
  std::vector<std::string> cells_;  // rows x metrics, as JSON; empty = no value
};

/// Reads the whole file; kInvalid names the line at fault.
[[nodiscard]] Result<std::string> read_text_file(const std::filesystem::path& path);

}  // namespace millrace::fleet
