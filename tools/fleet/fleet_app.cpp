#include "fleet_app.hpp"

#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <stdexcept>

#include <unistd.h>

#include <millrace/base/address.hpp>

#include "credentials.hpp"
#include "load/load.hpp"
#include "load/once_load.hpp"
#include "readings/file_readings.hpp"
#include "readings/meter_readings.hpp"
#include "report.hpp"
#include "verify/readable_sampler.hpp"
#include "verify/verifier.hpp"

namespace millrace::fleet {
namespace {

std::atomic<LoadBase*> running{nullptr};
std::atomic<int> signals{0};

/// First signal: no more messages, wait for answers. Second: the load ends. Third: the program does.
void on_signal(int) {
  const int count = ++signals;
  LoadBase* load = running.load();
  if (count >= 3) _exit(130);
  if (load == nullptr) return;
  if (count == 1) load->stop();
  if (count == 2) load->abort();
}

template <typename T>
T need(Result<T> result, const std::string& what) {
  if (!result) throw std::runtime_error(what + ": " + result.error().message);
  return std::move(result).value();
}

Address address_of(std::string text, const std::string& what) {
  for (const std::string_view scheme :
       {"http://", "mqtt://", "mqtts://", "ws://", "wss://", "tcp://", "coap://", "coaps://"}) {
    if (text.starts_with(scheme)) text.erase(0, scheme.size());
  }
  while (!text.empty() && text.back() == '/') text.pop_back();
  return need(parse_address(text), what);
}

rpc::ClientOptions client_options(const FleetOptions& options, const std::string& address, const std::string& what) {
  rpc::ClientOptions client;
  client.server = address_of(address, what);
  client.ca_file = options.ca;
  client.api_key = options.api_key;
  return client;
}

WireOptions wire_of(const FleetOptions& options) {
  WireOptions wire;
  wire.server_name = address_of(options.mqtt, "--mqtt").host;
  const bool secure_web_socket = options.mqtt.starts_with("wss://");
  wire.web_socket = secure_web_socket || options.mqtt.starts_with("ws://");
  if (!secure_web_socket && !options.mqtt.starts_with("mqtts://")) return wire;
  tls::ClientSettings settings;
  settings.ca_file = options.ca;
  settings.alpn = {wire.web_socket ? "http/1.1" : "mqtt"};
  wire.tls = need(tls::ClientContext::create(settings), "--ca");
  return wire;
}

std::unique_ptr<Readings> make_readings(const FleetOptions& options) {
  const ReadingsOptions common{options.seed, options.untimed, options.sequence_base};
  if (options.data.empty())
    return std::make_unique<MeterReadings>(common, options.payload_points, options.payload_bytes);
  try {
    return std::make_unique<FileReadings>(common, need(read_text_file(options.data), "--data"),
                                          options.verify ? SequencePoint::kAdd : SequencePoint::kLeaveOut);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(options.data + ": " + error.what());
  }
}

std::vector<Device> make_devices(const FleetOptions& options) {
  std::vector<Device> devices;
  if (!options.credentials.empty()) {
    devices = need(parse_credentials(need(read_text_file(options.credentials), "--credentials")), options.credentials);
  } else {
    if (options.api_key.empty()) throw std::runtime_error("neither --credentials nor --api-key to create devices with");
    std::vector<std::string> names;
    for (std::size_t i = 1; i <= options.devices; ++i) names.push_back(options.prefix + "-" + std::to_string(i));
    devices = need(import_devices(client_options(options, options.registry, "--registry"), options.tenant, names),
                   "device-registry");
  }
  assign_protocols(devices, options.mix);
  return devices;
}

LoadOptions load_options(const FleetOptions& options, const Readings& readings, std::size_t devices) {
  LoadOptions load;
  load.rate = options.rate;
  if (const auto* file = dynamic_cast<const FileReadings*>(&readings); file != nullptr && options.speed > 0) {
    // Rows come at the file's mean distance; all devices send each row.
    const auto span = static_cast<double>(file->time_of(file->rows() - 1) - file->time_of(0)) / 1e6;
    if (span > 0)
      load.rate = options.speed * static_cast<double>(file->rows() - 1) / span * static_cast<double>(devices);
  }
  load.duration = std::chrono::milliseconds(static_cast<std::int64_t>(options.duration_s * 1000));
  load.drain = std::chrono::milliseconds(static_cast<std::int64_t>(options.drain_s * 1000));
  load.window = options.window;
  load.qos = options.qos;
  load.tenant = options.tenant;
  load.message_id_base = options.prefix + "-" + std::to_string(options.sequence_base) + "-";
  load.source = options.source;
  load.mqtt = address_of(options.mqtt, "--mqtt");
  load.mqtt_wire = wire_of(options);
  load.http = address_of(options.http, "--http");
  load.coap = address_of(options.coap, "--coap");
  load.coaps = address_of(options.coaps, "--coaps");
  // Without --verify nobody waits for the last answers after SIGTERM.
  load.drain_when_stopped = options.verify ? load.drain : std::chrono::milliseconds(2000);
  return load;
}

std::unique_ptr<LoadBase> make_load(const FleetOptions& options, const Readings& readings,
                                    const std::vector<Device>& devices, Outcome& outcome) {
  const LoadOptions load = load_options(options, readings, devices.size());
  if (options.once) return std::make_unique<OnceLoad>(load, options.connections, readings, devices, outcome);
  return std::make_unique<Load>(load, readings, devices, outcome);
}

}  // namespace

int run_fleet(const FleetOptions& options) {
  try {
    const auto readings = make_readings(options);
    const std::vector<Device> devices = make_devices(options);
    std::unique_ptr<Ledger> ledger;
    std::unique_ptr<ReadableSampler> sampler;
    if (options.verify) {
      ledger = std::make_unique<Ledger>(devices.size(), options.once ? MessagesEach::kOne : MessagesEach::kMany);
      rpc::ClientOptions query = client_options(options, options.query, "--query");
      query.deadline = std::chrono::milliseconds(2000);
      sampler = std::make_unique<ReadableSampler>(query, options.tenant, *readings, devices);
    }
    Outcome outcome(ledger.get(), sampler.get());
    const auto load = make_load(options, *readings, devices, outcome);
    running = load.get();
    std::signal(SIGTERM, on_signal);
    std::signal(SIGINT, on_signal);
    const TimeUs started_us = now_us();
    if (sampler) sampler->start();
    Report report{options, outcome, {}, devices.size(), {}, nullptr, 0};
    report.load = need(load->run([&](const LoadState& state) {
      if (!options.progress && !options.verify) return;
      std::cerr << "sent " << outcome.sent_count << " acknowledged " << outcome.acknowledged_count << " in_flight "
                << state.in_flight << " waiting " << state.waiting << " resent " << outcome.resent_count << " up "
                << state.links_up << std::endl;
    }),
                       "load");
    running = nullptr;
    int code = 0;
    if (options.verify) {
      sampler->stop();
      report.readable = &sampler->latencies();
      report.never_readable = sampler->gave_up();
      VerifyOptions asked;
      asked.database_url = options.database_url;
      asked.tenant = options.tenant;
      asked.query = client_options(options, options.query, "--query");
      asked.registry = client_options(options, options.registry, "--registry");
      asked.patience = std::chrono::seconds(static_cast<std::int64_t>(options.verify_timeout_s));
      asked.started_us = started_us;
      report.verdict = need(verify(asked, *readings, devices, *ledger,
                                   [](const std::string& text) { std::cerr << "verify: " << text << std::endl; }),
                            "verify");
      code = report.verdict->clean() ? 0 : 1;
    }
    options.json ? print_json(report, std::cout) : print_table(report, std::cout);
    if (outcome.sent_count == 0)
      std::cerr << "millrace-fleet: nothing was sent: is the gateway there (--mqtt, --http, --coap, --coaps)?"
                << std::endl;
    return code;
  } catch (const std::exception& error) {
    std::cerr << "millrace-fleet: " << error.what() << '\n';
    return 3;
  }
}

}  // namespace millrace::fleet
