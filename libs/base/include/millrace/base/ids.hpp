#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <millrace/base/result.hpp>

namespace millrace {

inline constexpr std::size_t kMaxIdBytes = 64;

/// Tenant and device ids: 1 to 64 of `A-Za-z0-9._:-`, case-sensitive, not starting with `.`.
[[nodiscard]] bool is_valid_id(std::string_view id);

/// kInvalid with a sentence that names `what` ("tenant id", "device id") and the rule, if `id` breaks the grammar.
[[nodiscard]] Status check_id(std::string_view what, std::string_view id);

/// The key of a device's records in Kafka: `tenant/device`.
[[nodiscard]] std::string record_key(std::string_view tenant, std::string_view device);

/// Tenant and device of a record key; kInvalid if it is none. The views point into `key`.
[[nodiscard]] Result<std::pair<std::string_view, std::string_view>> parse_record_key(std::string_view key);

/// Partition of a key among `partitions`, as Kafka's Java client and librdkafka's murmur2 partitioners compute it.
[[nodiscard]] int partition_of(std::string_view key, int partitions);

}  // namespace millrace
