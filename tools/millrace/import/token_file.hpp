#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "import/device_set.hpp"

namespace millrace::cli {

/// The CSV file that takes the tokens, `device,token`, mode 0600. One that exists is gone on with: what it holds stays,
/// half a line at its end (of a client that died) goes. One import at a time writes it. Throws CommandError.
class TokenFile {
 public:
  explicit TokenFile(std::filesystem::path path);
  ~TokenFile();
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;

  /// Devices that had their line when it was opened.
  [[nodiscard]] DeviceSet& devices() { return devices_; }
  /// Buffered.
  void add(std::string_view device, std::string_view token);
  void flush();
  /// flush(), and on the disk.
  void sync();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  void read_lines();
  void take_line(std::string_view line, std::size_t number);
  [[noreturn]] void fail(const std::string& why, const std::string& next = {}) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string waiting_;
  DeviceSet devices_;
};

/// The secret of an unfinished import, beside its tokens file as `<tokens file>.secret`, mode 0600. The tokens of the
/// import are made of it and the names, so that a client that died can be started again and says the same token for a
/// device that was stored without it having heard so. It must be on the disk before the first device is sent.
class ImportSecret {
 public:
  /// Takes up the one that is there, or draws one and writes it. Throws CommandError.
  explicit ImportSecret(const std::filesystem::path& tokens);

  /// An earlier run left it: what that one sent last may be in the registry.
  [[nodiscard]] bool taken_up() const { return taken_up_; }
  [[nodiscard]] std::string token_of(std::string_view tenant, std::string_view device) const;
  /// Every device was answered: nobody needs it any more.
  void remove() const;

 private:
  std::filesystem::path path_;
  std::string secret_;
  bool taken_up_ = false;
};

}  // namespace millrace::cli
