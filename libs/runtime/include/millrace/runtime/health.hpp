#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::runtime {

struct CheckResult {
  bool ok = false;
  std::string detail;  ///< one sentence for a person; shown by /readyz
};

/// Readiness: every check holds and the service is not going down. Thread-safe. A check must not block.
class Health {
 public:
  using Check = std::function<CheckResult()>;

  void add(std::string_view name, Check check);

  /// Facts shown by /readyz that never make the service unready (durability level, for example).
  void add_detail(std::string_view name, std::function<std::string()> detail);

  /// From now on not ready, whatever the checks say (first phase of a shutdown). Irrevocable.
  void set_stopping();

  struct Report {
    bool ready = false;
    std::string json;
  };
  [[nodiscard]] Report report() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, Check>> checks_;
  std::vector<std::pair<std::string, std::function<std::string()>>> details_;
  bool stopping_ = false;
};

}  // namespace millrace::runtime
