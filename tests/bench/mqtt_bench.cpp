#include <benchmark/benchmark.h>

#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

namespace millrace::mqtt {
namespace {

constexpr std::uint16_t kBatch = 100;

std::string connect_bytes(Version version) {
  Connect connect;
  connect.version = version;
  connect.client_id = "meter-1";
  std::string bytes;
  encode(connect, bytes);
  return bytes;
}

std::string publish_bytes(Version version) {
  const std::string payload(200, 'x');
  std::string bytes;
  for (std::uint16_t id = 1; id <= kBatch; ++id) {
    encode(version, Publish{"devices/meter-1/telemetry", payload, Qos::kAtLeastOnce, false, false, id, {}}, bytes);
  }
  return bytes;
}

/// What the gateway pays per pipelined QoS 1 message: frame, decode, in-flight window, PUBACK (version 5: with
/// receipt).
void BM_ConnectionPublishQos1(benchmark::State& state) {
  const Version version = state.range(0) == 5 ? Version::k5 : Version::k311;
  const ServerOptions options;
  TimePoint now{};
  ServerConnection connection(options, now);
  const std::string connect = connect_bytes(version);
  std::string_view input = connect;
  benchmark::DoNotOptimize(connection.next(input, now));
  auto session = std::make_shared<Session>("meter-1", SessionLimits{});
  const auto attachment = session->attach({});
  if (!connection.accept(now, session, attachment)) state.SkipWithError("not accepted");
  const std::string bytes = publish_bytes(version);
  const UserProperty receipt{"receipt", "3:4711"};
  AckOptions answer;
  if (version == Version::k5) answer.user_properties = {&receipt, 1};
  std::int64_t acknowledged = 0;
  for (auto _ : state) {
    connection.output().clear();
    input = bytes;
    for (;;) {
      const Event event = connection.next(input, now);
      const auto* received = std::get_if<PublishReceived>(&event);
      if (received == nullptr) break;
      acknowledged += connection.acknowledge(received->publish.packet_id, answer) ? 1 : 0;
    }
  }
  if (acknowledged != state.iterations() * kBatch) state.SkipWithError("messages went missing");
  state.SetItemsProcessed(acknowledged);
}
BENCHMARK(BM_ConnectionPublishQos1)->Arg(4)->Arg(5);

void BM_DecodePublish(benchmark::State& state) {
  const Version version = state.range(0) == 5 ? Version::k5 : Version::k311;
  const std::string bytes = publish_bytes(version);
  for (auto _ : state) {
    std::string_view rest = bytes;
    Frame frame;
    Publish publish;
    while (next_frame(rest, 1 << 20, frame).status == FrameStatus::kComplete) {
      if (decode(frame, version, publish)) state.SkipWithError("malformed");
      benchmark::DoNotOptimize(publish);
      rest.remove_prefix(frame.size);
    }
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_DecodePublish)->Arg(4)->Arg(5);

void BM_EncodePublish(benchmark::State& state) {
  const std::string payload(200, 'x');
  std::string out;
  for (auto _ : state) {
    out.clear();
    for (std::uint16_t id = 1; id <= kBatch; ++id) {
      encode(Version::k311, Publish{"devices/meter-1/telemetry", payload, Qos::kAtLeastOnce, false, false, id, {}},
             out);
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_EncodePublish);

}  // namespace
}  // namespace millrace::mqtt
