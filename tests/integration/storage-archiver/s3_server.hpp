#pragma once

#include <memory>
#include <string>

#include <sys/types.h>

namespace millrace::archiver {

/// versitygw over a folder: a real S3 server that checks signatures. Ends with the object.
class S3Server {
 public:
  static constexpr const char* kBucket = "cold";
  static constexpr const char* kAccess = "archive";
  static constexpr const char* kSecret = "not-so-secret";

  /// Null where MILLRACE_TEST_VERSITYGW names no program.
  static std::unique_ptr<S3Server> start(const std::string& folder);
  ~S3Server();
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  [[nodiscard]] std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// Where the objects of the bucket lie as files.
  [[nodiscard]] const std::string& objects() const { return objects_; }

 private:
  S3Server(pid_t process, int port, std::string objects)
      : process_(process), port_(port), objects_(std::move(objects)) {}
  pid_t process_;
  int port_;
  std::string objects_;
};

}  // namespace millrace::archiver
