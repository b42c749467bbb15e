#pragma once

#include <string>

#include <millrace/base/address.hpp>
#include <millrace/config/options.hpp>

namespace millrace::runtime {

/// The subcommand that container engines and orchestrators call: it needs neither a shell nor curl in the image.
inline constexpr config::Command kHealthcheck{
    .name = "healthcheck",
    .help = "Asks /readyz of the running service at its OPS_ADDR, prints the answer; exit code 0: ready, 1: not."};

struct Readiness {
  bool ready = false;
  std::string answer;  ///< the JSON of /readyz, or why there is none
};

/// What the service that listens on `ops` of this machine says. An ops endpoint on all addresses is asked over
/// loopback.
[[nodiscard]] Readiness ask_readiness(const Address& ops);

/// Prints it; the exit code of the subcommand.
[[nodiscard]] int healthcheck(const Address& ops);

}  // namespace millrace::runtime
