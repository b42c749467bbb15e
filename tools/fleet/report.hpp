#pragma once

#include <optional>
#include <ostream>
#include <string>

#include "fleet_options.hpp"
#include "load/load.hpp"
#include "load/outcome.hpp"
#include "verify/verifier.hpp"

namespace millrace::fleet {

struct Report {
  const FleetOptions& options;
  const Outcome& outcome;
  LoadResult load;
  std::size_t devices = 0;
  std::optional<Verdict> verdict;       ///< with --verify
  const Latencies* readable = nullptr;  ///< with --verify
  std::uint64_t never_readable = 0;     ///< samples given up after a minute
};

void print_json(const Report& report, std::ostream& out);
void print_table(const Report& report, std::ostream& out);

}  // namespace millrace::fleet
