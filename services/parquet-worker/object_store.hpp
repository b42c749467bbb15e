#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <millrace/archive_format/frame.hpp>
#include <millrace/base/result.hpp>

namespace arrow::io {
class RandomAccessFile;
}

namespace millrace::parquet_worker {

struct StoredObject {
  std::string key;
  std::int64_t bytes = 0;
  std::int64_t modified_us = 0;
};

/// Where archived files lie: a directory, a bucket or a container. Keys are relative, with slashes. Blocks; one thread.
/// kNotFound: there is no such object; kUnavailable: the store does not answer or refuses.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  /// By the request's fields: `store` is `directory` (`root`), `s3` (`bucket`, `prefix`, `endpoint`, `region`,
  /// `access_key`, `secret_key`) or `azure` (`account`, `container`, `prefix`, `sas`, `endpoint`).
  [[nodiscard]] static Result<std::unique_ptr<ObjectStore>> open(const archive_format::Fields& request);
  /// Before the process ends: the S3 client has threads of its own.
  static void shut_down();

  [[nodiscard]] virtual Result<std::shared_ptr<arrow::io::RandomAccessFile>> read(const std::string& key) = 0;
  /// The object appears whole or not at all, and replaces one of the same key. In a directory it is on disk on return.
  [[nodiscard]] virtual Status put(const std::string& local_path, const std::string& key) = 0;
  /// All objects whose key begins with `folder`/.
  [[nodiscard]] virtual Status list(const std::string& folder,
                                    const std::function<Status(const StoredObject&)>& each) = 0;
  /// Success too where it is gone already.
  [[nodiscard]] virtual Status remove(const std::string& key) = 0;
};

}  // namespace millrace::parquet_worker
