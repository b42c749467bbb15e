#include "fleet_options.hpp"

#include <iostream>

#include <CLI/CLI.hpp>

#include <millrace/base/digest.hpp>
#include <millrace/base/time.hpp>
#include <millrace/base/version.hpp>

namespace millrace::fleet {
namespace {

constexpr int kMostConnected = 100'000;
constexpr int kMostOnce = 2'000'000;

std::vector<Protocol> parse_mix(const std::string& text) {
  std::vector<Protocol> mix;
  for (const std::string& word : CLI::detail::split(text, ',')) {
    if (word == "mqtt") {
      mix.push_back(Protocol::kMqtt311);
    } else if (word == "mqtt5") {
      mix.push_back(Protocol::kMqtt5);
    } else if (word == "http") {
      mix.push_back(Protocol::kHttp);
    } else if (word == "coap") {
      mix.push_back(Protocol::kCoap);
    } else if (word == "coaps") {
      mix.push_back(Protocol::kCoaps);
    } else {
      throw CLI::ValidationError("--protocol", "'" + word + "' is none of mqtt, mqtt5, http, coap, coaps");
    }
  }
  return mix;
}

void add_load_options(CLI::App& app, FleetOptions& o) {
  app.add_option("--devices", o.devices, "how many devices")->capture_default_str()->check(CLI::Range(1, kMostOnce));
  app.add_flag("--once", o.once,
               "each device connects when its turn comes, publishes one message with QoS 1, waits for the "
               "acknowledgement and goes");
  app.add_option("--connections", o.connections, "with --once: at most so many devices at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  app.add_option("--rate", o.rate, "messages/s of all devices together; 0: as many as are acknowledged")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--duration", o.duration_s, "seconds of load; 0: until SIGTERM or the end of --data")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--drain", o.drain_s, "seconds to go on resending what has no answer after that")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--protocol", o.protocols,
                 "mqtt (3.1.1), mqtt5, http, coap, coaps, or several: the devices take turns")
      ->capture_default_str();
  app.add_option("--qos", o.qos, "MQTT QoS, 0, 1 or 2")->capture_default_str()->check(CLI::Range(0, 2));
  app.add_option("--untimed", o.untimed, "share of the messages without a time of their own")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--data", o.data, "CSV to replay instead of synthetic meters: first column time, the others metrics");
  app.add_option("--speed", o.speed, "with --data: this many times as fast as its times say, instead of --rate")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", o.seed, "of values, faults and shares (default: drawn)");
  app.add_option("--payload-points", o.payload_points, "readings in a message beside its sequence")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  app.add_option("--payload-bytes", o.payload_bytes, "least size of a payload, reached by longer names of its readings")
      ->check(CLI::Range(0, 10'000));
  app.add_option("--window", o.window,
                 "messages without answer per MQTT connection (QoS 0: to the PINGREQ behind them)")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
}

void add_identity_options(CLI::App& app, FleetOptions& o) {
  app.add_option("--credentials", o.credentials, "CSV `device,token` as `millrace device import` writes it");
  app.add_option("--prefix", o.prefix, "without --credentials: devices <prefix>-1.. are created in the registry");
  app.add_option("--sequence-base", o.sequence_base,
                 "sequence of a device's first message, less one (default: 0 for new "
                 "devices, else from the clock, so that runs do not mix)");
  app.add_option("--tenant", o.tenant)->envname("MILLRACE_TENANT")->capture_default_str();
  app.add_option("--api-key", o.api_key, "operator's or admin's")->envname("MILLRACE_API_KEY");
  app.add_option("--source", o.source, "address that MQTT and HTTP connect from: each has some 28,000 ports")
      ->check(CLI::ValidIPV4);
  app.add_option("--mqtt", o.mqtt, "gateway: host:port, or with mqtts://, ws:// or wss:// before it")
      ->envname("MILLRACE_MQTT_ADDR")
      ->capture_default_str();
  app.add_option("--ca", o.ca, "PEM of those whose servers are trusted: gRPC is over TLS then, too")
      ->envname("MILLRACE_CA_FILE");
  app.add_option("--http", o.http, "gateway")->envname("MILLRACE_HTTP_URL")->capture_default_str();
  app.add_option("--coap", o.coap, "gateway")->envname("MILLRACE_COAP_URI")->capture_default_str();
  app.add_option("--coaps", o.coaps, "gateway")->envname("MILLRACE_COAPS_URI")->capture_default_str();
  app.add_option("--registry", o.registry, "device-registry")->envname("MILLRACE_REGISTRY_ADDR")->capture_default_str();
  app.add_option("--query", o.query, "query-api, for --verify")->envname("MILLRACE_QUERY_ADDR")->capture_default_str();
  app.add_option("--database-url", o.database_url, "for --verify")->envname("MILLRACE_DATABASE_URL");
}

void complete(FleetOptions& o) {
  o.mix = parse_mix(o.protocols);
  if (o.seed == 0) o.seed = static_cast<std::uint64_t>(now_us());
  if (o.prefix.empty()) o.prefix = "fleet-" + to_hex(random_bytes(4));
  if (o.sequence_base < 0) {
    // Seconds since 2020 times 1e6: apart from other runs, and exact in a double.
    constexpr std::int64_t kSince2020 = 1'577'836'800;
    o.sequence_base = o.credentials.empty() ? 0 : (now_us() / kUsPerSecond - kSince2020) * 1'000'000;
  }
  if (!o.once && o.devices > kMostConnected) {
    throw CLI::ValidationError("--devices", "more than " + std::to_string(kMostConnected) + " only with --once");
  }
  if (o.once && o.qos == 2) throw CLI::ValidationError("--once", "publishes with QoS 1");
  if (o.once && o.qos == 0) throw CLI::ValidationError("--once", "waits for acknowledgements, so not with --qos 0");
  if (o.verify && o.qos == 0) throw CLI::ValidationError("--verify", "QoS 0 promises nothing that could be verified");
  if (o.verify && o.database_url.empty()) throw CLI::ValidationError("--verify", "needs --database-url");
  if (o.verify && o.api_key.empty()) throw CLI::ValidationError("--verify", "needs --api-key");
  if (o.verify && !o.once && o.duration_s == 0 && o.data.empty()) {
    std::cerr << "millrace-fleet: no --duration: every message is remembered until SIGTERM\n";
  }
}

}  // namespace

Parsed parse_options(int argc, const char* const* argv, FleetOptions& options) {
  CLI::App app(
      "millrace-fleet: devices that send over MQTT, HTTP and CoAP, and a check of what became of every message");
  app.set_version_flag("--version", std::string("millrace-fleet ") + kVersion);
  add_load_options(app, options);
  add_identity_options(app, options);
  app.add_flag("--verify", options.verify,
               "follow every acknowledged message to its row; exit code 1 if one is lost, "
               "doubled or wrong, 3 if that could not be asked");
  app.add_option("--verify-timeout", options.verify_timeout_s, "seconds that the store may take to catch up")
      ->capture_default_str();
  app.add_flag("--json", options.json, "print the report as one JSON object");
  app.add_flag("--progress", options.progress, "one line a second on stderr (with --verify always)");
  try {
    app.parse(argc, argv);
    complete(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? Parsed::kExitOk : Parsed::kExitUsage;
  }
  return Parsed::kRun;
}

}  // namespace millrace::fleet
