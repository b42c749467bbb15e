#pragma once

#include <string_view>

/// The longer migrations, one file each.
namespace millrace::storage_schema {

extern const std::string_view kTierTables;
extern const std::string_view kCompaction;
extern const std::string_view kTierReads;
extern const std::string_view kRetention;
extern const std::string_view kArchiveRetention;

}  // namespace millrace::storage_schema
