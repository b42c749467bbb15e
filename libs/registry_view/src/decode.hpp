#pragma once

#include <optional>
#include <string_view>

#include <millrace/base/result.hpp>

#include "state.hpp"

namespace millrace::registry_view {

/// Applies one record of the topic; no value: a tombstone. kInvalid (nothing changed) for a key or value that is none
/// of ours, or for a type whose descriptor cannot be used (which is kept, and says so); unknown kinds of keys are left
/// alone without an error, they come from a newer registry.
[[nodiscard]] Status apply(State& state, std::string_view key, std::optional<std::string_view> value);

}  // namespace millrace::registry_view
