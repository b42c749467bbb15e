#include <algorithm>
#include <mutex>
#include <utility>

#include <millrace/mqtt/session.hpp>

#include "outgoing_window.hpp"
#include "packet_id_set.hpp"
#include "ring.hpp"

namespace millrace::mqtt {
namespace {

using Phase = OutgoingWindow::Phase;
using Wake = std::shared_ptr<const std::function<void()>>;

/// The places of messages in the queue and in the window are counted by this many, so that a client that keeps up never
/// touches what all have in common. The first ones come with the session.
constexpr std::size_t kPlacesAtOnce = 8;
/// Of the message, see make_message(). Rings have up to as many places again that are empty.
constexpr std::size_t kPlaceBytes = 2 * sizeof(OutgoingWindow::Entry);

std::size_t place_bytes(std::size_t messages) {
  if (messages <= kPlacesAtOnce) return 0;
  return (messages + kPlacesAtOnce - 1) / kPlacesAtOnce * kPlacesAtOnce * kPlaceBytes;
}

bool expired(const Delivery& delivery, TimePoint now) {
  return delivery.message->expires_at && *delivery.message->expires_at <= now;
}

void call(const Wake& wake) {
  if (wake && *wake) (*wake)();
}

}  // namespace

struct Session::State {
  State(std::string id, SessionLimits bounds, std::shared_ptr<MemoryShare> memory)
      : client_id(std::move(id)), limits(bounds), places(std::move(memory)) {}

  const std::string client_id;
  const SessionLimits limits;

  mutable std::mutex mutex;
  Wake wake;
  Attachment attachments = 0;  // given so far
  Attachment present = 0;
  std::uint16_t receive_maximum = 65535;
  std::uint16_t counted = 0;     // sent over the present connection and not answered
  bool hungry = false;           // next_outgoing() has found the queue empty
  bool taking_waits = false;     // begin_taking() has said kUnsettled
  bool something_again = false;  // the window may hold what is to be sent again
  Ring<Delivery> queue;
  TimePoint first_expiry = TimePoint::max();  // no queued message expires before it
  OutgoingWindow window;
  std::size_t bytes = 0;
  MemoryCharge places;
  struct Incoming {
    PacketIdSet unsettled;
    PacketIdSet taken;
  };
  std::unique_ptr<Incoming> incoming;

  bool is_present(Attachment attachment) const { return attachment != 0 && attachment == present; }
  std::size_t messages() const { return queue.size() + window.unanswered(); }
  bool has_room(const Delivery& delivery);
  void leave_places();
  void drop_expired(TimePoint now);
  Delivery pop_queue();
  void finish(OutgoingWindow::Entry& entry);
  Outgoing next_again();
  Outgoing next_queued(TimePoint now);
  Wake end_taking(std::uint16_t packet_id);
  void shrink_incoming();
};

/// QoS 0 gets at most half the room: a flood of it must not end a session by leaving none for QoS 1 and 2.
bool Session::State::has_room(const Delivery& delivery) {
  const std::size_t part = delivery.qos == Qos::kAtMostOnce ? 2 : 1;
  if (messages() >= (limits.maximum_messages + part - 1) / part ||
      bytes + delivery.message->cost() > limits.maximum_bytes / part) {
    return false;
  }
  const std::size_t wanted = place_bytes(messages() + 1);
  return wanted <= places.bytes() || places.take(wanted - places.bytes());
}

void Session::State::leave_places() {
  const std::size_t wanted = place_bytes(messages());
  if (places.bytes() > wanted + kPlacesAtOnce * kPlaceBytes || wanted == 0) places.give_back(places.bytes() - wanted);
}

void Session::State::drop_expired(TimePoint now) {
  if (now < first_expiry) return;
  first_expiry = TimePoint::max();
  queue.remove_if([&](const Delivery& delivery) {
    if (!expired(delivery, now)) {
      if (delivery.message->expires_at) first_expiry = std::min(first_expiry, *delivery.message->expires_at);
      return false;
    }
    bytes -= delivery.message->cost();
    return true;
  });
  leave_places();
}

Delivery Session::State::pop_queue() {
  Delivery delivery = std::move(queue.front());
  queue.pop();
  bytes -= delivery.message->cost();
  if (delivery.qos == Qos::kAtMostOnce) leave_places();
  return delivery;
}

void Session::State::finish(OutgoingWindow::Entry& entry) {
  if (entry.counted) --counted;
  if (entry.delivery.message) bytes -= entry.delivery.message->cost();
  window.finish(entry);
  leave_places();
}

Session::Outgoing Session::State::next_again() {
  std::uint16_t id = 0;
  OutgoingWindow::Entry* entry = window.next_again(id);
  if (entry == nullptr) {
    something_again = false;
    return {};
  }
  if (entry->phase == Phase::kPubcomp) {
    entry->sent_here = true;
    return {Outgoing::Kind::kPubrel, id, false, {}};
  }
  if (counted >= receive_maximum) return {};
  entry->sent_here = entry->counted = true;
  ++counted;
  return {Outgoing::Kind::kPublish, id, true, entry->delivery};
}

Session::Outgoing Session::State::next_queued(TimePoint now) {
  while (!queue.empty() && expired(queue.front(), now)) {  // [MQTT-3.3.2-5]
    static_cast<void>(pop_queue());
    leave_places();
  }
  if (queue.empty()) {
    hungry = true;
    return {};
  }
  const Qos qos = queue.front().qos;
  if (qos == Qos::kAtMostOnce) return {Outgoing::Kind::kPublish, 0, false, pop_queue()};
  if (counted >= receive_maximum || window.full()) return {};  // [MQTT-3.3.4-9]
  Outgoing outgoing{Outgoing::Kind::kPublish, 0, false, pop_queue()};
  bytes += outgoing.delivery.message->cost();
  ++counted;
  outgoing.packet_id =
      window.push({qos == Qos::kAtLeastOnce ? Phase::kPuback : Phase::kPubrec, true, true, outgoing.delivery});
  return outgoing;
}

Session::Session(std::string client_id, SessionLimits limits, std::shared_ptr<MemoryShare> memory)
    : state_(std::make_unique<State>(std::move(client_id), limits, std::move(memory))) {}
Session::~Session() = default;

const std::string& Session::client_id() const { return state_->client_id; }
const std::shared_ptr<MemoryShare>& Session::memory() const { return state_->places.share(); }

Session::Attachment Session::attach(Link link) {
  auto wake = std::make_shared<const std::function<void()>>(std::move(link.wake));
  const std::scoped_lock lock(state_->mutex);
  state_->wake.swap(wake);
  state_->present = ++state_->attachments;
  state_->receive_maximum = link.receive_maximum;
  state_->counted = 0;
  state_->hungry = false;
  state_->taking_waits = false;
  state_->something_again = true;
  state_->window.begin_again();
  return state_->present;
}

void Session::detach(Attachment attachment) {
  Wake wake;  // what it holds is let go after the lock
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return;
  state_->present = 0;
  state_->wake.swap(wake);
  state_->queue.remove_if([&](const Delivery& delivery) {
    if (delivery.qos != Qos::kAtMostOnce) return false;
    state_->bytes -= delivery.message->cost();
    return true;
  });
  state_->leave_places();
}

bool Session::attached() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->present != 0;
}

Session::Offer Session::offer(Delivery delivery, TimePoint now) {
  Wake wake;
  {
    const std::scoped_lock lock(state_->mutex);
    const bool qos0 = delivery.qos == Qos::kAtMostOnce;
    if (qos0 && state_->present == 0) return Offer::kDropped;
    if (!state_->has_room(delivery)) {
      state_->drop_expired(now);
      if (!state_->has_room(delivery)) return qos0 ? Offer::kDropped : Offer::kOverflow;
    }
    state_->bytes += delivery.message->cost();
    if (delivery.message->expires_at) {
      state_->first_expiry = std::min(state_->first_expiry, *delivery.message->expires_at);
    }
    state_->queue.push(std::move(delivery));
    if (std::exchange(state_->hungry, false)) wake = state_->wake;
  }
  call(wake);
  return Offer::kQueued;
}

Session::Outgoing Session::next_outgoing(Attachment attachment, TimePoint now) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return {};
  if (state_->something_again) {
    Outgoing outgoing = state_->next_again();
    if (outgoing.kind != Outgoing::Kind::kNone || state_->something_again) return outgoing;
  }
  return state_->next_queued(now);
}

void Session::discard_outgoing(Attachment attachment, std::uint16_t packet_id) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return;
  if (auto* entry = state_->window.find(packet_id)) state_->finish(*entry);
}

bool Session::on_puback(Attachment attachment, std::uint16_t packet_id) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return false;
  auto* entry = state_->window.find(packet_id);
  if (entry == nullptr || entry->phase != Phase::kPuback) return false;
  state_->finish(*entry);
  return true;
}

bool Session::on_pubrec(Attachment attachment, std::uint16_t packet_id, ReasonCode reason) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return false;
  auto* entry = state_->window.find(packet_id);
  if (entry == nullptr || entry->phase == Phase::kPuback) return false;
  if (is_failure(reason)) {
    state_->finish(*entry);
    return true;
  }
  // [MQTT-4.3.3-6]: the message is the client's from here on and must not be sent again.
  if (entry->delivery.message) state_->bytes -= entry->delivery.message->cost();
  entry->delivery = {};
  entry->phase = Phase::kPubcomp;
  entry->sent_here = true;
  return true;
}

bool Session::on_pubcomp(Attachment attachment, std::uint16_t packet_id) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return false;
  auto* entry = state_->window.find(packet_id);
  if (entry == nullptr || entry->phase != Phase::kPubcomp) return false;
  state_->finish(*entry);
  return true;
}

Session::Taking Session::begin_taking(Attachment attachment, std::uint16_t packet_id) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment)) return Taking::kUnsettled;
  if (!state_->incoming) state_->incoming = std::make_unique<State::Incoming>();
  if (state_->incoming->taken.contains(packet_id)) return Taking::kTaken;
  if (state_->incoming->unsettled.insert(packet_id)) return Taking::kNew;
  state_->taking_waits = true;
  return Taking::kUnsettled;
}

/// Whom to wake, if anybody waits.
Wake Session::State::end_taking(std::uint16_t packet_id) {
  if (!incoming || !incoming->unsettled.erase(packet_id)) return nullptr;
  return std::exchange(taking_waits, false) ? wake : nullptr;
}

void Session::State::shrink_incoming() {
  if (incoming && incoming->taken.size() == 0 && incoming->unsettled.size() == 0) incoming.reset();
}

void Session::take(std::uint16_t packet_id) {
  Wake wake;
  {
    const std::scoped_lock lock(state_->mutex);
    wake = state_->end_taking(packet_id);
    if (!state_->incoming) state_->incoming = std::make_unique<State::Incoming>();
    state_->incoming->taken.insert(packet_id);
  }
  call(wake);
}

void Session::abandon(std::uint16_t packet_id) {
  Wake wake;
  {
    const std::scoped_lock lock(state_->mutex);
    wake = state_->end_taking(packet_id);
    state_->shrink_incoming();
  }
  call(wake);
}

bool Session::release(Attachment attachment, std::uint16_t packet_id) {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->is_present(attachment) || !state_->incoming || !state_->incoming->taken.erase(packet_id)) return false;
  state_->shrink_incoming();
  return true;
}

std::size_t Session::awaiting_release() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->incoming ? state_->incoming->taken.size() : 0;
}

std::vector<std::uint16_t> Session::unreleased(std::size_t most) const {
  std::vector<std::uint16_t> ids;
  const std::scoped_lock lock(state_->mutex);
  if (!state_->incoming) return ids;
  for (std::uint32_t id = 1; id <= 65535 && ids.size() < std::min(most, state_->incoming->taken.size()); ++id) {
    if (state_->incoming->taken.contains(static_cast<std::uint16_t>(id))) ids.push_back(static_cast<std::uint16_t>(id));
  }
  return ids;
}

Session::Load Session::load() const {
  const std::scoped_lock lock(state_->mutex);
  return {state_->queue.size(), state_->window.unanswered(), state_->bytes};
}

}  // namespace millrace::mqtt
