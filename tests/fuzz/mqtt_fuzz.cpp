// The codec and the server session under arbitrary bytes. The first byte chooses version and pace, the rest is the
// wire.
#include <variant>

#include <mqtt_packets.hpp>

#include <millrace/mqtt/server_session.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::mqtt;

constexpr std::uint32_t kMost = 1 << 16;

/// What decodes must encode, and decode again to the same bytes.
void check_codec(std::string_view input, Version version) {
  Frame frame;
  if (next_frame(input, kMost, frame).status != FrameStatus::kComplete) return;
  require(frame.size <= input.size(), "a complete frame lies within its input");
  Fault fault;
  const auto once = testing::recode(frame, version, fault);
  if (!once) {
    require(fault.rule != nullptr && is_failure(fault.code), "what does not decode has a fault");
    return;
  }
  Frame again;
  require(next_frame(*once, kMost + 16, again).status == FrameStatus::kComplete, "what was encoded is a frame");
  const auto twice = testing::recode(again, version, fault);
  require(twice && *twice == *once, "decoding what was encoded gives the same packet");
}

/// Feeds the bytes in pieces of `step` and returns all that could be seen from outside.
std::string run_session(std::string_view bytes, std::size_t step) {
  ServerOptions options;
  options.maximum_packet_size = kMost;
  options.receive_maximum = 3;
  TimePoint now{};
  ServerSession session(options, now);
  std::string seen;
  std::size_t fed = 0;
  std::size_t taken = 0;
  bool closed = false;
  while (fed < bytes.size() && !closed) {
    fed = std::min(bytes.size(), fed + step);
    std::string_view input = bytes.substr(taken, fed - taken);
    for (;;) {
      const Event event = session.next(input, now);
      if (std::holds_alternative<ConnectRequested>(event)) {
        seen += std::get<ConnectRequested>(event).connect.client_id;
        session.accept(now, {.assigned_client_id = "assigned"});
      } else if (const auto* received = std::get_if<PublishReceived>(&event)) {
        const Publish& publish = received->publish;
        require(valid_topic_name(publish.topic), "a published topic is a topic name");
        require(publish.qos != Qos::kExactlyOnce, "QoS 2 is not given to the owner");
        seen.append(publish.topic).append(publish.payload);
        // Every third message stays unanswered for a while, so that order and limits are met too.
        if (publish.packet_id % 3 != 0) session.puback(publish.packet_id);
      } else if (const auto* over = std::get_if<Closed>(&event)) {
        require(session.state() == SessionState::kClosed, "closed is closed");
        seen += over->rule;
        closed = true;
        break;
      } else {
        break;
      }
    }
    taken = fed - input.size();
    require(session.in_flight() <= options.receive_maximum, "never more in flight than the receive maximum");
    if (session.blocked()) break;
  }
  require(session.state() != SessionState::kAwaitingConnect || session.output().empty(),
          "nothing is said before CONNECT");
  return seen + '|' + session.output();
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  if (bytes.empty()) return;
  const auto choice = static_cast<std::uint8_t>(bytes[0]);
  bytes.remove_prefix(1);
  check_codec(bytes, (choice & 1) != 0 ? Version::k5 : Version::k311);
  const std::string at_once = run_session(bytes, bytes.size() + 1);
  require(run_session(bytes, 1 + (choice >> 1) % 16U) == at_once, "pieces of the stream do not change what is seen");
}

}  // namespace millrace::fuzz
