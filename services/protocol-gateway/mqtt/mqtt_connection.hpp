#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include <millrace/mqtt/broker.hpp>
#include <millrace/mqtt/server_connection.hpp>

#include "identity/children.hpp"
#include "identity/validity.hpp"
#include "mqtt/mqtt_context.hpp"
#include "mqtt/mqtt_stream.hpp"
#include "mqtt/topic_policy.hpp"
#include "presence/presence_record.hpp"

namespace millrace::gateway {

/// One MQTT connection: stream and timer around mqtt::ServerConnection, between the ingest core and its name space's
/// broker. Everything runs on its io thread, except what says otherwise.
class MqttConnection final : public AckSink, public std::enable_shared_from_this<MqttConnection> {
 public:
  MqttConnection(MqttStream stream, MqttPeer peer, std::size_t io_index, MqttContext& context, MqttAccess access);
  ~MqttConnection() override;
  MqttConnection(const MqttConnection&) = delete;
  MqttConnection& operator=(const MqttConnection&) = delete;

  void start();

  /// Messages are taken again: reads on if it was held for that.
  void resume();

  /// Ends the connection with a reason (version 5 is told). Any thread.
  void close_from_outside(mqtt::ReasonCode reason, std::string_view why);

  /// Another gateway has this client since `epoch`: ends the connection if it is older. Any thread.
  void superseded(std::uint64_t epoch);

  /// A connection of the device was reported as gone by the presence record at `offset`: says again that this one is
  /// there, if it said so before that. Any thread.
  void assert_presence(std::uint64_t offset);

  /// The session's record was overwritten by a gateway that hung: writes it again. Any thread.
  void assert_session();

  /// Who is connected; constant from the connection's entry into the directory on.
  [[nodiscard]] const Visit& visit() const { return visit_; }

  /// The gateway is being stopped: takes nothing more, answers what was taken, then says goodbye. Any thread.
  void drain();

  /// Reads nothing more; what is in flight is still answered. On its thread.
  void stop_reading();

  /// What the device may do may be less than it was: asks the registry, and closes what may not go on. Any thread.
  void check_again();

  [[nodiscard]] std::size_t io_index() const override { return io_index_; }
  void settle(std::uint64_t token, const Outcome& outcome) override;
  void flush() override;

 private:
  using Clock = std::chrono::steady_clock;

  /// A CONNECT whose credentials are being checked. Its views are good: nothing is read or moved meanwhile.
  struct Asking {
    mqtt::ConnectRequested requested;
    Clock::time_point due;
    std::size_t rest = 0;  // bytes behind it in the input
  };
  /// A CONNECT that was let in and waits for its epoch.
  struct Pending {
    mqtt::ConnectSpec spec;
    std::string client_id;
    Clock::time_point due;
    bool read_up = false;  // all sessions that there are are known
    bool session_present = false;
  };
  /// Why it ends, for presence; the default is what nobody has said anything about.
  struct Leaving {
    DisconnectCause cause = DisconnectCause::kLost;
    std::string detail;
  };

  // mqtt_connection.cpp: bytes, time and the end
  void read();
  [[nodiscard]] bool make_room();
  void refuse_input();
  void own_input();
  void read_on();
  void process();
  void keep_rest(std::string_view rest);
  [[nodiscard]] bool handle(mqtt::Event& event);
  [[nodiscard]] bool must_wait();
  void write();
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() const;
  void arm_timer();
  void hasten_timer();
  void on_timer();
  void wake();
  void on_closed(const mqtt::Closed& closed);
  void leave_session(mqtt::Broker::Goodbye goodbye);
  void say_gone() const;
  [[nodiscard]] bool leave_if_answered();
  void check_validity();
  [[nodiscard]] bool is_deleted() const;
  void check_subscriptions();
  void close(mqtt::ReasonCode reason, std::string_view why, DisconnectCause cause);
  void begin_closing(mqtt::Broker::Goodbye goodbye);
  void end();

  // mqtt_connecting.cpp
  void on_connect(const mqtt::ConnectRequested& requested);
  void ask(const mqtt::ConnectRequested& requested);
  [[nodiscard]] Result<Shown> shown_by(const mqtt::Connect& connect);
  void on_admitted(const Authenticator::Admitted& admitted);
  [[nodiscard]] bool let_in(const Authenticator::Admitted& admitted);
  void go_on_connecting(const mqtt::ConnectRequested& requested);
  [[nodiscard]] bool check_will(const mqtt::Connect& connect);
  void request_epoch();
  void on_epoch(const Result<std::uint64_t>& epoch);
  void on_read_up();
  void establish_if_ready();
  [[nodiscard]] bool may_establish();
  void establish();
  void keep_session_then(void (MqttConnection::*next)());
  void finish_connect();
  void refuse_connect(mqtt::ReasonCode reason, std::string_view why,
                      std::span<const mqtt::UserProperty> properties = {});
  [[nodiscard]] mqtt::ConnectSpec connect_spec(const mqtt::ConnectRequested& requested, std::string_view client_id);
  [[nodiscard]] TopicPolicy policy();
  [[nodiscard]] bool may_hear(std::string_view filter);
  [[nodiscard]] std::string_view first_forbidden(const mqtt::StoredSession& session);
  [[nodiscard]] bool wants_receipts();

  // mqtt_limits.cpp
  [[nodiscard]] bool enter_limits(std::string_view client_id);
  void over_limit(const mqtt::Publish& publish, const OverLimit& over, const Identity& whose);
  void tell_errors(const OverLimit& over, const Identity& whose);
  void put_off(const mqtt::Publish& publish, const OverLimit& over);
  void try_again();
  [[nodiscard]] std::size_t share() const;

  // mqtt_messages.cpp
  void on_subscribe(const mqtt::SubscribeRequested& requested);
  void answer_kept(mqtt::PacketType type, std::uint16_t packet_id, std::vector<mqtt::ReasonCode> codes);
  void on_unsubscribe(const mqtt::Unsubscribe& unsubscribe);
  void on_publish(const mqtt::Publish& publish);
  void publish_locally(const mqtt::Publish& publish);
  void publish_as_device(const mqtt::Publish& publish);
  void ingest(const mqtt::Publish& publish, const TopicPolicy::Publishing& publishing);
  void refuse_publish(const mqtt::Publish& publish, mqtt::ReasonCode reason, std::string_view why, IngestResult result);
  void answer_refused(std::uint16_t packet_id, const Outcome& outcome);

  /// A message of a 3.1.1 client over a limit, which has no way to be told: it waits, and nothing behind it is read.
  struct PutOff {
    std::string topic;
    std::string payload;
    std::uint16_t packet_id = 0;
    mqtt::Qos qos = mqtt::Qos::kAtLeastOnce;
    bool dup = false;
    bool retain = false;
    Clock::time_point until;
  };

  MqttStream stream_;
  MqttPeer peer_;  // its chain until CONNECT is answered
  boost::asio::steady_timer timer_;
  std::size_t io_index_;
  MqttContext& context_;
  MqttAccess access_;
  mqtt::MemoryCharge input_memory_;  // of strangers, from CONNACK on of the session's owner
  mqtt::ServerConnection connection_;
  std::shared_ptr<const Identity> identity_;  // of a device; set once, before the connection is in the directory
  TopicRights rights_;                        // as of rights_generation_
  std::uint64_t rights_generation_ = 0;
  std::unique_ptr<Children> children_;  // made for the first message of one
  NameSpace* space_ = nullptr;
  std::shared_ptr<mqtt::Session> session_;  // from CONNACK on
  mqtt::Session::Attachment attachment_ = 0;
  std::string_view client_id_;  // the client's own; the end of the session's
  Visit visit_;
  std::unique_ptr<Asking> asking_;
  std::unique_ptr<Pending> pending_;
  TimeUs valid_until_us_ = kForEver;       // what it has shown
  std::optional<std::uint64_t> epoch_;     // in presence; none: not known yet, or the open listener
  std::atomic<std::uint64_t> newer_{0};    // greatest epoch of this client at another gateway
  std::atomic<std::uint64_t> gone_at_{0};  // last presence record that reports a connection of the device as gone
  Leaving leaving_;
  std::uint32_t expiry_s_ = 0;  // seconds that the session outlives the connection

  std::vector<char> input_;
  std::size_t filled_ = 0;
  std::string writing_;  // being written; the connection gathers the next output
  Clock::time_point write_began_{};
  std::size_t in_flight_bytes_ = 0;
  std::unique_ptr<PutOff> put_off_;
  Clock::time_point told_at_{};  // on the topic errors
  Limiter::Connection place_;    // among those that the device and its tenant may have
  std::uint64_t repeated_ = 0;
  std::atomic<bool> woken_{false};     // process() is on its way
  std::atomic<bool> checking_{false};  // what the device may do is looked at again soon
  bool receives_ = false;              // the session may have something for the client
  bool reading_ = false;
  bool write_pending_ = false;
  bool trying_again_ = false;
  bool unanswered_ = false;  // the last message was of QoS 0: nobody counts what is in flight of those
  bool held_ = false;
  bool draining_ = false;
  bool leaving_when_answered_ = false;
  bool asks_for_receipts_ = false;
  bool closing_ = false;  // it is over: close the socket when the output is written
  bool ended_ = false;
};

}  // namespace millrace::gateway
