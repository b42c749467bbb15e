#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include <millrace/telemetry/copy_rules.hpp>

namespace millrace::telemetry {

class StateReader;
class StateWriter;

/// Between what times and offsets a saved state lies.
struct StateFrame {
  std::int64_t next = 0;  ///< all offsets in it are smaller
  TimeUs log_time = 0;    ///< no time in it is greater
};

/// Whoever is authenticated as the sender: the publisher where it is named, else the device itself.
[[nodiscard]] std::uint64_t publisher_key(const Batch& facts);

/// Rule 0: which counters of which gateway starts have been seen.
class CounterMemory {
 public:
  explicit CounterMemory(const CopyLimits& limits) : limits_(limits) {}

  /// Offset of the record with this id if there was one; remembers the id otherwise.
  std::optional<std::int64_t> seen(const IngestId& id, std::int64_t offset, TimeUs log_time);

  void save(StateWriter& out, TimeUs log_time) const;
  /// Into an empty one. A fault is the reader's.
  void load(StateReader& in, const StateFrame& frame);

 private:
  struct Start {
    StartId id{};
    std::uint64_t highest = 0;
    TimeUs last_used = 0;
    std::vector<std::int64_t> offsets;  // ring by counter; -1: not seen; a power of two long
  };
  static void save_ring(StateWriter& out, const Start& start);
  void load_ring(StateReader& in, Start& start, const StateFrame& frame) const;
  Start& start_of(const StartId& id, TimeUs log_time);
  void advance(Start& start, std::uint64_t counter) const;

  CopyLimits limits_;
  std::list<Start> starts_;  // most recently used first
};

/// Rule 1: explicit ids of each publisher.
class IdMemory {
 public:
  explicit IdMemory(const CopyLimits& limits) : limits_(limits) {}

  struct Answer {
    std::optional<std::int64_t> original;
    bool other_payload = false;
  };
  Answer seen(std::uint64_t publisher, const DeliveryFacts& facts, std::int64_t offset, TimeUs log_time);
  void forget_before(TimeUs log_time);
  void save(StateWriter& out, TimeUs log_time) const;
  void load(StateReader& in, const StateFrame& frame);

 private:
  // 24 bytes: offset and hour share a word.
  struct Entry {
    std::uint64_t id;
    std::uint64_t payload;
    std::uint64_t where;
  };
  struct Publisher {
    void save(StateWriter& out, TimeUs log_time, std::uint64_t most_hours) const;
    void load(StateReader& in, const StateFrame& frame, const CopyLimits& limits);

    std::vector<Entry> ring;
    std::uint32_t next = 0;
    TimeUs last_used = 0;
  };

  CopyLimits limits_;
  std::unordered_map<std::uint64_t, Publisher> publishers_;
};

/// Rule 2: the last PUBLISHes of each MQTT client.
class MqttMemory {
 public:
  explicit MqttMemory(const CopyLimits& limits) : limits_(limits) {}

  struct Answer {
    std::optional<std::int64_t> original;
    bool without_proof = false;
  };
  Answer seen(std::uint64_t publisher, const DeliveryFacts& facts, std::int64_t offset, TimeUs log_time);
  void forget_before(TimeUs log_time);
  void save(StateWriter& out, TimeUs log_time) const;
  void load(StateReader& in, const StateFrame& frame);

 private:
  // 16 bytes: 48 bits of the payload hash and the packet id; 44 bits of offset, 19 bits of time in eighths of a second
  // (enough to order two minutes), the DUP flag.
  struct Record {
    std::uint64_t what;
    std::uint64_t where;
  };
  struct Connection {
    void save(StateWriter& out, std::int64_t& offset, const CopyLimits& limits) const;
    void load(StateReader& in, std::int64_t& offset, const StateFrame& frame, const CopyLimits& limits);

    void push(const Record& record);
    /// The last one with this packet id among the newest `most`; null: there is none.
    [[nodiscard]] const Record* last_with(std::uint16_t packet_id, std::size_t most) const;

    std::uint64_t epoch = 0;
    TimeUs last = 0;
    std::vector<Record> records;  // oldest first
    // So many of the newest have packet ids that follow each other, as most clients count them: where an id is among
    // them needs no search.
    std::uint32_t counted = 0;
  };
  struct Client {
    void save(StateWriter& out, TimeUs log_time, const CopyLimits& limits) const;
    void load(StateReader& in, const StateFrame& frame, const CopyLimits& limits);

    std::vector<Connection> connections;  // by epoch
    TimeUs last_used = 0;
    bool repeats_without_dup = false;
  };
  struct Found {
    const Connection* connection = nullptr;
    Record record{};
  };
  [[nodiscard]] Found last_with_packet_id(const Client& client, std::uint16_t packet_id) const;
  void trim(Connection& connection) const;
  void remember(Client& client, const DeliveryFacts& facts, std::int64_t original, TimeUs log_time) const;

  CopyLimits limits_;
  std::unordered_map<std::uint64_t, Client> clients_;
};

/// Rule 3: the last CoAP requests of each publisher.
class CoapMemory {
 public:
  explicit CoapMemory(const CopyLimits& limits) : limits_(limits) {}

  std::optional<std::int64_t> seen(std::uint64_t publisher, const DeliveryFacts& facts, std::int64_t offset,
                                   TimeUs log_time);
  void forget_before(TimeUs log_time);
  void save(StateWriter& out, TimeUs log_time) const;
  void load(StateReader& in, const StateFrame& frame);

 private:
  // 16 bytes: 48 bits of a hash of token, payload and kind and the message id; 44 bits of offset, 19 bits of time in
  // eighths of a second.
  struct Record {
    std::uint64_t what;
    std::uint64_t where;
  };
  struct Publisher {
    void save(StateWriter& out, TimeUs log_time) const;
    void load(StateReader& in, const StateFrame& frame, const CopyLimits& limits);

    std::vector<Record> records;  // oldest first
    TimeUs last_used = 0;
  };
  void trim(Publisher& publisher, TimeUs log_time) const;

  CopyLimits limits_;
  std::unordered_map<std::uint64_t, Publisher> publishers_;
};

}  // namespace millrace::telemetry
