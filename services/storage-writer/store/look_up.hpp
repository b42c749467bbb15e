#pragma once

#include <span>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

#include "store/resolver.hpp"

namespace millrace::writer {

/// Those of the keys that have a point, in rows or in segments, of one snapshot. Segments are unpacked in stretches of
/// so many points that each is a matter of a second: a device that sends a compacted day again asks about all of it.
/// Blocks; begins and ends a transaction of its own.
[[nodiscard]] Result<std::vector<StoredSample>> find_samples(postgres::Connection& connection,
                                                             std::span<const SampleKey> keys);

}  // namespace millrace::writer
