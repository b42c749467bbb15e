#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <millrace/base/time.hpp>

namespace millrace::cli {

/// What one stretch of time held.
struct PlotColumn {
  TimeUs time_us = 0;
  double min = 0;
  double max = 0;
};

struct PlotFrame {
  std::string title;
  TimeUs from_us = 0;
  TimeUs to_us = 0;
  int width = 72;   ///< characters of the drawing, without the labels
  int height = 16;  ///< lines of the drawing
};

/// Draws columns (in time order) with Braille dots, two by four to a character: each column is a line from its least to
/// its greatest value, so that no peak is lost.
void draw_plot(std::ostream& out, const PlotFrame& frame, const std::vector<PlotColumn>& columns);

/// Columns and lines of the terminal at standard output; 100 x 24 where it is none.
struct TerminalSize {
  int columns = 100;
  int lines = 24;
};
[[nodiscard]] TerminalSize terminal_size();

}  // namespace millrace::cli
