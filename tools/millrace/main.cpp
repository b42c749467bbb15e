#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <millrace/observability/log.hpp>

#include "command_error.hpp"
#include "command_line.hpp"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  // What a library logs below an error is told by the command's own error in better words.
  millrace::observability::init_logging({"millrace", millrace::observability::Level::kError});
  try {
    return millrace::cli::run_command_line(std::vector<std::string>(argv + 1, argv + argc),
                                           {std::cin, std::cout, std::cerr});
  } catch (const std::exception& error) {
    std::cerr << "millrace: " << error.what() << '\n';
    return millrace::cli::kExitFailed;
  }
}
