// Synthetic meters: a daily shape, noise and now and then a fault.
#pragma once

#include "readings/readings.hpp"

namespace millrace::fleet {

class MeterReadings : public Readings {
 public:
  /// `points`: readings in a message beside its sequence, 1 to 100. `payload_bytes`: about the size of a payload that
  /// gives a time; the names of the metrics are lengthened for it, as far as names may go.
  MeterReadings(const ReadingsOptions& options, std::size_t points, std::size_t payload_bytes = 0);

  std::optional<Message> make(std::size_t device, std::uint32_t index, TimeUs now_us,
                              TimeUs last_time_us) const override;
  void write(std::size_t device, const Message& message, std::string& out) const override;
  const std::vector<std::string>& metrics() const override { return metrics_; }
  std::optional<double> expected(std::size_t device, const Message& message, std::size_t metric) const override;

  /// The reading in thousandths of its unit: what is written has three decimals and is exact.
  [[nodiscard]] std::int64_t thousandths(std::size_t device, const Message& message, std::size_t metric) const;

 private:
  void lengthen_names(std::size_t payload_bytes);

  std::vector<std::string> metrics_;
};

}  // namespace millrace::fleet
