// What the devices of a run have to say. A message is known by its device and its index; everything in it can be
// computed again from that, which is how a resend is the same bytes and how the verifier knows what must be stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/time.hpp>

namespace millrace::fleet {

/// Name of the metric that carries sequence base + index: one point of every message that is to be verified.
inline constexpr std::string_view kSequenceMetric = "sequence";

struct Message {
  std::uint32_t index = 0;  ///< 1, 2, … per device
  bool timed = true;        ///< does the payload give a time?
  TimeUs time_us = 0;       ///< the time given; of an untimed message the wall clock at which it was made
  std::int64_t due_ns = 0;  ///< steady clock at which it was due, for latencies
};

struct ReadingsOptions {
  std::uint64_t seed = 1;
  double untimed_share = 0;        ///< 0..1 of the messages give no time
  std::int64_t sequence_base = 0;  ///< sequence values are base + index
};

/// Thread-safe as far as it is const.
class Readings {
 public:
  explicit Readings(const ReadingsOptions& options) : options_(options) {}
  virtual ~Readings() = default;
  Readings(const Readings&) = delete;
  Readings& operator=(const Readings&) = delete;

  /// The message of that device and index, made at `now_us`; nothing when the device has no more to say. Times of a
  /// device grow strictly with the index: `last_time_us` is that of its message before, 0 for the first.
  [[nodiscard]] virtual std::optional<Message> make(std::size_t device, std::uint32_t index, TimeUs now_us,
                                                    TimeUs last_time_us) const = 0;
  /// Appends the JSON payload.
  virtual void write(std::size_t device, const Message& message, std::string& out) const = 0;
  /// Metrics beside the sequence, in the order of the payload.
  [[nodiscard]] virtual const std::vector<std::string>& metrics() const = 0;
  /// The value that must be stored for metrics()[metric]; nothing where the message does not have it.
  [[nodiscard]] virtual std::optional<double> expected(std::size_t device, const Message& message,
                                                       std::size_t metric) const = 0;

  [[nodiscard]] std::int64_t sequence_of(const Message& message) const {
    return options_.sequence_base + message.index;
  }
  [[nodiscard]] const ReadingsOptions& options() const { return options_; }

 protected:
  /// Whether a message gives a time: a fixed share, spread evenly over devices and indexes.
  [[nodiscard]] bool is_timed(std::size_t device, std::uint32_t index) const;
  [[nodiscard]] std::uint64_t random_bits(std::size_t device, std::uint32_t index, std::uint32_t purpose) const;

  ReadingsOptions options_;
};

}  // namespace millrace::fleet
