#include "bridge/broker_link.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <mqtt/async_client.h>

#include <millrace/base/backoff.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/observability/trace.hpp>

#include "bridge/circuit_breaker.hpp"
#include "ingest/ingest_worker.hpp"

namespace millrace::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = CircuitBreaker::Clock;

constexpr int kFailuresUntilOpen = 5;
constexpr milliseconds kFirstDelay{200};
constexpr milliseconds kMostDelay{20'000};
constexpr seconds kConnectTimeout{10};
constexpr seconds kAnswerTimeout{15};
constexpr seconds kDisconnectTimeout{2};
// A connection whose end nobody announced is seen this soon.
constexpr seconds kLookAgain{1};
constexpr std::uint32_t kMaxPacketBytes = kMaxBodyBytes + 128 * 1024;  // topic and properties beside the payload
constexpr std::size_t kMaxMessageIdBytes = 128;

std::string server_uri(const BridgeBroker& broker) {
  return (broker.tls ? "ssl://" : "tcp://") + broker.address.to_string();
}

std::string_view text_of(const MQTTLenString& text) { return {text.data, static_cast<std::size_t>(text.len)}; }

void read_properties(const MQTTProperties& properties, BrokerMessage& message) {
  for (int i = 0; i < properties.count; ++i) {
    const MQTTProperty& property = properties.array[i];
    if (property.identifier == MQTTPROPERTY_CODE_CONTENT_TYPE) message.content_type = text_of(property.value.data);
    if (property.identifier != MQTTPROPERTY_CODE_USER_PROPERTY) continue;
    const std::string_view name = text_of(property.value.data);
    const std::string_view value = text_of(property.value.value);
    if (name == "message-id" && value.size() <= kMaxMessageIdBytes) message.message_id = value;
    if (name == "traceparent" && observability::is_traceparent(value)) message.traceparent = value;
  }
}

Result<std::string> read_password(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  if (!file.good() && !file.eof()) return Error{ErrorKind::kUnavailable, "the password file cannot be read"};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace

struct BrokerLink::Impl {
  Impl(const BridgeBroker& what, const std::string& folder, OnMessage callback, const BridgeBrokerMetrics& counters)
      : broker(what),
        on_message(std::move(callback)),
        metrics(counters),
        client(server_uri(what), what.client_id,
               mqtt::create_options(what.version5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1), folder),
        breaker(kFailuresUntilOpen, what.open_for) {
    // Before connect(): whatever arrives without a callback is queued by Paho, acknowledged and lost with the process.
    client.set_message_callback([this](const mqtt::const_message_ptr& message) { arrived(*message); });
    client.set_connection_lost_handler([this](const std::string&) { set_lost(); });
  }

  void arrived(const mqtt::message& message);
  void set_lost();
  void run(const std::stop_token& stop);
  [[nodiscard]] Status connect(const std::stop_token& stop);
  [[nodiscard]] Status fill_options();
  [[nodiscard]] Status subscribe(const std::stop_token& stop);
  [[nodiscard]] Status wait_for(const mqtt::token_ptr& token, const std::stop_token& stop, std::string_view what);
  void wait_until_lost(const std::stop_token& stop);
  void wait_for_next_try(const std::stop_token& stop, milliseconds delay);
  void say_failed(const Status& failed);
  void disconnect();
  void show(std::string text);

  BridgeBroker broker;
  OnMessage on_message;
  const BridgeBrokerMetrics& metrics;
  observability::Logger log{"bridge"};
  mqtt::async_client client;
  // Kept until the next try: the copy that Paho makes points into the properties of this one (C++ 1.2.0, #445).
  std::optional<mqtt::connect_options> options;
  CircuitBreaker breaker;  // the thread's own

  mutable std::mutex mutex;
  std::condition_variable_any changed;
  bool lost = true;
  std::string state = "not connected yet";
  std::jthread thread;
};

BrokerLink::BrokerLink(const BridgeBroker& broker, const std::string& folder, OnMessage on_message,
                       const BridgeBrokerMetrics& metrics)
    : impl_(std::make_unique<Impl>(broker, folder, std::move(on_message), metrics)) {}

BrokerLink::~BrokerLink() { stop(); }

void BrokerLink::start() {
  impl_->thread = std::jthread([this](const std::stop_token& stop) { impl_->run(stop); });
}

void BrokerLink::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->thread.request_stop();
  impl_->thread.join();
}

std::string BrokerLink::detail() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->broker.name + ": " + impl_->state;
}

void BrokerLink::Impl::arrived(const mqtt::message& message) {
  BrokerMessage taken;
  taken.topic = message.get_topic();
  taken.payload = {message.get_payload_ref().data(), message.get_payload_ref().length()};
  taken.qos = static_cast<std::uint8_t>(message.get_qos());
  taken.retained = message.is_retained();
  taken.repeated = message.is_duplicate();
  if (broker.version5) read_properties(message.get_properties().c_struct(), taken);
  on_message(taken);
}

void BrokerLink::Impl::set_lost() {
  const std::lock_guard lock(mutex);
  lost = true;
  changed.notify_all();
}

void BrokerLink::Impl::show(std::string text) {
  const std::lock_guard lock(mutex);
  state = std::move(text);
}

void BrokerLink::Impl::run(const std::stop_token& stop) {
  Backoff backoff(kFirstDelay, kMostDelay);
  while (!stop.stop_requested()) {
    if (!breaker.allows(Clock::now())) {
      wait_for_next_try(stop, std::chrono::duration_cast<milliseconds>(breaker.opens_until() - Clock::now()));
      continue;
    }
    metrics.breaker.set(static_cast<double>(breaker.state()));
    Status status = connect(stop);
    if (status.ok()) status = subscribe(stop);
    if (stop.stop_requested()) break;
    if (!status.ok()) {
      disconnect();
      breaker.failed(Clock::now());
      say_failed(status);
      wait_for_next_try(stop, backoff.next());
      continue;
    }
    breaker.succeeded();
    backoff.reset();
    metrics.breaker.set(0);
    metrics.connects.add();
    metrics.connected.set(1);
    show("connected");
    log.info("connected to a broker", {{"broker", broker.name}, {"address", broker.address.to_string()}});
    wait_until_lost(stop);
    metrics.connected.set(0);
    if (stop.stop_requested()) break;
    show("the connection was lost");
    log.warn("the connection to a broker was lost", {{"broker", broker.name}});
    wait_for_next_try(stop, backoff.next());
  }
  disconnect();
  show("stopped");
}

void BrokerLink::Impl::say_failed(const Status& failed) {
  metrics.connects_failed.add();
  metrics.breaker.set(static_cast<double>(breaker.state()));
  const bool open = breaker.state() == CircuitBreaker::State::kOpen;
  show(std::to_string(breaker.failures_in_a_row()) + " failures in a row, circuit breaker " +
       (open ? "open" : "closed") + ": " + failed.error().message);
  log.warn("a broker cannot be used yet", {{"broker", broker.name},
                                           {"failures", breaker.failures_in_a_row()},
                                           {"breaker open", open},
                                           {"error", failed.error().message}});
}

void BrokerLink::Impl::wait_for_next_try(const std::stop_token& stop, milliseconds delay) {
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, delay, [] { return false; });
}

void BrokerLink::Impl::wait_until_lost(const std::stop_token& stop) {
  std::unique_lock lock(mutex);
  while (!lost && !stop.stop_requested()) {
    changed.wait_for(lock, stop, kLookAgain, [this] { return lost; });
    if (lost) return;
    lock.unlock();
    const bool connected = client.is_connected();
    lock.lock();
    lost = lost || !connected;
  }
}

// A token cannot be waited for together with a stop: it is asked in short turns.
Status BrokerLink::Impl::wait_for(const mqtt::token_ptr& token, const std::stop_token& stop, std::string_view what) {
  const auto deadline = Clock::now() + kAnswerTimeout;
  while (!token->wait_for(milliseconds{100})) {
    if (stop.stop_requested()) return Error{ErrorKind::kUnavailable, "stopping"};
    if (Clock::now() >= deadline) return Error{ErrorKind::kUnavailable, std::string(what) + " got no answer"};
  }
  token->wait();  // throws what went wrong
  return {};
}

Status BrokerLink::Impl::fill_options() {
  // In place, the version first and the properties last: see `options`.
  mqtt::connect_options& o = options.emplace();
  if (broker.version5) {
    o.set_mqtt_version(MQTTVERSION_5);
    o.set_clean_start(false);
  } else {
    o.set_mqtt_version(MQTTVERSION_3_1_1);
    o.set_clean_session(false);
  }
  o.set_keep_alive_interval(broker.keep_alive);
  o.set_connect_timeout(kConnectTimeout);
  o.set_automatic_reconnect(false);
  if (!broker.user.empty()) o.set_user_name(broker.user);
  if (!broker.password_file.empty()) {
    auto password = read_password(broker.password_file);
    if (!password.ok()) return password.error();
    o.set_password(*password);
  }
  if (broker.tls) {
    mqtt::ssl_options tls;
    if (!broker.ca_file.empty()) tls.set_trust_store(broker.ca_file);
    if (!broker.certificate_file.empty()) tls.set_key_store(broker.certificate_file);
    if (!broker.key_file.empty()) tls.set_private_key(broker.key_file);
    tls.set_enable_server_cert_auth(true);
    tls.set_verify(true);
    o.set_ssl(std::move(tls));
  }
  if (broker.version5) {
    mqtt::properties properties;
    properties.add({mqtt::property::SESSION_EXPIRY_INTERVAL, static_cast<int>(broker.session_expiry_s)});
    properties.add({mqtt::property::MAXIMUM_PACKET_SIZE, static_cast<int>(kMaxPacketBytes)});
    o.set_properties(std::move(properties));
  }
  return {};
}

Status BrokerLink::Impl::connect(const std::stop_token& stop) {
  try {
    if (auto filled = fill_options(); !filled.ok()) return filled;
    {
      const std::lock_guard lock(mutex);
      lost = false;
    }
    return wait_for(client.connect(*options), stop, "CONNECT");
  } catch (const std::exception& error) {
    return Error{ErrorKind::kUnavailable, std::string("cannot connect: ") + error.what()};
  }
}

Status BrokerLink::Impl::subscribe(const std::stop_token& stop) {
  constexpr int kFirstFailure = 0x80;
  // Retained messages are what the bridge has had before: they would come anew with each subscription.
  const mqtt::subscribe_options without_retained(false, 0, mqtt::subscribe_options::DONT_SEND_RETAINED);
  for (const BridgeTopic& topic : broker.topics) {
    const std::string filter = broker.filter(topic);
    try {
      const mqtt::token_ptr token =
          broker.version5 ? client.subscribe(filter, topic.qos, without_retained) : client.subscribe(filter, topic.qos);
      if (auto answered = wait_for(token, stop, "SUBSCRIBE"); !answered.ok()) return answered;
      const mqtt::subscribe_response response = token->get_subscribe_response();
      for (const auto code : response.get_reason_codes()) {
        if (static_cast<int>(code) >= kFirstFailure) {
          return Error{ErrorKind::kForbidden, "the broker refused the subscription to " + filter + " with reason " +
                                                  std::to_string(static_cast<int>(code))};
        }
        if (static_cast<int>(code) < topic.qos) {
          log.warn("a broker grants less than was asked for",
                   {{"broker", broker.name}, {"filter", filter}, {"qos", static_cast<int>(code)}});
        }
      }
    } catch (const std::exception& error) {
      return Error{ErrorKind::kUnavailable, "cannot subscribe to " + filter + ": " + error.what()};
    }
  }
  return {};
}

void BrokerLink::Impl::disconnect() {
  try {
    if (client.is_connected()) client.disconnect(kDisconnectTimeout)->wait_for(2 * kDisconnectTimeout);
  } catch (const std::exception& error) {
    log.debug("a broker was not told of the end", {{"broker", broker.name}, {"error", error.what()}});
  }
}

}  // namespace millrace::gateway
