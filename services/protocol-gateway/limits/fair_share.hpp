#pragma once

#include <span>

namespace millrace::gateway {

/// The part, 0 to 1, of `capacity` tokens a period that a gateway takes when it and the others were asked for so many
/// in the period before: nobody gets more than was asked of it while another wants (max-min fair), what nobody asked
/// for is shared out evenly, and who was asked for nothing keeps a tenth of an even part. A pure function: gateways
/// that see the same numbers take parts that add up to 1.
[[nodiscard]] double fair_share(double own, std::span<const double> others, double capacity);

}  // namespace millrace::gateway
