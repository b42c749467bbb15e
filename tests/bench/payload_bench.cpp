// What it costs to decode and validate a payload, per point, in each format; the targets are in docs/benchmarks.md.
#include <charconv>
#include <functional>

#include <benchmark/benchmark.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <millrace/base/digest.hpp>
#include <millrace/telemetry/message_schema.hpp>
#include <millrace/telemetry/payload.hpp>
#include <millrace/telemetry/v1/readings.pb.h>

namespace millrace::telemetry {
namespace {

constexpr const char* kMetrics[] = {"temperature", "humidity", "pressure", "battery", "rssi"};
constexpr TimeUs kTime = 1'782'907'200'123'000;

std::string real(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}
double value_of(std::int64_t index) { return 20 + static_cast<double>(index % 97) * 0.25; }
std::string metric_of(std::int64_t index) {
  // The names of a message are different ones, as those of a device are.
  const auto at = static_cast<std::size_t>(index);
  return kMetrics[at % std::size(kMetrics)] + (at < std::size(kMetrics) ? "" : std::to_string(at));
}

std::string json(std::int64_t points) {
  std::string out = R"({"ts":)" + std::to_string(kTime / 1000);
  for (std::int64_t i = 0; i < points; ++i) out += ",\"" + metric_of(i) + "\":" + real(value_of(i));
  return out + "}";
}

std::string senml_json(std::int64_t points) {
  std::string out = R"([{"bn":"m-1:","bt":)" + real(static_cast<double>(kTime) / 1e6) + ",";
  for (std::int64_t i = 0; i < points; ++i)
    out += (i == 0 ? "" : ",{") + ("\"n\":\"" + metric_of(i)) + "\",\"v\":" + real(value_of(i)) + "}";
  return out + "]";
}

void put(std::string& out, unsigned major, std::uint64_t argument) {
  const auto head = static_cast<char>(major << 5U);
  if (argument < 24) {
    out += static_cast<char>(static_cast<unsigned>(head) | argument);
  } else if (argument < 256) {
    out += static_cast<char>(static_cast<unsigned>(head) | 24U);
    out += static_cast<char>(argument);
  } else {
    out += static_cast<char>(static_cast<unsigned>(head) | 25U);
    out += static_cast<char>(argument >> 8U);
    out += static_cast<char>(argument & 0xffU);
  }
}
void put_text(std::string& out, std::string_view text) {
  put(out, 3, text.size());
  out += text;
}
void put_real(std::string& out, double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  out += '\xfb';
  for (unsigned shift = 64; shift > 0;) out += static_cast<char>(bits >> (shift -= 8U) & 0xffU);
}

std::string senml_cbor(std::int64_t points) {
  std::string out;
  put(out, 4, static_cast<std::uint64_t>(points));
  for (std::int64_t i = 0; i < points; ++i) {
    put(out, 5, i == 0 ? 4 : 2);
    if (i == 0) {
      put(out, 1, 1);  // bn
      put_text(out, "m-1:");
      put(out, 1, 2);  // bt
      put_real(out, static_cast<double>(kTime) / 1e6);
    }
    put(out, 0, 0);  // n
    put_text(out, metric_of(i));
    put(out, 0, 2);  // v
    put_real(out, value_of(i));
  }
  return out;
}

std::string cbor(std::int64_t points) {
  std::string out;
  put(out, 5, static_cast<std::uint64_t>(points) + 1);
  put_text(out, "ts");
  put_real(out, static_cast<double>(kTime) / 1e6);
  for (std::int64_t i = 0; i < points; ++i) {
    put_text(out, metric_of(i));
    put_real(out, value_of(i));
  }
  return out;
}

std::string protobuf(std::int64_t points) {
  v1::Readings readings;
  readings.set_time_us(kTime);
  for (std::int64_t i = 0; i < points; ++i) {
    v1::Point& point = *readings.add_points();
    point.set_metric(metric_of(i));
    point.mutable_value()->set_double_value(value_of(i));
  }
  return readings.SerializeAsString();
}

/// Of a device type: a message with a field for the time and one for each point.
google::protobuf::FileDescriptorSet descriptor(std::int64_t points) {
  using google::protobuf::FieldDescriptorProto;
  google::protobuf::FileDescriptorSet set;
  auto& file = *set.add_file();
  file.set_name("reading.proto");
  file.set_syntax("proto2");
  auto& message = *file.add_message_type();
  message.set_name("Reading");
  const auto add = [&message](const std::string& name, FieldDescriptorProto::Type type) {
    auto& field = *message.add_field();
    field.set_name(name);
    field.set_number(message.field_size());
    field.set_type(type);
    field.set_label(FieldDescriptorProto::LABEL_OPTIONAL);
  };
  add("ts", FieldDescriptorProto::TYPE_INT64);
  for (std::int64_t i = 0; i < points; ++i) add(metric_of(i), FieldDescriptorProto::TYPE_DOUBLE);
  return set;
}

std::string message(std::int64_t points) {
  google::protobuf::DescriptorPool pool;
  pool.BuildFile(descriptor(points).file(0));
  google::protobuf::DynamicMessageFactory factory;
  const auto* type = pool.FindMessageTypeByName("Reading");
  const std::unique_ptr<google::protobuf::Message> reading(factory.GetPrototype(type)->New());
  reading->GetReflection()->SetInt64(reading.get(), type->field(0), kTime);
  for (int i = 0; i < points; ++i) reading->GetReflection()->SetDouble(reading.get(), type->field(i + 1), value_of(i));
  return reading->SerializeAsString();
}

void run(benchmark::State& state, PayloadFormat format, const std::function<std::string(std::int64_t)>& make,
         const MessageSchema* schema = nullptr) {
  const std::string payload = make(state.range(0));
  PayloadDecoder decoder;
  Batch batch;
  const DecodeOptions options{"m-1", "", "", kTime, schema};
  for (auto _ : state) {
    if (const auto error = decoder.decode(format, payload, options, batch)) {
      state.SkipWithError(error->message.c_str());
      return;
    }
    benchmark::DoNotOptimize(batch.points.data());
  }
  if (batch.points.size() != static_cast<std::size_t>(state.range(0))) state.SkipWithError("points went missing");
  const auto points = static_cast<double>(state.iterations() * state.range(0));
  // In units of a second, so that the console shows ns: CPU time by the point.
  state.counters["per_point"] = benchmark::Counter(points, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["bytes"] = static_cast<double>(payload.size());
}

#define MILLRACE_PAYLOAD_BENCH(name, format, make)                                \
  void name(benchmark::State& state) { run(state, PayloadFormat::format, make); } \
  BENCHMARK(name)->Arg(3)->Arg(30)->Arg(300)
MILLRACE_PAYLOAD_BENCH(BM_Json, kJson, json);
MILLRACE_PAYLOAD_BENCH(BM_Cbor, kCbor, cbor);
MILLRACE_PAYLOAD_BENCH(BM_SenmlJson, kSenmlJson, senml_json);
MILLRACE_PAYLOAD_BENCH(BM_SenmlCbor, kSenmlCbor, senml_cbor);
MILLRACE_PAYLOAD_BENCH(BM_Protobuf, kProtobuf, protobuf);
#undef MILLRACE_PAYLOAD_BENCH

void BM_RegisteredMessage(benchmark::State& state) {
  const auto schema = MessageSchema::build(descriptor(state.range(0)).SerializeAsString(), "Reading");
  if (!schema) return state.SkipWithError(schema.error().message.c_str());
  run(state, PayloadFormat::kProtobuf, message, schema->get());
}
BENCHMARK(BM_RegisteredMessage)->Arg(3)->Arg(30)->Arg(300);

}  // namespace
}  // namespace millrace::telemetry
