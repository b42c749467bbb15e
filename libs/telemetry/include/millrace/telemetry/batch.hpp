#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::telemetry {

/// JSON text, kept as it is.
struct Json {
  std::string text;
  bool operator==(const Json&) const = default;
};

/// Value of a point: finite double, int64, bool, UTF-8 text without NUL, or JSON.
using Value = std::variant<double, std::int64_t, bool, std::string, Json>;

struct Point {
  std::string metric;
  Value value;
  std::optional<TimeUs> time;  ///< given by the device for this point
  bool operator==(const Point&) const = default;
};

/// Numbers as in telemetry.v1.Protocol.
enum class Protocol : std::uint8_t {
  kUnspecified = 0,
  kMqtt311 = 1,
  kMqtt5 = 2,
  kHttp = 3,
  kCoap = 4,
  kLorawan = 5,
  kBridge = 6
};
[[nodiscard]] std::string_view to_string(Protocol protocol);

/// 128 random bits of the process start; the partition is the record's own.
using StartId = std::array<std::uint8_t, 16>;

struct IngestId {
  StartId start{};
  std::uint64_t counter = 0;  ///< from 1, in produce order within start and partition
  bool operator==(const IngestId&) const = default;
};

/// What the publisher's protocol says about repetition; see telemetry.proto.
struct DeliveryFacts {
  std::string publisher;
  std::string message_id;
  std::string client_id;
  std::uint64_t connection_epoch = 0;
  std::uint16_t packet_id = 0;
  bool dup = false;
  std::uint64_t payload_hash = 0;
  std::uint16_t coap_message_id = 0;
  std::string coap_token = {};  ///< 0 to 8 bytes
  bool coap_confirmable = false;
  bool operator==(const DeliveryFacts&) const = default;
};

/// The points come from a dead letter; see telemetry.proto. Receipts as text.
struct Replay {
  std::string dead_letter;
  std::string source;
  bool operator==(const Replay&) const = default;
};

/// One record of the topic `telemetry`: what one device message carried.
struct Batch {
  IngestId ingest_id;
  TimeUs ingest_time = 0;
  DeliveryFacts delivery;
  std::string tenant;
  std::string device;
  std::int32_t device_key = 0;
  Protocol protocol = Protocol::kUnspecified;
  std::uint8_t qos = 0;
  std::string topic;
  std::string traceparent;
  std::optional<TimeUs> event_time;  ///< for all points without a time of their own
  std::optional<Replay> replay;      ///< none: a device's message
  bool answer_when_stored = false;   ///< a gateway waits for the writer's position
  std::vector<Point> points;
  bool operator==(const Batch&) const = default;
};

/// Time of a point as the device gave it (its own, else the batch's); none: the platform stamps it.
[[nodiscard]] inline std::optional<TimeUs> device_time(const Batch& batch, const Point& point) {
  return point.time ? point.time : batch.event_time;
}

/// Turns batches into bytes and back. Keeps its protobuf message between calls, so that a thread with one codec
/// allocates nothing per record in the steady state. One thread at a time.
class BatchCodec {
 public:
  BatchCodec();
  ~BatchCodec();
  BatchCodec(BatchCodec&&) noexcept;
  BatchCodec& operator=(BatchCodec&&) noexcept;

  /// Replaces `out` by the encoded batch. The ingest counter may be set later with set_ingest_counter().
  void encode(const Batch& batch, std::string& out);

  /// Replaces `out` (its strings' and points' memory is reused). kCorrupt if the bytes are no batch.
  [[nodiscard]] Status decode(std::string_view bytes, Batch& out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Everything but the points, at a fraction of the price: reads up to the first point and stops. kCorrupt as decode().
[[nodiscard]] Status decode_facts(std::string_view bytes, Batch& out);

/// Overwrites the ingest counter of bytes made by BatchCodec::encode(): the counter is drawn under the partition's
/// lock, the encoding happens before it.
void set_ingest_counter(std::span<char> encoded, std::uint64_t counter);

}  // namespace millrace::telemetry
