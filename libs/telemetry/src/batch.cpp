#include <cstring>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/v1/telemetry.pb.h>
#include <millrace/telemetry/value_proto.hpp>

namespace millrace::telemetry {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Where the counter stands in an encoded batch: tag and length of ingest_id (2), tag and length of start (2), start
// (16), tag of counter (1). Field 1 is always first and the counter is never 0 when encoded.
constexpr std::size_t kCounterAt = 2 + 2 + 16 + 1;

bool ingest_id_from_proto(const v1::IngestId& id, IngestId& out) {
  if (id.start().size() != out.start.size()) return false;
  std::memcpy(out.start.data(), id.start().data(), out.start.size());
  out.counter = id.counter();
  return true;
}

void delivery_from_proto(const v1::DeliveryFacts& facts, DeliveryFacts& out) {
  out.publisher = facts.publisher();
  out.message_id = facts.message_id();
  out.client_id = facts.client_id();
  out.connection_epoch = facts.connection_epoch();
  out.packet_id = static_cast<std::uint16_t>(facts.packet_id());
  out.dup = facts.dup();
  out.payload_hash = facts.payload_hash();
  out.coap_message_id = static_cast<std::uint16_t>(facts.coap_message_id());
  out.coap_token = facts.coap_token();
  out.coap_confirmable = facts.coap_confirmable();
}

Error corrupt(std::string_view what) {
  return Error{ErrorKind::kCorrupt, "not a telemetry batch: " + std::string(what)};
}

// From the bytes themselves, which lie in one piece: a stream within the stream costs more than what it reads.
template <typename Message>
bool read_message(CodedInputStream& in, Message& message) {
  std::uint32_t length = 0;
  if (!in.ReadVarint32(&length)) return false;
  const void* bytes = nullptr;
  int available = 0;
  if (length == 0) return message.ParseFromArray(nullptr, 0);
  if (!in.GetDirectBufferPointer(&bytes, &available) || length > static_cast<std::uint32_t>(available)) return false;
  return message.ParseFromArray(bytes, static_cast<int>(length)) && in.Skip(static_cast<int>(length));
}

bool read_string(CodedInputStream& in, std::string& out) {
  std::uint32_t length = 0;
  return in.ReadVarint32(&length) && in.ReadString(&out, static_cast<int>(length));
}

// Whether a known field comes in the form that its type has; unknown ones may come in any.
bool has_its_type(std::uint32_t tag) {
  const auto type = WireFormatLite::GetTagWireType(tag);
  switch (WireFormatLite::GetTagFieldNumber(tag)) {
    case v1::TelemetryBatch::kIngestIdFieldNumber:
    case v1::TelemetryBatch::kDeliveryFieldNumber:
    case v1::TelemetryBatch::kTenantFieldNumber:
    case v1::TelemetryBatch::kDeviceFieldNumber:
    case v1::TelemetryBatch::kTopicFieldNumber:
    case v1::TelemetryBatch::kTraceparentFieldNumber:
    case v1::TelemetryBatch::kReplayFieldNumber:
    case v1::TelemetryBatch::kPointsFieldNumber:
      return type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    case v1::TelemetryBatch::kIngestTimeUsFieldNumber:
    case v1::TelemetryBatch::kDeviceKeyFieldNumber:
    case v1::TelemetryBatch::kProtocolFieldNumber:
    case v1::TelemetryBatch::kQosFieldNumber:
    case v1::TelemetryBatch::kEventTimeUsFieldNumber:
    case v1::TelemetryBatch::kAnswerWhenStoredFieldNumber:
      return type == WireFormatLite::WIRETYPE_VARINT;
    default:
      return true;
  }
}

// One field before the points; false if the bytes are wrong.
bool read_fact(CodedInputStream& in, std::uint32_t tag, Batch& out) {
  if (!has_its_type(tag)) return false;
  std::uint64_t number = 0;
  switch (WireFormatLite::GetTagFieldNumber(tag)) {
    case v1::TelemetryBatch::kIngestIdFieldNumber: {
      thread_local v1::IngestId id;
      return read_message(in, id) && ingest_id_from_proto(id, out.ingest_id);
    }
    case v1::TelemetryBatch::kDeliveryFieldNumber: {
      thread_local v1::DeliveryFacts facts;
      if (!read_message(in, facts)) return false;
      delivery_from_proto(facts, out.delivery);
      return true;
    }
    case v1::TelemetryBatch::kIngestTimeUsFieldNumber:
      if (!in.ReadVarint64(&number)) return false;
      out.ingest_time = WireFormatLite::ZigZagDecode64(number);
      return true;
    case v1::TelemetryBatch::kTenantFieldNumber:
      return read_string(in, out.tenant);
    case v1::TelemetryBatch::kDeviceFieldNumber:
      return read_string(in, out.device);
    case v1::TelemetryBatch::kDeviceKeyFieldNumber:
      if (!in.ReadVarint64(&number)) return false;
      out.device_key = static_cast<std::int32_t>(number);
      return true;
    case v1::TelemetryBatch::kProtocolFieldNumber:
      if (!in.ReadVarint64(&number)) return false;
      out.protocol = static_cast<Protocol>(number);
      return true;
    case v1::TelemetryBatch::kQosFieldNumber:
      if (!in.ReadVarint64(&number)) return false;
      out.qos = static_cast<std::uint8_t>(number);
      return true;
    case v1::TelemetryBatch::kTopicFieldNumber:
      return read_string(in, out.topic);
    case v1::TelemetryBatch::kTraceparentFieldNumber:
      return read_string(in, out.traceparent);
    case v1::TelemetryBatch::kEventTimeUsFieldNumber:
      if (!in.ReadVarint64(&number)) return false;
      out.event_time = WireFormatLite::ZigZagDecode64(number);
      return true;
    case v1::TelemetryBatch::kReplayFieldNumber: {
      v1::Replay replay;
      if (!read_message(in, replay)) return false;
      out.replay = Replay{replay.dead_letter(), replay.source()};
      return true;
    }
    case v1::TelemetryBatch::kAnswerWhenStoredFieldNumber:
      if (!in.ReadVarint64(&number)) return false;
      out.answer_when_stored = number != 0;
      return true;
    default:
      return WireFormatLite::SkipField(&in, tag);
  }
}

// Everything before the points, whose first tag it returns (0: there are none). One reader for the whole batch and for
// the facts alone, so that both always say the same of a record.
Result<std::uint32_t> read_facts(CodedInputStream& in, Batch& out) {
  out.ingest_id = {};
  out.ingest_time = 0;
  out.delivery = {};
  out.tenant.clear();
  out.device.clear();
  out.device_key = 0;
  out.protocol = Protocol::kUnspecified;
  out.qos = 0;
  out.topic.clear();
  out.traceparent.clear();
  out.event_time.reset();
  out.replay.reset();
  out.answer_when_stored = false;
  bool has_id = false;
  std::uint32_t tag = 0;
  while ((tag = in.ReadTag()) != 0) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    if (field == v1::TelemetryBatch::kPointsFieldNumber) break;
    if (!read_fact(in, tag, out)) return corrupt("a field before the points is cut or of another type");
    has_id = has_id || field == v1::TelemetryBatch::kIngestIdFieldNumber;
  }
  if (tag == 0 && !in.ConsumedEntireMessage()) return corrupt("not the protocol buffer");
  if (!has_id) return corrupt("no ingest id before the points");
  return tag;
}

void points_to_proto(const std::vector<Point>& points, google::protobuf::RepeatedPtrField<v1::Point>& out) {
  const int count = static_cast<int>(points.size());
  while (out.size() > count) out.RemoveLast();
  for (int i = 0; i < count; ++i) {
    const Point& point = points[static_cast<std::size_t>(i)];
    v1::Point& target = i < out.size() ? *out.Mutable(i) : *out.Add();
    target.set_metric(point.metric);
    to_proto(point.value, *target.mutable_value());
    target.clear_time_us();
    if (point.time) target.set_time_us(*point.time);
  }
}

}  // namespace

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::kUnspecified:
      return "unspecified";
    case Protocol::kMqtt311:
      return "mqtt311";
    case Protocol::kMqtt5:
      return "mqtt5";
    case Protocol::kHttp:
      return "http";
    case Protocol::kCoap:
      return "coap";
    case Protocol::kLorawan:
      return "lorawan";
    case Protocol::kBridge:
      return "bridge";
  }
  return "unspecified";
}

struct BatchCodec::Impl {
  v1::TelemetryBatch message;
  v1::Point point;
};

BatchCodec::BatchCodec() : impl_(std::make_unique<Impl>()) {}
BatchCodec::~BatchCodec() = default;
BatchCodec::BatchCodec(BatchCodec&&) noexcept = default;
BatchCodec& BatchCodec::operator=(BatchCodec&&) noexcept = default;

void BatchCodec::encode(const Batch& batch, std::string& out) {
  // Every field is overwritten. Clear() would free the messages within, to be made again for each batch.
  v1::TelemetryBatch& message = impl_->message;
  message.mutable_ingest_id()->set_start(batch.ingest_id.start.data(), batch.ingest_id.start.size());
  // Zero would be left out of the bytes, and set_ingest_counter() needs its place.
  message.mutable_ingest_id()->set_counter(batch.ingest_id.counter == 0 ? 1 : batch.ingest_id.counter);
  message.set_ingest_time_us(batch.ingest_time);
  v1::DeliveryFacts& facts = *message.mutable_delivery();
  facts.set_publisher(batch.delivery.publisher);
  facts.set_message_id(batch.delivery.message_id);
  facts.set_client_id(batch.delivery.client_id);
  facts.set_connection_epoch(batch.delivery.connection_epoch);
  facts.set_packet_id(batch.delivery.packet_id);
  facts.set_dup(batch.delivery.dup);
  facts.set_payload_hash(batch.delivery.payload_hash);
  facts.set_coap_message_id(batch.delivery.coap_message_id);
  facts.set_coap_token(batch.delivery.coap_token);
  facts.set_coap_confirmable(batch.delivery.coap_confirmable);
  message.set_tenant(batch.tenant);
  message.set_device(batch.device);
  message.set_device_key(batch.device_key);
  message.set_protocol(static_cast<v1::Protocol>(batch.protocol));
  message.set_qos(batch.qos);
  message.set_topic(batch.topic);
  message.set_traceparent(batch.traceparent);
  message.clear_event_time_us();
  if (batch.event_time) message.set_event_time_us(*batch.event_time);
  message.clear_replay();
  if (batch.replay) {
    message.mutable_replay()->set_dead_letter(batch.replay->dead_letter);
    message.mutable_replay()->set_source(batch.replay->source);
  }
  message.set_answer_when_stored(batch.answer_when_stored);
  points_to_proto(batch.points, *message.mutable_points());
  message.SerializeToString(&out);
}

Status BatchCodec::decode(std::string_view bytes, Batch& out) {
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  const auto first = read_facts(in, out);
  if (!first) return first.error();
  std::size_t count = 0;
  for (std::uint32_t tag = *first; tag != 0; tag = in.ReadTag()) {
    if (const int field = WireFormatLite::GetTagFieldNumber(tag); field != v1::TelemetryBatch::kPointsFieldNumber) {
      // Whoever reads the facts alone would not see it there. A field of later versions may stand anywhere.
      if (field < v1::TelemetryBatch::kPointsFieldNumber) return corrupt("a fact behind the points");
      if (!WireFormatLite::SkipField(&in, tag)) return corrupt("a field behind the points is cut");
      continue;
    }
    v1::Point& point = impl_->point;
    if (!has_its_type(tag) || !read_message(in, point)) return corrupt("a point is cut or of another type");
    if (count == out.points.size()) out.points.emplace_back();
    Point& target = out.points[count++];
    target.metric = point.metric();
    if (!from_proto(point.value(), target.value)) return corrupt("a point has no value");
    target.time.reset();
    if (point.has_time_us()) target.time = point.time_us();
  }
  out.points.resize(count);
  if (!in.ConsumedEntireMessage()) return corrupt("not the protocol buffer");
  return {};
}

Status decode_facts(std::string_view bytes, Batch& out) {
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  out.points.clear();
  const auto first = read_facts(in, out);
  return first ? Status{} : Status{first.error()};
}

void set_ingest_counter(std::span<char> encoded, std::uint64_t counter) {
  // Little-endian, as protobuf's fixed64.
  for (std::size_t i = 0; i < 8; ++i) encoded[kCounterAt + i] = static_cast<char>((counter >> (8 * i)) & 0xffU);
}

}  // namespace millrace::telemetry
