#include "secret_input.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

constexpr std::streamsize kMostBytes = 64 * 1024;

std::string read_all(std::string_view option, std::istream& in) {
  std::string text(static_cast<std::size_t>(kMostBytes) + 1, '\0');
  in.read(text.data(), kMostBytes + 1);
  if (in.gcount() > kMostBytes) throw CommandError(std::string(option) + ": more than 65536 bytes");
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

}  // namespace

std::string read_input(std::string_view option, const std::string& file, std::istream& in) {
  if (file == "-") return read_all(option, in);
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    throw CommandError(std::string(option) + ": " + file + " cannot be read: " + std::strerror(errno),
                       "name a file, or - for standard input");
  }
  return read_all(option, stream);
}

std::string read_secret(std::string_view option, const std::string& file, std::istream& in) {
  std::string text = read_input(option, file, in);
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace millrace::cli
