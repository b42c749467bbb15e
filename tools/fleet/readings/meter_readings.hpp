// Synthetic meters: a daily shape, noise and now and then a fault.
#pragma once

#include "readings/readings.hpp"

namespace millrace::fleet {

class MeterReadings : public Readings {
 public:
  /// `points`: readings in a message beside its sequence, 1 to 100.
  MeterReadings(const ReadingsOptions& options, std::size_t points);

  std::optional<Message> make(std::size_t device, std::uint32_t index, TimeUs now_us,
                              TimeUs last_time_us) const override;
  void write(std::size_t device, const Message& message, std::string& out) const override;
  const std::vector<std::string>& metrics() const override { return metrics_; }
  std::optional<double> expected(std::size_t device, const Message& message, std::size_t metric) const override;

  /// The reading in thousandths of its unit: what is written has three decimals and is exact.
  [[nodiscard]] std::int64_t thousandths(std::size_t device, const Message& message, std::size_t metric) const;

 private:
  std::vector<std::string> metrics_;
};

}  // namespace millrace::fleet
