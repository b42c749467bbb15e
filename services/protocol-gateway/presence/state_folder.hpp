#pragma once

#include <memory>
#include <string>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// What a gateway keeps on its own disk: its name among the gateways. A lock on `<folder>/lock` keeps a second gateway
/// out of the folder.
class StateFolder {
 public:
  /// `wanted`: the configured name; empty: the one in `<folder>/name`, drawn at the first start. kUnavailable: the
  /// folder cannot be written, or another gateway holds it. kCorrupt: the file holds no name. kInvalid: the wanted name
  /// breaks the grammar of ids.
  [[nodiscard]] static Result<std::unique_ptr<StateFolder>> open(const std::string& folder, const std::string& wanted);
  ~StateFolder();
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;

  [[nodiscard]] const std::string& gateway_name() const { return name_; }

 private:
  StateFolder(int lock, std::string name) : lock_(lock), name_(std::move(name)) {}

  int lock_;
  std::string name_;
};

}  // namespace millrace::gateway
