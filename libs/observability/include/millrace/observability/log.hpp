#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace millrace::observability {

enum class Level { kDebug, kInfo, kWarn, kError };

/// One `key: value` of a log line. Keys are constants; values are facts, never payloads or secrets.
struct Field {
  template <std::integral T>
  Field(std::string_view name, T number) : key(name), value(static_cast<std::int64_t>(number)) {}
  Field(std::string_view name, bool flag) : key(name), value(flag) {}
  Field(std::string_view name, double number) : key(name), value(number) {}
  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, const char* text) : key(name), value(std::string_view(text)) {}
  Field(std::string_view name, const std::string& text) : key(name), value(std::string_view(text)) {}

  std::string_view key;
  std::variant<std::int64_t, bool, double, std::string_view> value;
};
using Fields = std::initializer_list<Field>;

struct LogSettings {
  std::string service;  ///< in every line
  Level level = Level::kInfo;
};

/// Sets where and what the process logs: JSON lines on stderr. Call once in main, before the first thread.
void init_logging(const LogSettings& settings);

/// `debug`, `info`, `warn`, `error`; anything else is kInfo.
[[nodiscard]] Level parse_level(std::string_view text);

/// Lets one line through per ten seconds and counts the rest, which the next line reports as `suppressed`. Thread-safe.
class LogLimiter {
 public:
  /// -1: stay quiet. Otherwise how many lines were held back since the last one.
  [[nodiscard]] std::int64_t admit();

 private:
  std::atomic<std::int64_t> next_us_{0};
  std::atomic<std::int64_t> held_back_{0};
};

/// A named logger; cheap to copy; thread-safe. The message is a constant sentence, the facts are fields.
class Logger {
 public:
  explicit Logger(std::string_view name);

  void debug(std::string_view message, Fields fields = {}) const { write(Level::kDebug, message, fields); }
  void info(std::string_view message, Fields fields = {}) const { write(Level::kInfo, message, fields); }
  void warn(std::string_view message, Fields fields = {}) const { write(Level::kWarn, message, fields); }
  void error(std::string_view message, Fields fields = {}) const { write(Level::kError, message, fields); }

  /// At most once per ten seconds for this limiter.
  void limited(LogLimiter& limiter, Level level, std::string_view message, Fields fields = {}) const;

 private:
  void write(Level level, std::string_view message, Fields fields, std::int64_t suppressed = 0) const;

  std::string name_;
};

}  // namespace millrace::observability
