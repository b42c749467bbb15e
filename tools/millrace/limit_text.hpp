#pragma once

#include <string>
#include <string_view>

#include "text.hpp"

namespace millrace::registry::v1 {
class Limits;
class LimitsEntry;
class RateLimit;
}  // namespace millrace::registry::v1

namespace millrace::cli {

/// `N` a second, or `N:BURST`. Throws CommandError.
[[nodiscard]] registry::v1::RateLimit parse_rate(std::string_view text);

/// One row for each limit that is set: OF, LIMIT, PER SECOND, BURST.
void add_limits(Table& table, const std::string& whose, const registry::v1::Limits& limits);

/// An object with `tenant`, `device` and what is set of `tenant_total`, `device_default` and `device_override`.
[[nodiscard]] std::string limits_json(const registry::v1::LimitsEntry& entry);

}  // namespace millrace::cli
