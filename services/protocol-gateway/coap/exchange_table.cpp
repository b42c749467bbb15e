#include "coap/exchange_table.hpp"

#include <cstring>

#include <millrace/base/digest.hpp>

namespace millrace::gateway {
namespace {

// RFC 7252 section 4.8.2, with the default transmission parameters.
constexpr std::chrono::seconds kExchangeLifetime{247};
constexpr std::chrono::seconds kNonLifetime{145};

}  // namespace

std::size_t CoapExchangeHash::operator()(const CoapExchangeKey& key) const {
  std::array<char, sizeof key.address + sizeof key.session + 4> bytes{};
  std::memcpy(bytes.data(), key.address.data(), key.address.size());
  std::memcpy(bytes.data() + 16, &key.session, sizeof key.session);
  std::memcpy(bytes.data() + 24, &key.port, sizeof key.port);
  std::memcpy(bytes.data() + 26, &key.message_id, sizeof key.message_id);
  return hash64({bytes.data(), bytes.size()});
}

void CoapExchangeTable::forget(std::deque<Due>& due) {
  const auto found = exchanges_.find(due.front().key);
  // Another one may have taken its place.
  if (found != exchanges_.end() && found->second.id == due.front().id) exchanges_.erase(found);
  due.pop_front();
}

void CoapExchangeTable::forget_until(Clock::time_point now) {
  for (auto* due : {&confirmable_, &other_}) {
    while (!due->empty() && due->front().time <= now) forget(*due);
  }
}

// By what is queued, which is never less than what is remembered.
void CoapExchangeTable::make_room() {
  while (confirmable_.size() + other_.size() >= most_) {
    const bool first = other_.empty() || (!confirmable_.empty() && confirmable_.front().id < other_.front().id);
    forget(first ? confirmable_ : other_);
  }
}

CoapExchangeTable::Look CoapExchangeTable::begin(const CoapExchangeKey& key, std::uint64_t fingerprint,
                                                 bool confirmable, Clock::time_point now) {
  forget_until(now);
  const auto known = exchanges_.find(key);
  if (known != exchanges_.end() && known->second.fingerprint == fingerprint) {
    const Exchange& exchange = known->second;
    return {exchange.id, true, exchange.answer ? &*exchange.answer : nullptr};
  }
  make_room();
  const std::uint64_t id = ++last_id_;
  exchanges_[key] = {id, fingerprint, std::nullopt};
  auto& due = confirmable ? confirmable_ : other_;
  due.push_back({now + (confirmable ? kExchangeLifetime : kNonLifetime), key, id});
  return {id, false, nullptr};
}

void CoapExchangeTable::finish(const CoapExchangeKey& key, std::uint64_t id, CoapAnswer answer) {
  const auto found = exchanges_.find(key);
  if (found != exchanges_.end() && found->second.id == id) found->second.answer = std::move(answer);
}

}  // namespace millrace::gateway
