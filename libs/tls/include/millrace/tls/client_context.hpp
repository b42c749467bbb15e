#pragma once

#include <memory>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::tls {

struct ClientSettings {
  std::string ca_file;           ///< PEM of those trusted; empty: the system's
  std::string certificate_file;  ///< empty: none is shown
  std::string key_file;
  std::vector<std::string> alpn;
};

/// The client's side: the server's chain and name are always verified. Thread-safe.
class ClientContext {
 public:
  /// kInvalid names the file that cannot be read.
  [[nodiscard]] static Result<std::shared_ptr<ClientContext>> create(const ClientSettings& settings);
  ~ClientContext();
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  explicit ClientContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::tls
