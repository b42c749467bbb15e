#include "secret_input.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

std::string read_all(std::string_view option, std::istream& in, std::size_t most) {
  std::string text(most + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > most) throw CommandError(std::string(option) + ": more than " + std::to_string(most) + " bytes");
  return text;
}

}  // namespace

std::string read_input(std::string_view option, const std::string& file, std::istream& in, std::size_t most) {
  if (file == "-") return read_all(option, in, most);
  const auto unreadable = [&] {
    return CommandError(std::string(option) + ": " + file + " cannot be read: " + std::strerror(errno),
                        "name a file, or - for standard input");
  };
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw unreadable();
  std::string text = read_all(option, stream, most);
  if (stream.bad()) throw unreadable();  // a folder
  return text;
}

std::string read_secret(std::string_view option, const std::string& file, std::istream& in) {
  std::string text = read_input(option, file, in);
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace millrace::cli
