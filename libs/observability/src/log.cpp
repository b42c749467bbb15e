#include <chrono>
#include <cmath>
#include <cstdio>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <millrace/base/time.hpp>
#include <millrace/observability/log.hpp>

namespace millrace::observability {
namespace {

constexpr std::int64_t kLimitUs = 10 * kUsPerSecond;

std::string& service_name() {
  static std::string name = "millrace";
  return name;
}

spdlog::logger& backend() {
  static const std::shared_ptr<spdlog::logger> kLogger = [] {
    auto logger = std::make_shared<spdlog::logger>("millrace", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%v");
    logger->flush_on(spdlog::level::trace);
    return logger;
  }();
  return *kLogger;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "error";
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
          out += escape;
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

struct ValueWriter {
  std::string& out;
  void operator()(std::int64_t number) const { out += std::to_string(number); }
  void operator()(bool flag) const { out += flag ? "true" : "false"; }
  void operator()(double number) const { out += std::isfinite(number) ? std::to_string(number) : "null"; }
  void operator()(std::string_view text) const { append_json_string(out, text); }
};

}  // namespace

void init_logging(const LogSettings& settings) {
  service_name() = settings.service;
  backend().set_level(to_spdlog(settings.level));
}

Level parse_level(std::string_view text) {
  if (text == "debug") return Level::kDebug;
  if (text == "warn") return Level::kWarn;
  if (text == "error") return Level::kError;
  return Level::kInfo;
}

std::int64_t LogLimiter::admit() {
  const auto now =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
  std::int64_t next = next_us_.load(std::memory_order_relaxed);
  if (now < next || !next_us_.compare_exchange_strong(next, now + kLimitUs)) {
    held_back_.fetch_add(1, std::memory_order_relaxed);
    return -1;
  }
  return held_back_.exchange(0, std::memory_order_relaxed);
}

Logger::Logger(std::string_view name) : name_(name) {}

void Logger::limited(LogLimiter& limiter, Level level, std::string_view message, Fields fields) const {
  const std::int64_t suppressed = limiter.admit();
  if (suppressed >= 0) write(level, message, fields, suppressed);
}

void Logger::write(Level level, std::string_view message, Fields fields, std::int64_t suppressed) const {
  spdlog::logger& logger = backend();
  if (!logger.should_log(to_spdlog(level))) return;
  std::string line = "{\"time\":\"" + format_rfc3339(now_us()) + "\",\"level\":\"";
  line.append(name_of(level)).append("\",\"service\":");
  append_json_string(line, service_name());
  line += ",\"logger\":";
  append_json_string(line, name_);
  line += ",\"msg\":";
  append_json_string(line, message);
  for (const Field& field : fields) {
    line += ',';
    append_json_string(line, field.key);
    line += ':';
    std::visit(ValueWriter{line}, field.value);
  }
  if (suppressed > 0) line += ",\"suppressed\":" + std::to_string(suppressed);
  line += '}';
  logger.log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace millrace::observability
