#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include <millrace/archive/store_settings.hpp>

namespace millrace::archive {
namespace {

std::string worker_beside_this_program() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::string("parquet-worker") : (self.parent_path() / "parquet-worker").string();
}

std::vector<std::string_view> needed_by(std::string_view store) {
  if (store == "directory") return {"ARCHIVE_DIRECTORY"};
  if (store == "s3") return {"ARCHIVE_BUCKET", "ARCHIVE_S3_ACCESS_KEY", "ARCHIVE_S3_SECRET_KEY"};
  if (store == "azure") return {"ARCHIVE_BUCKET", "ARCHIVE_AZURE_ACCOUNT", "ARCHIVE_AZURE_SAS"};
  return {};
}

}  // namespace

StoreSettings read_store_settings(const config::Values& values) {
  StoreSettings settings;
  settings.worker = values.string("ARCHIVE_WORKER");
  if (settings.worker.empty()) settings.worker = worker_beside_this_program();
  const std::string& store = values.string("ARCHIVE_STORE");
  const std::string& bucket = values.string("ARCHIVE_BUCKET");
  const std::string& prefix = values.string("ARCHIVE_PREFIX");
  if (store == "directory") {
    settings.place = values.string("ARCHIVE_DIRECTORY");
    settings.fields = {{"store", store}, {"root", settings.place}};
  } else if (store == "s3") {
    settings.place = "s3://" + bucket + "/" + prefix;
    settings.fields = {{"store", store},
                       {"bucket", bucket},
                       {"prefix", prefix},
                       {"endpoint", values.string("ARCHIVE_S3_ENDPOINT")},
                       {"region", values.string("ARCHIVE_S3_REGION")},
                       {"access_key", values.string("ARCHIVE_S3_ACCESS_KEY")},
                       {"secret_key", values.string("ARCHIVE_S3_SECRET_KEY")}};
  } else if (store == "azure") {
    settings.place = "azure://" + values.string("ARCHIVE_AZURE_ACCOUNT") + "/" + bucket + "/" + prefix;
    settings.fields = {{"store", store},
                       {"container", bucket},
                       {"prefix", prefix},
                       {"account", values.string("ARCHIVE_AZURE_ACCOUNT")},
                       {"sas", values.string("ARCHIVE_AZURE_SAS")}};
  }
  return settings;
}

Status check_store_settings(const config::Values& values) {
  const std::string& store = values.string("ARCHIVE_STORE");
  std::string faults;
  for (const std::string_view key : needed_by(store)) {
    if (!values.string(key).empty()) continue;
    faults += (faults.empty() ? "" : "\n") + std::string(key) + ": the store '" + store + "' needs it";
  }
  return faults.empty() ? Status{} : Status{Error{ErrorKind::kInvalid, faults}};
}

}  // namespace millrace::archive
