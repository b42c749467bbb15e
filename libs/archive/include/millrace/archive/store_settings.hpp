#pragma once

#include <array>
#include <cstddef>
#include <string>

#include <millrace/archive_format/frame.hpp>
#include <millrace/config/options.hpp>

namespace millrace::archive {

/// The options of a service that uses the archive, to be joined with its own.
inline constexpr std::array kStoreOptions{
    config::Option{.key = "ARCHIVE_STORE",
                   .type = config::Type::kChoice,
                   .default_value = "off",
                   .help = "Where the Parquet files of archived days lie. storage-archiver and query-api must name the "
                           "same place.",
                   .choices = "off|directory|s3|azure"},
    config::Option{.key = "ARCHIVE_DIRECTORY",
                   .default_value = "",
                   .help = "The folder, for the store `directory`. It must exist."},
    config::Option{.key = "ARCHIVE_BUCKET",
                   .default_value = "",
                   .help = "The bucket (s3) or the container (azure). It must exist."},
    config::Option{.key = "ARCHIVE_PREFIX", .default_value = "", .help = "Put before every key in the bucket."},
    config::Option{.key = "ARCHIVE_S3_ENDPOINT",
                   .default_value = "",
                   .help = "URL of an S3-compatible store, as https://s3.example:9000. Empty: Amazon's."},
    config::Option{
        .key = "ARCHIVE_S3_REGION", .default_value = "us-east-1", .help = "Region that requests are signed for."},
    config::Option{.key = "ARCHIVE_S3_ACCESS_KEY", .default_value = "", .help = "Access key of the S3 store."},
    config::Option{.key = "ARCHIVE_S3_SECRET_KEY",
                   .default_value = "",
                   .help = "Secret key of the S3 store.",
                   .secret = config::Secret::kYes},
    config::Option{.key = "ARCHIVE_AZURE_ACCOUNT", .default_value = "", .help = "Storage account of the Azure store."},
    config::Option{.key = "ARCHIVE_AZURE_SAS",
                   .default_value = "",
                   .help = "Shared access signature of the container; it must allow to read, write, delete and list.",
                   .secret = config::Secret::kYes},
    config::Option{.key = "ARCHIVE_WORKER",
                   .default_value = "",
                   .help = "Path of the program parquet-worker. Empty: beside this program."},
};

/// A service's options with kStoreOptions behind them.
template <std::size_t N>
[[nodiscard]] constexpr std::array<config::Option, N + kStoreOptions.size()> with_store_options(
    const std::array<config::Option, N>& own) {
  std::array<config::Option, N + kStoreOptions.size()> all{};
  for (std::size_t i = 0; i < N; ++i) all[i] = own[i];
  for (std::size_t i = 0; i < kStoreOptions.size(); ++i) all[N + i] = kStoreOptions[i];
  return all;
}

struct StoreSettings {
  archive_format::Fields fields;  ///< those of a request that name the store; holds secrets
  std::string worker;             ///< path of parquet-worker
  std::string place;              ///< for people, without secrets
  [[nodiscard]] bool on() const { return !fields.empty(); }
};

[[nodiscard]] StoreSettings read_store_settings(const config::Values& values);

/// For OptionTable::check: a store that lacks a setting it cannot do without.
[[nodiscard]] Status check_store_settings(const config::Values& values);

}  // namespace millrace::archive
