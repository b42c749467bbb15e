#pragma once

#include <array>
#include <optional>
#include <string>

#include <millrace/archive_format/frame.hpp>
#include <millrace/archive_format/rows.hpp>

namespace millrace::parquet_worker {

/// Both ends of the caller's pipes. Blocks; one thread.
class Pipe {
 public:
  Pipe(int in, int out) : in_(in), out_(out) {}

  /// Its payload lives until the next call of receive(). kUnavailable: the caller is gone; kInvalid: no frame of ours.
  [[nodiscard]] Result<archive_format::Frame> receive();
  [[nodiscard]] Status send(archive_format::FrameType type, std::string_view payload);
  [[nodiscard]] Status send(archive_format::FrameType type, const archive_format::Fields& fields) {
    return send(type, archive_format::encode_fields(fields));
  }

 private:
  int in_;
  int out_;
  archive_format::FrameReader reader_;
  std::array<char, 256 << 10> piece_{};
};

}  // namespace millrace::parquet_worker
