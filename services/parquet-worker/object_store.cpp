#include "object_store.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <arrow/buffer.h>
#include <arrow/filesystem/azurefs.h>
#include <arrow/filesystem/localfs.h>
#include <arrow/filesystem/s3fs.h>
#include <arrow/io/file.h>
#include <fcntl.h>
#include <unistd.h>

namespace millrace::parquet_worker {
namespace {

using archive_format::Fields;
using archive_format::text_of;
namespace fs = arrow::fs;

Error failure(const arrow::Status& status, std::string_view doing) {
  return {ErrorKind::kUnavailable, std::string(doing) + ": " + status.message()};
}

/// A key is ours: segments without dots alone, no slash at either end.
Status check_key(std::string_view key) {
  const bool fine = !key.empty() && key.front() != '/' && key.back() != '/' && key.find("//") == key.npos &&
                    ("/" + std::string(key) + "/").find("/../") == std::string::npos;
  if (fine) return {};
  return Error{ErrorKind::kInvalid, "'" + std::string(key) + "' is no key of an object"};
}

/// What is common: everything below a base path of one of Arrow's file systems.
class ArrowStore : public ObjectStore {
 public:
  ArrowStore(std::shared_ptr<fs::FileSystem> system, std::string base)
      : system_(std::move(system)), base_(std::move(base)) {}

  Result<std::shared_ptr<arrow::io::RandomAccessFile>> read(const std::string& key) override {
    if (auto fine = check_key(key); !fine) return fine.error();
    auto info = system_->GetFileInfo(path(key));
    if (!info.ok()) return failure(info.status(), "asking for " + key);
    if (info->type() != fs::FileType::File) return Error{ErrorKind::kNotFound, "there is no object " + key};
    auto file = system_->OpenInputFile(*info);
    if (!file.ok()) return failure(file.status(), "opening " + key);
    return std::move(*file);
  }

  Status put(const std::string& local_path, const std::string& key) override {
    if (auto fine = check_key(key); !fine) return fine;
    auto source = arrow::io::ReadableFile::Open(local_path);
    if (!source.ok()) return failure(source.status(), "opening " + local_path);
    auto target = system_->OpenOutputStream(path(key));
    if (!target.ok()) return failure(target.status(), "writing " + key);
    for (;;) {
      auto piece = (*source)->Read(kPiece);
      if (!piece.ok()) {
        (void)(*target)->Abort();
        return failure(piece.status(), "reading " + local_path);
      }
      if ((*piece)->size() == 0) break;
      if (const auto written = (*target)->Write(*piece); !written.ok()) {
        (void)(*target)->Abort();
        return failure(written, "writing " + key);
      }
    }
    const auto closed = (*target)->Close();
    return closed.ok() ? Status{} : Status{failure(closed, "writing " + key)};
  }

  Status list(const std::string& folder, const std::function<Status(const StoredObject&)>& each) override {
    if (auto fine = check_key(folder); !fine) return fine;
    fs::FileSelector selector;
    selector.base_dir = path(folder);
    selector.allow_not_found = true;
    selector.recursive = true;
    auto found = system_->GetFileInfo(selector);
    if (!found.ok()) return failure(found.status(), "listing " + folder);
    for (const auto& info : *found) {
      if (info.type() != fs::FileType::File) continue;
      const auto modified =
          std::chrono::duration_cast<std::chrono::microseconds>(info.mtime().time_since_epoch()).count();
      if (auto taken = each({info.path().substr(base_.size() + 1), info.size(), modified}); !taken) return taken;
    }
    return {};
  }

  Status remove(const std::string& key) override {
    if (auto fine = check_key(key); !fine) return fine;
    const auto info = system_->GetFileInfo(path(key));
    if (!info.ok()) return failure(info.status(), "asking for " + key);
    if (info->type() == fs::FileType::NotFound) return {};
    const auto removed = system_->DeleteFile(path(key));
    return removed.ok() ? Status{} : Status{failure(removed, "deleting " + key)};
  }

 protected:
  static constexpr std::int64_t kPiece = 1 << 20;
  [[nodiscard]] std::string path(const std::string& key) const { return base_ + "/" + key; }
  [[nodiscard]] const std::string& base() const { return base_; }

 private:
  std::shared_ptr<fs::FileSystem> system_;
  std::string base_;  // without a slash at its end
};

Error os_failure(const std::string& doing) { return {ErrorKind::kUnavailable, doing + ": " + std::strerror(errno)}; }

/// fsync of a file or a folder.
Status flush(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return os_failure("opening " + path.string());
  const bool done = ::fsync(descriptor) == 0;
  const Error error = os_failure("flushing " + path.string());
  ::close(descriptor);
  return done ? Status{} : Status{error};
}

class DirectoryStore final : public ArrowStore {
 public:
  explicit DirectoryStore(const std::string& root) : ArrowStore(std::make_shared<fs::LocalFileSystem>(), root) {}

  /// Under another name first, then renamed. A crash leaves at most that one, which the next put replaces.
  Status put(const std::string& local_path, const std::string& key) override {
    if (auto fine = check_key(key); !fine) return fine;
    const std::filesystem::path target = path(key);
    const std::filesystem::path unfinished = target.string() + ".part";
    std::error_code failed;
    std::filesystem::create_directories(target.parent_path(), failed);
    if (!failed) {
      std::filesystem::copy_file(local_path, unfinished, std::filesystem::copy_options::overwrite_existing, failed);
    }
    if (failed) return Error{ErrorKind::kUnavailable, "writing " + unfinished.string() + ": " + failed.message()};
    if (auto flushed = flush(unfinished); !flushed) return flushed;
    std::filesystem::rename(unfinished, target, failed);
    if (failed) return Error{ErrorKind::kUnavailable, "renaming to " + target.string() + ": " + failed.message()};
    for (auto folder = target.parent_path();; folder = folder.parent_path()) {
      if (auto flushed = flush(folder); !flushed) return flushed;
      if (folder.string().size() <= base().size()) return {};
    }
  }
};

Result<std::unique_ptr<ObjectStore>> open_directory(const Fields& request) {
  std::string root(text_of(request, "root"));
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  std::error_code failed;
  if (!std::filesystem::is_directory(root, failed)) {
    return Error{ErrorKind::kUnavailable,
                 "the archive's directory '" + root + "' is not there or may not be read (make it, or mount it)"};
  }
  return std::unique_ptr<ObjectStore>(std::make_unique<DirectoryStore>(root));
}

std::string with_prefix(std::string_view container, std::string_view prefix) {
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  return std::string(container) + (prefix.empty() ? "" : "/" + std::string(prefix));
}

Result<std::unique_ptr<ObjectStore>> open_s3(const Fields& request) {
  fs::S3GlobalOptions global = fs::S3GlobalOptions::Defaults();
  global.log_level = fs::S3LogLevel::Off;  // it would log to the standard streams
  if (const auto ready = fs::InitializeS3(global); !ready.ok()) return failure(ready, "starting the S3 client");
  auto options = fs::S3Options::FromAccessKey(std::string(text_of(request, "access_key")),
                                              std::string(text_of(request, "secret_key")));
  options.region = text_of(request, "region");
  const std::string_view endpoint = text_of(request, "endpoint");
  if (!endpoint.empty()) {
    const std::size_t scheme = endpoint.find("://");
    if (scheme == endpoint.npos)
      return Error{ErrorKind::kInvalid, "the S3 endpoint '" + std::string(endpoint) + "' needs http:// or https://"};
    options.scheme = endpoint.substr(0, scheme);
    options.endpoint_override = endpoint.substr(scheme + 3);
  }
  options.connect_timeout = 5;
  options.request_timeout = 30;
  auto made = fs::S3FileSystem::Make(options);
  if (!made.ok()) return failure(made.status(), "opening the S3 store");
  return std::unique_ptr<ObjectStore>(
      std::make_unique<ArrowStore>(*made, with_prefix(text_of(request, "bucket"), text_of(request, "prefix"))));
}

Result<std::unique_ptr<ObjectStore>> open_azure(const Fields& request) {
  fs::AzureOptions options;
  options.account_name = text_of(request, "account");
  std::string_view sas = text_of(request, "sas");
  if (sas.starts_with('?')) sas.remove_prefix(1);
  if (const auto set = options.ConfigureSASCredential("?" + std::string(sas)); !set.ok())
    return failure(set, "the SAS token of the Azure store");
  auto made = fs::AzureFileSystem::Make(options);
  if (!made.ok()) return failure(made.status(), "opening the Azure store");
  return std::unique_ptr<ObjectStore>(
      std::make_unique<ArrowStore>(*made, with_prefix(text_of(request, "container"), text_of(request, "prefix"))));
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> ObjectStore::open(const Fields& request) {
  const std::string_view kind = text_of(request, "store");
  if (kind == "directory") return open_directory(request);
  if (kind == "s3") return open_s3(request);
  if (kind == "azure") return open_azure(request);
  return Error{ErrorKind::kInvalid, "'" + std::string(kind) + "' is no kind of store (directory, s3, azure)"};
}

void ObjectStore::shut_down() { (void)fs::EnsureS3Finalized(); }

}  // namespace millrace::parquet_worker
