#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

#include "bridge/topic_map.hpp"

namespace millrace::gateway {

/// One MQTT broker that the bridge is a client of.
struct BridgeBroker {
  std::string name;
  Address address;
  bool tls = false;
  bool version5 = true;
  std::string client_id;  ///< with the host's name for `{host}`
  std::string user;
  std::string password_file;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::chrono::seconds keep_alive{60};
  std::uint32_t session_expiry_s = 86'400;  ///< MQTT 5 only: an older broker decides alone
  std::string share;                        ///< group of a shared subscription; empty: none
  std::chrono::seconds open_for{30};        ///< of the circuit breaker
  std::vector<BridgeTopic> topics;

  /// As the broker is asked for a topic of it.
  [[nodiscard]] std::string filter(const BridgeTopic& topic) const;
};

/// The brokers of the file that BRIDGE_FILE names (docs/bridge.md has the format). kInvalid lists every fault, a line
/// each, naming its place: `brokers[0].topics[1].qos …`. Files that it names are looked at, not read.
[[nodiscard]] Result<std::vector<BridgeBroker>> read_bridge_file(const std::string& path);

/// The same for its text.
[[nodiscard]] Result<std::vector<BridgeBroker>> parse_bridge_config(std::string_view text, const std::string& host);

}  // namespace millrace::gateway
