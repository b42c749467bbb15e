#include "settings.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string* member_of(Settings& settings, std::string_view key) {
  if (key == "registry") return &settings.registry;
  if (key == "query") return &settings.query;
  if (key == "ca_file") return &settings.ca_file;
  if (key == "api_key") return &settings.api_key;
  if (key == "tenant") return &settings.tenant;
  if (key == "kafka") return &settings.kafka;
  if (key == "topic_prefix") return &settings.topic_prefix;
  if (key == "database_url") return &settings.database_url;
  return nullptr;
}

void apply_file(const std::filesystem::path& file, bool required, Settings& settings) {
  std::ifstream in(file);
  if (!in) {
    if (!required) return;
    throw usage_error("profile " + file.string() + " cannot be read",
                      "`./dev up` writes one; or name another with --profile or MILLRACE_PROFILE");
  }
  std::ostringstream text;
  text << in.rdbuf();
  apply_profile(text.str(), file, settings);
  settings.profile = file;
}

void override_by(const std::optional<std::string>& value, std::string& member) {
  if (value) member = *value;
}

}  // namespace

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

void apply_profile(std::string_view text, const std::filesystem::path& file, Settings& settings) {
  for (int number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (line.empty() || line.front() == '#') continue;
    const std::string where = file.string() + " line " + std::to_string(number);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) throw usage_error(where + ": not of the form key = value");
    const std::string key(trimmed(line.substr(0, equals)));
    std::string* member = member_of(settings, key);
    if (member == nullptr) {
      throw usage_error(where + ": unknown key '" + key + "'",
                        "known keys: registry, query, ca_file, api_key, tenant, kafka, topic_prefix, database_url");
    }
    *member = trimmed(line.substr(equals + 1));
  }
}

Settings load_settings(const SettingFlags& flags, const Environment& environment) {
  Settings settings;
  if (flags.profile) {
    apply_file(*flags.profile, true, settings);
  } else if (const auto named = environment("MILLRACE_PROFILE"); named && !named->empty()) {
    apply_file(*named, true, settings);
  } else if (const auto home = environment("HOME"); home && !home->empty()) {
    apply_file(std::filesystem::path(*home) / ".config" / "millrace" / "profile", false, settings);
  }
  override_by(environment("MILLRACE_REGISTRY_ADDR"), settings.registry);
  override_by(environment("MILLRACE_QUERY_ADDR"), settings.query);
  override_by(environment("MILLRACE_CA_FILE"), settings.ca_file);
  override_by(environment("MILLRACE_API_KEY"), settings.api_key);
  override_by(environment("MILLRACE_TENANT"), settings.tenant);
  override_by(environment("MILLRACE_KAFKA"), settings.kafka);
  override_by(environment("MILLRACE_DATABASE_URL"), settings.database_url);
  override_by(flags.registry, settings.registry);
  override_by(flags.query, settings.query);
  override_by(flags.ca_file, settings.ca_file);
  override_by(flags.api_key, settings.api_key);
  override_by(flags.tenant, settings.tenant);
  override_by(flags.kafka, settings.kafka);
  override_by(flags.topic_prefix, settings.topic_prefix);
  settings.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(flags.timeout_seconds * 1000));
  return settings;
}

}  // namespace millrace::cli
