#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::writer {

/// The state of a partition's copy rules as of an offset: everything below it is committed and in the state.
struct CopyStateRow {
  std::int32_t partition = 0;
  std::int32_t generation = 0;
  std::int64_t offset = 0;
  std::string bytes;          ///< of telemetry::CopyRules::save()
  std::int64_t position = 0;  ///< read only: next_offset of the partition at the same moment
};

/// The state that the database holds of a partition; none: nothing was saved. Reads a piece at a time, so that no call
/// takes long. Of a state above CopyRules::kMaxSavedBytes only as much is read as tells that it is no state.
[[nodiscard]] Result<std::optional<CopyStateRow>> read_copy_state(postgres::Connection& connection,
                                                                  std::string_view topic, std::int32_t partition);

/// In a transaction of its own. False: nothing was done, because the partition has another generation, or is not yet
/// committed up to the state's offset, or a state as new is there already. So whoever was fenced cannot put an older
/// state over a newer one.
[[nodiscard]] Result<bool> save_copy_state(postgres::Connection& connection, std::string_view topic,
                                           const CopyStateRow& state);

/// Removes exactly the state that was found to be of no use.
[[nodiscard]] Status discard_copy_state(postgres::Connection& connection, std::string_view topic,
                                        const CopyStateRow& state);

}  // namespace millrace::writer
