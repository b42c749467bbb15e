#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/base/result.hpp>

namespace millrace::journal {

/// An open file; closed with it. Errors are kUnavailable and name the path.
class File {
 public:
  File() = default;
  ~File() { close(); }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept;

  enum class Mode { kRead, kReadWrite, kCreate };
  [[nodiscard]] static Result<File> open(const std::string& path, Mode mode);

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] Result<std::size_t> size() const;
  /// Appends up to `bytes` at `offset` to `out`; less at the end of the file.
  [[nodiscard]] Status read(std::size_t offset, std::size_t bytes, std::string& out) const;
  [[nodiscard]] Status write(std::size_t offset, std::string_view bytes) const;
  [[nodiscard]] Status truncate(std::size_t size) const;
  [[nodiscard]] Status sync() const;
  void close();

 private:
  [[nodiscard]] Error failed(std::string_view what) const;

  int fd_ = -1;
  std::string path_;
};

/// Makes the names within a folder durable.
[[nodiscard]] Status sync_folder(const std::string& folder);

}  // namespace millrace::journal
