#include "broker_clients.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include <mqtt_packets.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::mqtt;

constexpr std::uint32_t kMostBytes = 4096;
constexpr std::size_t kSerialBytes = 4;

ServerOptions options() {
  ServerOptions options;
  options.maximum_packet_size = kMostBytes;
  options.receive_maximum = 3;
  options.topic_alias_maximum = 2;
  options.outgoing_topic_aliases = 2;
  options.output_bound = 100;
  return options;
}

BrokerLimits limits() {
  BrokerLimits limits;
  limits.session = {6, 4000};
  limits.maximum_sessions = 3;
  limits.maximum_subscriptions_per_session = 3;
  limits.maximum_subscriptions = 6;
  limits.maximum_filter_bytes = 32;
  limits.maximum_retained_messages = 3;
  limits.maximum_retained_bytes = 1500;
  return limits;
}

std::string serial_text(std::uint32_t serial) {
  std::string text(kSerialBytes, '\0');
  for (std::size_t i = 0; i < kSerialBytes; ++i) text[i] = static_cast<char>(serial >> (8 * (kSerialBytes - 1 - i)));
  return text;
}

std::uint32_t serial_of(std::string_view payload) {
  std::uint32_t serial = 0;
  for (const char byte : payload.substr(0, kSerialBytes)) serial = serial << 8U | static_cast<unsigned char>(byte);
  return serial;
}

}  // namespace

Clients::Clients(std::size_t brokers) : options_(options()), limits_(limits()) {
  for (std::size_t i = 0; i < brokers; ++i) {
    brokers_.push_back(std::make_unique<Broker>(
        limits_,
        [this, i](const std::string&, const MessagePtr& will) {
          route(*brokers_[i], std::make_shared<Message>(*will), nullptr);
        },
        std::make_shared<MemoryShare>(memory_)));
  }
}

void Clients::open(std::size_t slot, std::size_t broker, const std::string& connect) {
  leave(clients_[slot]);
  clients_[slot] = std::make_unique<Client>(options_, *brokers_[broker % brokers_.size()], now_);
  write(slot, connect);
}

void Clients::write(std::size_t slot, std::string_view bytes) {
  if (!clients_[slot]) return;
  clients_[slot]->input += bytes;
  serve(slot);
}

void Clients::answer(std::size_t slot) {
  if (clients_[slot]) write(slot, std::exchange(clients_[slot]->answers, {}));
}

void Clients::cut_off(std::size_t slot) { leave(clients_[slot]); }

std::optional<Version> Clients::version(std::size_t slot) const {
  return clients_[slot] ? std::optional(clients_[slot]->connection.version()) : std::nullopt;
}

void Clients::serve(std::size_t slot) {
  if (!clients_[slot]) return;
  Client& client = *clients_[slot];
  client.signals->woken = false;
  std::string_view input = client.input;
  while (!client.closed) {
    const Event event = client.connection.next(input, now_);
    if (std::holds_alternative<std::monostate>(event)) break;
    act(client, event);
    if (client.signals->ended) client.connection.disconnect(*client.signals->ended);
    client.closed = client.closed || client.connection.state() == ConnectionState::kClosed;
  }
  client.input.erase(0, client.input.size() - input.size());
  require(client.input.size() <= kMostBytes || client.closed || client.connection.blocked(),
          "what is kept of the input is bounded");
  while (client.connection.pump(now_)) read(client);
  read(client);
  if (client.signals->ended) client.connection.disconnect(*client.signals->ended);
  if (client.closed || client.signals->ended) leave(clients_[slot]);
}

void Clients::act(Client& client, const Event& event) {
  if (const auto* asked = std::get_if<ConnectRequested>(&event)) {
    connect(client, *asked);
  } else if (const auto* received = std::get_if<PublishReceived>(&event)) {
    take(client, received->publish);
  } else if (const auto* wanted = std::get_if<SubscribeRequested>(&event)) {
    subscribe(client, *wanted);
  } else if (const auto* unwanted = std::get_if<UnsubscribeRequested>(&event)) {
    unsubscribe(client, unwanted->unsubscribe);
  } else if (const auto* over = std::get_if<Closed>(&event)) {
    const bool orderly = over->cause == CloseCause::kClientDisconnect && over->reason == ReasonCode::kSuccess;
    client.goodbye = Broker::Goodbye{!orderly, over->session_expiry_s};
    client.closed = true;
  }
}

void Clients::connect(Client& client, const ConnectRequested& asked) {
  if (const Fault fault = check_will(asked.connect, {})) return client.connection.refuse(fault.code, fault.rule);
  ConnectSpec wanted = spec(client, asked);
  const std::string id = wanted.client_id;
  const bool clean = wanted.clean_start;
  if (brokers_.size() > 1) take_from_the_other(client, wanted);
  const Broker::Connected connected = client.broker->connect(std::move(wanted), now_);
  if (!connected.session) {
    require(!connected.superseded, "no connection has a greater epoch than the newest");
    return client.connection.refuse(ReasonCode::kQuotaExceeded);
  }
  require(connected.session->client_id() == id, "the session is that of the client");
  require(!clean || !connected.session_present, "a clean start finds nothing");
  client.session = connected.session;
  client.attachment = connected.attachment;
  last_sent_.try_emplace(client.session);
  AcceptOptions accepted;
  accepted.session_present = connected.session_present;
  client.closed = !client.connection.accept(now_, client.session, client.attachment, accepted);
  keep(client);
}

ConnectSpec Clients::spec(Client& client, const ConnectRequested& asked) {
  ConnectSpec spec;
  spec.client_id = asked.connect.client_id.empty() ? "assigned-" + std::to_string(++assigned_)
                                                   : std::string(asked.connect.client_id);
  spec.owner = spec.client_id.substr(0, 1);
  spec.clean_start = asked.connect.clean_start;
  spec.session_expiry_s = asked.session_expiry_s;
  spec.link = {[signals = client.signals] { signals->woken = true; }, asked.receive_maximum};
  spec.end = [signals = client.signals](ReasonCode reason, const char* why) {
    require(!signals->gone && !signals->ended, "a connection is ended once at most, and not when it has left");
    require(why != nullptr && *why != '\0', "it is told why");
    signals->ended = reason;
  };
  if (const auto& will = asked.connect.will) {
    spec.will = make_message(*will, now_);
    spec.will_delay_s = will->properties.number(PropertyId::kWillDelayInterval).value_or(0);
    spec.will_expiry_s = will->properties.number(PropertyId::kMessageExpiryInterval);
  }
  return spec;
}

/// The newest connection has the client: the other broker forgets it, and this one is told what was kept.
void Clients::take_from_the_other(Client& client, ConnectSpec& spec) {
  spec.shared = true;
  spec.epoch = ++epoch_;
  const auto found = stored_.find(spec.client_id);
  if (found != stored_.end() && (!found->second.due || *found->second.due > now_)) spec.stored = found->second.session;
  for (auto& other : clients_) {
    if (!other || !other->session || other->broker == client.broker) continue;
    if (other->session->client_id() != spec.client_id || other->signals->gone) continue;
    other->signals->gone = true;
  }
  for (auto& broker : brokers_) {
    if (broker.get() != client.broker) broker->forget(spec.client_id, spec.epoch, now_);
  }
}

void Clients::take(Client& client, const Publish& publish) {
  require(valid_topic_name(publish.topic), "a published topic is a topic name");
  route(*client.broker, std::make_shared<Message>(*make_message(publish, now_)), client.session.get());
  if (publish.qos == Qos::kAtMostOnce) return;
  if (publish.packet_id % 3 == 0) return client.unanswered.push_back(publish.packet_id);
  require(client.connection.acknowledge(publish.packet_id), "a message waits for its answer");
}

/// Every message has a number in front of its payload, in the order in which the brokers were given them.
void Clients::route(Broker& broker, const std::shared_ptr<Message>& message, const Session* publisher) {
  if (!message->payload.empty()) message->payload.insert(0, serial_text(++serial_));
  const bool retained = message->retain;
  const auto account = publisher != nullptr ? publisher->memory() : memory_;
  const Broker::Published published = broker.publish(keep_anyway(std::move(*message), account), publisher, now_);
  require(retained || !published.retained_full, "only a retained message can find no room to be kept");
}

void Clients::subscribe(Client& client, const SubscribeRequested& asked) {
  std::vector<ReasonCode> codes;
  SubscriptionReader reader = asked.subscribe.reader();
  for (Subscription one; reader.next(one);) {
    codes.push_back(client.broker->subscribe(*client.session, one, asked.subscription_id, now_));
    require(is_failure(codes.back()) || codes.back() == static_cast<ReasonCode>(one.maximum_qos),
            "the QoS that was asked for is granted");
    require(valid_topic_filter(one.filter) || is_failure(codes.back()), "no subscription to what is no filter");
  }
  require(client.connection.suback(asked.subscribe.packet_id, codes), "SUBSCRIBE waits for its answer");
  keep(client);
}

void Clients::unsubscribe(Client& client, const Unsubscribe& asked) {
  std::vector<ReasonCode> codes;
  FilterReader reader = asked.reader();
  for (std::string_view filter; reader.next(filter);) {
    codes.push_back(client.broker->unsubscribe(*client.session, filter));
    require(client.broker->unsubscribe(*client.session, filter) != ReasonCode::kSuccess,
            "a subscription that was ended is none");
  }
  require(client.connection.unsuback(asked.packet_id, codes), "UNSUBSCRIBE waits for its answer");
  keep(client);
}

void Clients::settle(std::size_t slot, ReasonCode reason) {
  if (!clients_[slot] || clients_[slot]->unanswered.empty()) return;
  Client& client = *clients_[slot];
  AckOptions answer;
  answer.reason = reason;
  require(client.connection.acknowledge(client.unanswered.front(), answer), "a message waits for its answer");
  client.unanswered.erase(client.unanswered.begin());
  serve(slot);
}

void Clients::publish(std::size_t broker, const std::shared_ptr<Message>& message) {
  route(*brokers_[broker % brokers_.size()], message, nullptr);
}

void Clients::pass(std::chrono::seconds time) {
  now_ += time;
  for (auto& broker : brokers_) {
    broker->on_timer(now_);
    require(!broker->deadline() || *broker->deadline() > now_, "nothing is due when the timer has been served");
  }
  for (std::size_t slot = 0; slot < kClients; ++slot) {
    if (!clients_[slot]) continue;
    act(*clients_[slot], clients_[slot]->connection.on_timer(now_));
    // Where a message has expired that waited for room, the next one has its turn; nobody is woken for that.
    if (clients_[slot]->closed || !clients_[slot]->signals->woken) serve(slot);
  }
}

/// The client's end of the wire.
void Clients::read(Client& client) {
  const std::string output = std::exchange(client.connection.output(), {});
  std::string_view rest = output;
  while (!rest.empty()) {
    Frame frame;
    Fault fault;
    require(next_frame(rest, 2 * kMostBytes, frame).status == FrameStatus::kComplete, "whole packets are written");
    require(testing::recode(frame, client.connection.version(), fault).has_value(), "what the server writes decodes");
    rest.remove_prefix(frame.size);
    if (frame.type == PacketType::kPublish) {
      Publish publish;
      require(!decode(frame, client.connection.version(), publish), "what the server writes decodes");
      receive(client, publish);
    } else if (frame.type == PacketType::kPubrel || frame.type == PacketType::kPubrec) {
      Ack ack;
      require(!decode(frame, client.connection.version(), ack), "what the server writes decodes");
      ack.type = frame.type == PacketType::kPubrel ? PacketType::kPubcomp : PacketType::kPubrel;
      if (!is_failure(ack.reason))
        encode(client.connection.version(), Ack{ack.type, ack.packet_id, {}, {}}, client.answers);
    }
  }
}

void Clients::receive(Client& client, const Publish& publish) {
  if (publish.qos != Qos::kAtMostOnce) {
    const PacketType type = publish.qos == Qos::kAtLeastOnce ? PacketType::kPuback : PacketType::kPubrec;
    encode(client.connection.version(), Ack{type, publish.packet_id, {}, {}}, client.answers);
  }
  if (publish.payload.empty() || publish.retain || publish.dup) return;
  auto& last = last_sent_.at(client.session)[static_cast<std::size_t>(publish.qos)];
  const std::uint32_t serial = serial_of(publish.payload);
  require(serial >= last, "messages of a QoS are sent in the order in which they were published");
  last = serial;
}

/// What the owner keeps of a session that is connected, where brokers share their clients.
void Clients::keep(const Client& client) {
  if (brokers_.size() < 2 || client.signals->gone) return;
  const auto session = client.broker->snapshot(*client.session);
  if (session && session->expiry_s > 0) {
    stored_[client.session->client_id()] = {*session, std::nullopt};
  } else {
    stored_.erase(client.session->client_id());
  }
}

void Clients::leave(std::unique_ptr<Client>& slot) {
  const std::unique_ptr<Client> client = std::move(slot);
  if (!client || !client->session) return;
  const bool elsewhere = std::exchange(client->signals->gone, true);
  const auto goodbye = client->goodbye.value_or(Broker::Goodbye{});
  const Broker::Left left = client->broker->disconnect(*client->session, client->attachment, goodbye, now_);
  require(left.ours == (!elsewhere && !client->signals->ended),
          "a connection has its session until it is told otherwise");
  require(!client->broker->disconnect(*client->session, client->attachment, goodbye, now_).ours, "one leaves once");
  if (!left.ours || brokers_.size() < 2) return;
  stored_.erase(client->session->client_id());
  if (!left.kept) return;
  std::optional<TimePoint> due;
  if (left.kept->expiry_s != kNeverExpires) due = now_ + std::chrono::seconds(left.kept->expiry_s);
  stored_[client->session->client_id()] = {*left.kept, due.value_or(TimePoint::max())};
}

void Clients::check() {
  for (auto& client : clients_) {
    if (client) check(*client);
  }
  for (const auto& broker : brokers_) check(*broker);
  std::erase_if(last_sent_, [](const auto& one) { return one.first.use_count() == 1; });
}

void Clients::check(Client& client) {
  if (client.session) {
    const Session::Load load = client.session->load();
    require(load.queued + load.in_flight <= limits_.session.maximum_messages, "a session keeps no more than it may");
    require(load.bytes <= limits_.session.maximum_bytes, "a session keeps no more bytes than it may");
  }
  if (client.signals->woken || client.signals->ended || client.signals->gone || client.closed) return;
  std::string_view input = client.input;
  const bool nothing = std::holds_alternative<std::monostate>(client.connection.next(input, now_));
  require(nothing && input.size() == client.input.size(), "nothing is to be read by a connection that was not woken");
  require(!client.connection.pump(now_) && client.connection.output().empty(),
          "nothing is to be sent by a connection that was not woken");
}

void Clients::check(const Broker& broker) const {
  const Broker::Counts counts = broker.counts();
  const auto has_session = [&](const auto& client) {
    return client && client->session && client->broker == &broker && !client->signals->gone && !client->signals->ended;
  };
  require(counts.connected == static_cast<std::size_t>(std::ranges::count_if(clients_, has_session)),
          "those are connected who were not told otherwise");
  require(counts.connected <= counts.sessions && counts.sessions <= limits_.maximum_sessions,
          "sessions keep to their limit");
  require(brokers_.size() > 1 || counts.subscriptions <= limits_.maximum_subscriptions,
          "subscriptions keep to their limit");
  require(
      counts.retained <= limits_.maximum_retained_messages && counts.retained_bytes <= limits_.maximum_retained_bytes,
      "retained messages keep to their limits");
  require((counts.retained == 0) == (counts.retained_bytes == 0), "what is not kept costs nothing");
}

void Clients::finish() {
  std::vector<std::string> ids;
  for (const auto& [session, last] : last_sent_) ids.push_back(session->client_id());
  for (auto& client : clients_) leave(client);
  for (auto& broker : brokers_) {
    for (const std::string& id : ids) broker->forget_detached(id, ++epoch_, now_);
    const Broker::Counts counts = broker->counts();
    require(counts.connected == 0 && counts.sessions == 0 && counts.subscriptions == 0 && !broker->deadline(),
            "nothing is left of sessions that have ended");
  }
  last_sent_.clear();
  brokers_.clear();
  require(memory_->used() == 0, "what sessions and messages took is given back");
}

}  // namespace millrace::fuzz
