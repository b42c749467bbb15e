#pragma once

#include <cstdint>
#include <vector>

#include <millrace/base/time.hpp>

namespace millrace::stream {

/// Figures of one series over one window.
struct Figures {
  std::int64_t count = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double last = 0;  ///< value at last_time
  TimeUs last_time = 0;
  bool approximate = false;  ///< resent readings may have been counted twice
  bool operator==(const Figures&) const = default;
};

/// The readings of one open window. A time that the device gave counts once, with its last value (delivery.md's rule
/// for windows); an untimed reading always counts. Readings are kept, so that the figures do not depend on the order in
/// which they came, until there are more than kMostReadings: then they are folded together and a resent one can no
/// longer be recognised. 16 B per reading.
class Window {
 public:
  static constexpr std::size_t kMostReadings = 4'096;

  /// True if it counts anew, false if it replaced the value of an equal time.
  bool add(TimeUs time, bool timed, double value);

  /// A count of 0 where no number was added.
  [[nodiscard]] Figures figures() const;

 private:
  struct Reading {
    std::int64_t order;  // time in us times two, plus one if the device gave it
    double value;
  };
  void fold();

  std::vector<Reading> readings_;  // in order
  Figures folded_;                 // of what is in readings_ no more
};

}  // namespace millrace::stream
