#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "load/device.hpp"

namespace millrace::fleet {

/// The command line, over the environment that `./dev env` prints.
struct FleetOptions {
  std::size_t devices = 50;
  double rate = 100;
  double duration_s = 0;
  double drain_s = 120;
  double verify_timeout_s = 600;
  std::string protocols = "mqtt";
  std::vector<Protocol> mix;  ///< parsed from protocols
  int qos = 1;
  double untimed = 0;
  std::string data;
  double speed = 0;
  std::uint64_t seed = 0;
  std::size_t payload_points = 3;
  std::size_t payload_bytes = 0;
  std::size_t window = 200;
  std::string prefix;
  std::int64_t sequence_base = -1;
  std::string credentials;
  bool once = false;
  std::size_t connections = 1000;
  bool verify = false;
  bool json = false;
  bool progress = false;

  std::string source;
  std::string mqtt = "127.0.0.1:1883";
  std::string http = "http://127.0.0.1:8080";
  std::string coap = "coap://127.0.0.1:5683";
  std::string coaps = "coaps://127.0.0.1:5684";
  std::string registry = "127.0.0.1:7101";
  std::string query = "127.0.0.1:7102";
  std::string database_url;
  std::string ca;
  std::string tenant = "demo";
  std::string api_key;
};

enum class Parsed { kRun, kExitOk, kExitUsage };

/// Reads arguments and environment; faults go to stderr, --help and --version to stdout.
[[nodiscard]] Parsed parse_options(int argc, const char* const* argv, FleetOptions& options);

}  // namespace millrace::fleet
