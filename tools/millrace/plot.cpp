#include "plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <sys/ioctl.h>
#include <unistd.h>

#include "text.hpp"

namespace millrace::cli {
namespace {

/// Dots of a Braille character (Unicode 15, block U+2800): bit by row and column.
constexpr unsigned kDots[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

class Canvas {
 public:
  Canvas(int width, int height) : width_(width), height_(height), cells_(static_cast<std::size_t>(width * height)) {}

  void line(int x, int y_low, int y_high) {
    for (int y = y_low; y <= y_high; ++y) dot(x, y);
  }

  /// y counts dots from the bottom.
  void dot(int x, int y) {
    const int row = height_ * 4 - 1 - y;
    cells_[static_cast<std::size_t>((row / 4) * width_ + x / 2)] |= kDots[row % 4][x % 2];
  }

  [[nodiscard]] std::string row(int number) const {
    std::string text;
    for (int i = 0; i < width_; ++i) {
      const unsigned cell = 0x2800U + cells_[static_cast<std::size_t>(number * width_ + i)];
      text += static_cast<char>(0xE0U | (cell >> 12U));
      text += static_cast<char>(0x80U | ((cell >> 6U) & 0x3FU));
      text += static_cast<char>(0x80U | (cell & 0x3FU));
    }
    return text;
  }

 private:
  int width_;
  int height_;
  std::vector<unsigned> cells_;
};

std::string label(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%10.5g", value);
  return buffer;
}

}  // namespace

void draw_plot(std::ostream& out, const PlotFrame& frame, const std::vector<PlotColumn>& columns) {
  out << frame.title << '\n';
  if (columns.empty()) {
    out << "no numbers between " << format_rfc3339(frame.from_us) << " and " << format_rfc3339(frame.to_us) << '\n';
    return;
  }
  double low = columns.front().min;
  double high = columns.front().max;
  for (const PlotColumn& column : columns) {
    low = std::min(low, column.min);
    high = std::max(high, column.max);
  }
  const double span = high > low ? high - low : 1.0;
  const int dots = frame.height * 4 - 1;
  Canvas canvas(frame.width, frame.height);
  const auto y_of = [&](double value) {
    return std::clamp(static_cast<int>(std::lround((value / span - low / span) * dots)), 0, dots);
  };
  const auto length = static_cast<double>(std::max<TimeUs>(1, frame.to_us - frame.from_us));
  for (const PlotColumn& column : columns) {
    const double share = static_cast<double>(column.time_us - frame.from_us) / length;
    const int x = std::clamp(static_cast<int>(share * frame.width * 2), 0, frame.width * 2 - 1);
    canvas.line(x, y_of(column.min), y_of(column.max));
  }
  for (int row = 0; row < frame.height; ++row) {
    const bool labelled = row == 0 || row == frame.height - 1 || row == frame.height / 2;
    const double value = high - span * row / std::max(1, frame.height - 1);
    out << (labelled ? label(value) : std::string(10, ' ')) << (labelled ? " ┤" : " │") << canvas.row(row) << '\n';
  }
  const std::string from = format_rfc3339(frame.from_us - frame.from_us % kUsPerSecond);
  const std::string to = format_rfc3339(frame.to_us - frame.to_us % kUsPerSecond);
  const int gap = frame.width - static_cast<int>(from.size() + to.size());
  out << std::string(11, ' ') << "└" << from << std::string(static_cast<std::size_t>(std::max(1, gap)), ' ') << to
      << '\n';
}

TerminalSize terminal_size() {
  winsize size{};
  TerminalSize result;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 && size.ws_row >= 10) {
    result.columns = size.ws_col;
    result.lines = size.ws_row;
  }
  return result;
}

}  // namespace millrace::cli
