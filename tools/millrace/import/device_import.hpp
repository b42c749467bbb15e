#pragma once

#include <filesystem>

namespace millrace::cli {

class Session;

enum class ExistingDevices { kRefuse, kSkip };

struct ImportArguments {
  std::filesystem::path file;
  /// Where the new tokens go; empty: `<file without .csv>.tokens.csv`.
  std::filesystem::path tokens;
  /// Devices that others have made.
  ExistingDevices existing = ExistingDevices::kRefuse;
};

/// Creates the devices in one stream; each gets its line in the tokens file when the registry has it. Ended at any
/// point and called again, it goes on. Faults of lines go to stderr and do not stop the others; throws CommandError at
/// the end if there was any, and when the stream ended early. Memory does not grow with the file, but for 32 to 64
/// bytes for each device that the tokens file holds when it goes on, or that kSkip passes over.
void import_devices(Session& session, const ImportArguments& arguments);

}  // namespace millrace::cli
