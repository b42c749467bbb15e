#include "mqtt/mqtt_connection.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>

namespace millrace::gateway {
namespace {

using mqtt::ReasonCode;

constexpr std::size_t kFirstInputBytes = 2048;
constexpr std::size_t kReadBytes = 16 * 1024;
/// What a client that was let in has for its input without asking; who was not has kFirstInputBytes.
constexpr std::size_t kKeptInputBytes = 2 * (kFirstInputBytes + kReadBytes);

// What presence says of a connection that the server ends.
DisconnectCause cause_of(ReasonCode reason) {
  struct Row {
    ReasonCode reason;
    DisconnectCause cause;
  };
  static constexpr std::array kRows{
      Row{ReasonCode::kSessionTakenOver, DisconnectCause::kTakeover},
      Row{ReasonCode::kNotAuthorized, DisconnectCause::kRevoked},
      Row{ReasonCode::kBanned, DisconnectCause::kRevoked},
      Row{ReasonCode::kAdministrativeAction, DisconnectCause::kRevoked},
      Row{ReasonCode::kQuotaExceeded, DisconnectCause::kLimit},
      Row{ReasonCode::kMessageRateTooHigh, DisconnectCause::kLimit},
      Row{ReasonCode::kConnectionRateExceeded, DisconnectCause::kLimit},
      Row{ReasonCode::kServerShuttingDown, DisconnectCause::kDrain},
      Row{ReasonCode::kServerMoved, DisconnectCause::kDrain},
      Row{ReasonCode::kUseAnotherServer, DisconnectCause::kDrain},
  };
  const auto* row = std::ranges::find(kRows, reason, &Row::reason);
  return row == kRows.end() ? DisconnectCause::kServer : row->cause;
}

void raise_to(std::atomic<std::uint64_t>& greatest, std::uint64_t value) {
  std::uint64_t before = greatest.load();
  while (before < value && !greatest.compare_exchange_weak(before, value)) {
  }
}

}  // namespace

MqttConnection::MqttConnection(MqttStream stream, MqttPeer peer, std::size_t io_index, MqttContext& context,
                               MqttAccess access)
    : stream_(std::move(stream)),
      peer_(std::move(peer)),
      timer_(stream_.get_executor()),
      io_index_(io_index),
      context_(context),
      access_(access),
      input_memory_(context.spaces.strangers()),
      connection_(context.options.session, Clock::now()) {
  context_.open_connections.fetch_add(1, std::memory_order_relaxed);
  context_.metrics.mqtt_connections.add(1);
}

MqttConnection::~MqttConnection() {
  context_.open_connections.fetch_sub(1, std::memory_order_relaxed);
  context_.metrics.mqtt_connections.add(-1);
}

void MqttConnection::start() {
  arm_timer();
  read();
}

void MqttConnection::read() {
  if (reading_ || ended_ || closing_) return;
  if (!make_room()) return refuse_input();
  reading_ = true;
  stream_.async_read_some(boost::asio::buffer(input_.data() + filled_, input_.size() - filled_),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t count) {
                            self->reading_ = false;
                            if (error) {
                              self->end();
                              return;
                            }
                            self->filled_ += count;
                            self->process();
                          });
}

// Room for what comes next; false: there is no memory for so large a packet. What a large one took is let go after it.
bool MqttConnection::make_room() {
  if (filled_ == 0 && input_.capacity() > kKeptInputBytes) {
    input_ = {};
    input_memory_.give_back(input_memory_.bytes());
  }
  if (input_.size() - filled_ >= kFirstInputBytes) return true;
  const std::size_t wanted = filled_ == 0 ? kFirstInputBytes : filled_ + kReadBytes;
  if (wanted > input_.capacity()) {
    const std::size_t capacity = std::max(wanted, 2 * input_.capacity());
    const std::size_t without_asking = session_ ? kKeptInputBytes : kFirstInputBytes;
    const std::size_t taken = without_asking + input_memory_.bytes();
    if (capacity > taken && !input_memory_.take(capacity - taken)) return false;
    input_.reserve(capacity);
  }
  input_.resize(wanted);
  return true;
}

// What has come behind CONNECT is the session's from now on.
void MqttConnection::own_input() {
  input_memory_ = mqtt::MemoryCharge(session_->memory());
  if (input_.capacity() > kKeptInputBytes) input_memory_.take_anyway(input_.capacity() - kKeptInputBytes);
}

void MqttConnection::refuse_input() {
  if (session_) {
    close(ReasonCode::kQuotaExceeded, "there is no memory for a packet of this size now; send it again later",
          DisconnectCause::kLimit);
    return write();
  }
  context_.metrics.mqtt_closed_by_server.add();
  context_.log.limited(context_.limiter, observability::Level::kWarn,
                       "no memory for the input of a client that was not let in yet; it is closed",
                       {{"address", peer_.address.to_string()}, {"bytes", filled_}});
  end();
}

void MqttConnection::read_on() {
  if (!closing_ && !held_ && !connection_.blocked()) read();
}

// Takes what has come, until the session wants more bytes or an answer, or messages cannot be taken.
void MqttConnection::process() {
  if (ended_ || asking_) return;
  const auto now = Clock::now();
  std::string_view input(input_.data(), filled_);
  while (!closing_ && !asking_ && !must_wait()) {
    mqtt::Event event = connection_.next(input, now);
    if (!handle(event)) break;
  }
  if (asking_) {
    asking_->rest = input.size();
    return;
  }
  keep_rest(input);
  if (const std::uint64_t repeated = connection_.repeated_in_flight(); repeated != repeated_) {
    context_.metrics.mqtt_repeated_in_flight.add(static_cast<double>(repeated - repeated_));
    repeated_ = repeated;
  }
  write();
  read_on();
}

void MqttConnection::keep_rest(std::string_view rest) {
  if (!rest.empty() && rest.data() != input_.data()) std::memmove(input_.data(), rest.data(), rest.size());
  filled_ = rest.size();
}

bool MqttConnection::handle(mqtt::Event& event) {
  if (auto* publish = std::get_if<mqtt::PublishReceived>(&event)) {
    on_publish(publish->publish);
  } else if (auto* connect = std::get_if<mqtt::ConnectRequested>(&event)) {
    on_connect(*connect);
    peer_.chain = {};
  } else if (auto* subscribe = std::get_if<mqtt::SubscribeRequested>(&event)) {
    on_subscribe(*subscribe);
  } else if (auto* unsubscribe = std::get_if<mqtt::UnsubscribeRequested>(&event)) {
    on_unsubscribe(unsubscribe->unsubscribe);
  } else if (auto* closed = std::get_if<mqtt::Closed>(&event)) {
    on_closed(*closed);
  } else {
    return false;
  }
  return true;
}

// True while nothing more may be taken from this client; it is then read on by resume(), flush() or the write's end.
bool MqttConnection::must_wait() {
  if (connection_.state() != mqtt::ConnectionState::kConnected) return false;
  const bool platform_full = access_ == MqttAccess::kDevices && !context_.workers[io_index_]->accepting();
  const bool crowded = access_ == MqttAccess::kDevices && unanswered_ && context_.workers[io_index_]->crowded();
  const bool too_much = in_flight_bytes_ >= share();
  const bool not_reading = connection_.output().size() + writing_.size() >= context_.options.max_unsent_bytes;
  if (!platform_full && !crowded && !too_much && !not_reading && !draining_ && !put_off_) return false;
  if (!held_) {
    held_ = true;
    connection_.hold();
    if (platform_full || crowded) context_.held[io_index_].push_back(weak_from_this());
  }
  return true;
}

void MqttConnection::resume() {
  if (!held_ || ended_) return;
  held_ = false;
  connection_.resume(Clock::now());
  process();
  hasten_timer();
}

void MqttConnection::on_closed(const mqtt::Closed& closed) {
  mqtt::Broker::Goodbye goodbye;
  switch (closed.cause) {
    case mqtt::CloseCause::kClientDisconnect:
      goodbye.publish_will = closed.reason != ReasonCode::kSuccess;
      leaving_.cause = DisconnectCause::kClient;
      if (closed.session_expiry_s) {
        goodbye.session_expiry_s = std::min(*closed.session_expiry_s, context_.options.max_session_expiry_s);
      }
      context_.metrics.mqtt_closed_by_client.add();
      break;
    case mqtt::CloseCause::kProtocolError:
      context_.metrics.mqtt_closed_protocol_error.add();
      leaving_ = {DisconnectCause::kProtocolError, closed.rule};
      context_.log.limited(context_.limiter, observability::Level::kInfo, "a client broke the protocol",
                           {{"rule", closed.rule}, {"device", identity_ ? identity_->key : ""}});
      break;
    case mqtt::CloseCause::kKeepAliveTimeout:
    case mqtt::CloseCause::kConnectTimeout:
      leaving_.cause = DisconnectCause::kKeepAlive;
      context_.metrics.mqtt_closed_timeout.add();
      break;
  }
  begin_closing(goodbye);
}

void MqttConnection::flush() {
  if (ended_) return;
  if (leave_if_answered()) return write();
  const bool room = in_flight_bytes_ <= share() / 2;
  const bool accepting = access_ == MqttAccess::kOpen || context_.workers[io_index_]->accepting();
  const bool waits_here = held_ && room && !draining_ && !put_off_;
  if (waits_here && !accepting) {
    // Held for its own share until now, from now on for all: nobody else would wake it.
    context_.held[io_index_].push_back(weak_from_this());
    write();
  } else if (waits_here) {
    resume();
  } else if (filled_ > 0 && !held_ && !connection_.blocked()) {
    process();
  } else {
    write();
    read_on();
  }
}

// Any thread. One turn does for all that has come until it begins.
void MqttConnection::wake() {
  if (woken_.exchange(true)) return;
  boost::asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->woken_.store(false);
    self->process();
  });
}

// Whoever only sends pays nothing for what it could receive.
void MqttConnection::write() {
  if (ended_) return;
  if (receives_ && !closing_) connection_.pump(Clock::now());
  if (write_pending_) return;
  if (connection_.output().empty()) {
    if (closing_) end();
    return;
  }
  writing_.clear();
  writing_.swap(connection_.output());
  write_pending_ = true;
  write_began_ = Clock::now();
  stream_.async_write(boost::asio::buffer(writing_),
                      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                        self->write_pending_ = false;
                        self->writing_.clear();
                        if (error) {
                          self->end();
                          return;
                        }
                        self->flush();
                      });
}

std::optional<MqttConnection::Clock::time_point> MqttConnection::next_deadline() const {
  if (asking_) return asking_->due;
  if (pending_) return pending_->due;
  auto due = connection_.deadline();
  if (valid_until_us_ == kForEver) return due;
  const auto valid = Clock::now() + std::chrono::microseconds(std::max<TimeUs>(0, valid_until_us_ - now_us()));
  return due ? std::min(*due, valid) : valid;
}

// Armed from start() to end(): this is what keeps a connection that neither reads nor writes (held, or waiting for an
// earlier one's outcome) alive.
void MqttConnection::arm_timer() {
  auto due = Clock::now() + context_.options.write_timeout;
  if (const auto deadline = next_deadline(); deadline && *deadline < due) due = *deadline;
  if (put_off_ && put_off_->until < due) due = put_off_->until;
  timer_.expires_at(due);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->on_timer();
  });
}

// A keep alive that begins to run (after CONNECT, or after a hold) may end before what the timer was armed for.
void MqttConnection::hasten_timer() {
  const auto deadline = next_deadline();
  if (!ended_ && deadline && *deadline < timer_.expiry()) arm_timer();
}

// Fires at the earliest of what may be due and asks; rearming on every packet would cost more than an idle look now and
// then.
void MqttConnection::on_timer() {
  if (ended_) return;
  const auto now = Clock::now();
  if (write_pending_ && now - write_began_ >= context_.options.write_timeout) {
    context_.metrics.mqtt_closed_timeout.add();
    end();
    return;
  }
  if (asking_ && now >= asking_->due) {
    refuse_connect(ReasonCode::kServerUnavailable, "the credentials could not be checked in time; connect again later");
  }
  if (!asking_ && !pending_ && now_us() >= valid_until_us_) check_validity();
  if (pending_ && !closing_ && now >= pending_->due) {
    refuse_connect(ReasonCode::kServerUnavailable, "Kafka did not confirm the connection in time; connect again later");
  }
  if (put_off_ && now >= put_off_->until && !draining_) try_again();
  if (ended_) return;
  mqtt::Event event = connection_.on_timer(now);
  static_cast<void>(handle(event));
  write();
  if (!ended_) arm_timer();
}

void MqttConnection::close_from_outside(ReasonCode reason, std::string_view why) {
  boost::asio::post(stream_.get_executor(), [self = shared_from_this(), reason, text = std::string(why)] {
    if (self->ended_ || self->closing_) return;
    self->close(reason, text, cause_of(reason));
    self->write();
  });
}

void MqttConnection::close(ReasonCode reason, std::string_view why, DisconnectCause cause) {
  leaving_ = {cause, std::string(why)};
  connection_.disconnect(reason, why, reason == ReasonCode::kServerMoved ? context_.options.server_reference : "");
  context_.metrics.mqtt_closed_by_server.add();
  // A gateway that goes down says nothing of its clients; section 3.1.2.5 allows to put wills off then.
  mqtt::Broker::Goodbye goodbye{.publish_will = cause != DisconnectCause::kDrain, .session_expiry_s = std::nullopt};
  if (cause == DisconnectCause::kRevoked && is_deleted()) goodbye.session_expiry_s = 0;  // nobody can come for it
  begin_closing(goodbye);
}

bool MqttConnection::is_deleted() const {
  if (!identity_) return false;
  const auto known = context_.registry.find(identity_->device.tenant, identity_->device.device);
  return !known || known->device_key != identity_->device.device_key;
}

void MqttConnection::superseded(std::uint64_t epoch) {
  raise_to(newer_, epoch);
  boost::asio::post(stream_.get_executor(), [self = shared_from_this(), epoch] {
    if (self->ended_ || self->closing_ || !self->epoch_ || *self->epoch_ >= epoch) return;
    self->close(ReasonCode::kSessionTakenOver, "another connection has this client id", DisconnectCause::kTakeover);
    self->write();
  });
}

void MqttConnection::assert_presence(std::uint64_t offset) {
  raise_to(gone_at_, offset);
  boost::asio::post(stream_.get_executor(), [self = shared_from_this(), offset] {
    // A connection that has no epoch yet looks at gone_at_ when it has one.
    if (self->closing_ || self->pending_ || !self->epoch_ || *self->epoch_ >= offset) return;
    self->context_.presence.assert_again(self->visit_, *self->epoch_);
  });
}

// The session is free for the client's next connection from here on, whatever is still to be written.
void MqttConnection::begin_closing(mqtt::Broker::Goodbye goodbye) {
  if (closing_) return;
  closing_ = true;
  asking_.reset();
  pending_.reset();
  session_ ? leave_session(goodbye) : say_gone();
}

// The end of the session is in the log before presence says that the connection is gone: whoever knows of the one can
// read the other.
void MqttConnection::leave_session(mqtt::Broker::Goodbye goodbye) {
  if (epoch_ && newer_.load() > *epoch_) {
    // The session goes on at another gateway, which keeps it from now on.
    space_->broker().forget(session_->client_id(), newer_.load(), Clock::now());
    return say_gone();
  }
  mqtt::Broker::Left left = space_->disconnect(*session_, attachment_, goodbye);
  if (!epoch_) return;
  const auto then = [self = shared_from_this()](const Status&) { self->say_gone(); };
  Status kept;
  if (left.kept) {
    kept = context_.sessions.write(visit_, std::move(*left.kept), false, then);
  } else if (expiry_s_ > 0 && (left.ours || leaving_.cause == DisconnectCause::kLimit)) {
    kept = context_.sessions.remove(visit_, then);  // it ended with the connection, or found no room for a message
  } else {
    return say_gone();
  }
  if (!kept.ok()) {
    context_.log.limited(context_.limiter, observability::Level::kWarn, "the end of a session was not written",
                         {{"device", identity_->key}, {"error", kept.error().message}});
    say_gone();
  }
}

// Any thread, once the connection is closing: what it reads does not change any more.
void MqttConnection::say_gone() const {
  if (epoch_) context_.presence.leave(visit_, *epoch_, leaving_.cause, leaving_.detail);
}

void MqttConnection::assert_session() {
  boost::asio::post(stream_.get_executor(), [self = shared_from_this()] {
    if (self->closing_ || self->ended_ || !self->session_ || self->expiry_s_ == 0) return;
    if (auto session = self->space_->broker().snapshot(*self->session_)) {
      static_cast<void>(self->context_.sessions.write(self->visit_, std::move(*session), true, {}));
    }
  });
}

void MqttConnection::drain() {
  boost::asio::post(stream_.get_executor(), [self = shared_from_this()] {
    if (self->ended_ || self->closing_) return;
    self->draining_ = self->leaving_when_answered_ = true;
    if (self->leave_if_answered()) self->write();
  });
}

bool MqttConnection::leave_if_answered() {
  if (!leaving_when_answered_ || closing_ || connection_.in_flight() > 0) return false;
  close(ReasonCode::kServerMoved, "the gateway is being stopped", DisconnectCause::kDrain);
  return true;
}

void MqttConnection::stop_reading() { draining_ = true; }

// A fleet of children that is disabled at once is one look.
void MqttConnection::check_again() {
  if (checking_.exchange(true)) return;
  boost::asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->checking_.store(false);
    // Who has no session yet is looked at before it is opened; from then on CONNACK may still wait for Kafka.
    if (!self->pending_ || self->session_) self->check_validity();
    self->check_subscriptions();
    self->write();
  });
}

void MqttConnection::check_validity() {
  if (closing_ || ended_ || !identity_) return;
  const auto until = context_.authenticator.valid_until(*identity_);
  if (!until) {
    return close(ReasonCode::kNotAuthorized, "the device's credentials are not valid any more",
                 DisconnectCause::kRevoked);
  }
  valid_until_us_ = *until;
  hasten_timer();
}

// A subscription that is not allowed any more cannot be taken back alone: the client would never know.
void MqttConnection::check_subscriptions() {
  if (closing_ || ended_ || !session_ || access_ == MqttAccess::kOpen) return;
  const auto session = space_->broker().snapshot(*session_);
  if (!session) return;
  const std::string_view forbidden = first_forbidden(*session);
  if (forbidden.empty()) return;
  close(ReasonCode::kAdministrativeAction,
        "the device may not subscribe to '" + std::string(forbidden) + "' any more; connect again",
        DisconnectCause::kRevoked);
}

void MqttConnection::end() {
  if (ended_) return;
  begin_closing({});
  ended_ = true;
  place_ = {};
  put_off_.reset();
  connection_.disconnect(ReasonCode::kUnspecifiedError);  // nobody hears it: answers that come later are not written
  context_.connections.leave(identity_ ? identity_->key : std::string(), this);
  timer_.cancel();
  stream_.close();
}

}  // namespace millrace::gateway
