#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cli {

class Session;

/// One device of an import file.
struct ImportRow {
  std::size_t line = 0;
  std::string device;
  std::string attributes_json;  ///< empty: none
};

/// A CSV file of devices. With a header whose first column is `device` the other columns are attributes under their
/// names; without one there is the device's id alone in each line. Throws CommandError naming the line.
[[nodiscard]] std::vector<ImportRow> parse_import(std::string_view csv);

enum class ExistingDevices { kRefuse, kSkip };

struct ImportArguments {
  std::filesystem::path file;
  /// Where the new tokens go; empty: `<file without .csv>.tokens.csv`.
  std::filesystem::path tokens;
  ExistingDevices existing = ExistingDevices::kRefuse;
};

/// Creates the devices in one stream. Tokens go to a new file of mode 0600, a line as soon as its device exists, since
/// they cannot be had again. Throws CommandError if any device was refused.
void import_devices(Session& session, const ImportArguments& arguments);

}  // namespace millrace::cli
