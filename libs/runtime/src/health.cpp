#include <millrace/runtime/health.hpp>

namespace millrace::runtime {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  out += '"';
}

}  // namespace

void Health::add(std::string_view name, Check check) {
  const std::lock_guard lock(mutex_);
  checks_.emplace_back(name, std::move(check));
}

void Health::add_detail(std::string_view name, std::function<std::string()> detail) {
  const std::lock_guard lock(mutex_);
  details_.emplace_back(name, std::move(detail));
}

void Health::set_stopping() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
}

Health::Report Health::report() const {
  const std::lock_guard lock(mutex_);
  Report report;
  report.ready = !stopping_;
  std::string checks;
  for (const auto& [name, check] : checks_) {
    const CheckResult result = check();
    report.ready = report.ready && result.ok;
    if (!checks.empty()) checks += ',';
    append_quoted(checks, name);
    checks += std::string(":{\"ok\":") + (result.ok ? "true" : "false") + ",\"detail\":";
    append_quoted(checks, result.detail);
    checks += '}';
  }
  std::string details;
  for (const auto& [name, detail] : details_) {
    if (!details.empty()) details += ',';
    append_quoted(details, name);
    details += ':';
    append_quoted(details, detail());
  }
  report.json = std::string("{\"ready\":") + (report.ready ? "true" : "false") +
                ",\"stopping\":" + (stopping_ ? "true" : "false") + ",\"checks\":{" + checks + "},\"detail\":{" +
                details + "}}\n";
  return report;
}

}  // namespace millrace::runtime
