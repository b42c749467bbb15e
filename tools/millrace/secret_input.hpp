#pragma once

#include <cstddef>
#include <istream>
#include <string>
#include <string_view>

namespace millrace::cli {

/// What a file holds, or standard input for `-`. Secrets come so and not as arguments, which everyone on the machine
/// can see. Throws CommandError naming `option`, also for more than `most` bytes.
[[nodiscard]] std::string read_input(std::string_view option, const std::string& file, std::istream& in,
                                     std::size_t most = 64 * 1024);

/// The same without the line end that an editor or echo puts behind it.
[[nodiscard]] std::string read_secret(std::string_view option, const std::string& file, std::istream& in);

}  // namespace millrace::cli
