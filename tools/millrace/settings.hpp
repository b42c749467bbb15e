#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::cli {

/// Where the system is and who asks. Flags go before the environment, the environment before the profile.
struct Settings {
  std::string registry = "127.0.0.1:7101";
  std::string query = "127.0.0.1:7102";
  /// PEM of those whose servers are trusted; empty: no TLS.
  std::string ca_file;
  std::string api_key;
  /// Empty: the tenant of the API key.
  std::string tenant;
  std::string kafka = "127.0.0.1:19092";
  std::string topic_prefix = "millrace.";
  std::string database_url;
  std::chrono::milliseconds timeout{30'000};
  /// The profile that was read; empty: none was there.
  std::filesystem::path profile;
};

/// What the command line said; unset members leave the choice to environment and profile.
struct SettingFlags {
  std::optional<std::string> profile;
  std::optional<std::string> registry;
  std::optional<std::string> query;
  std::optional<std::string> ca_file;
  std::optional<std::string> api_key;
  std::optional<std::string> tenant;
  std::optional<std::string> kafka;
  std::optional<std::string> topic_prefix;
  double timeout_seconds = 30;
};

/// Looks up an environment variable; empty optional: not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

/// The process's own environment.
[[nodiscard]] std::optional<std::string> process_environment(const char* name);

/// Lines `key = value` (also `key=value`), `#` starts a comment line. Throws CommandError naming file and line for an
/// unknown key or a line that is none.
void apply_profile(std::string_view text, const std::filesystem::path& file, Settings& settings);

/// Profile file: --profile, else MILLRACE_PROFILE, else ~/.config/millrace/profile. A named file that is not there is
/// an error, the default one may be absent.
[[nodiscard]] Settings load_settings(const SettingFlags& flags, const Environment& environment);

}  // namespace millrace::cli
