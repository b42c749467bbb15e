// What the hot path and idle connections may cost in memory.
#include <cstdlib>
#include <new>

#include "connection_harness.hpp"

namespace {

thread_local std::size_t allocations = 0;
thread_local std::size_t allocated_bytes = 0;

}  // namespace

// Not inlined: GCC would see malloc() and free() through one of a pair only and take them for mismatched.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  allocated_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace millrace::mqtt {
namespace {

using testing::Wire;

TEST(Allocation, NonePerPublishOfQos0And1) {
  for (const Version version : {Version::k311, Version::k5}) {
    for (const Qos qos : {Qos::kAtMostOnce, Qos::kAtLeastOnce}) {
      Wire wire;
      wire.connect_and_accept(version);
      std::string bytes;
      for (std::uint16_t id = 1; id <= 100; ++id) {
        encode(version, Publish{"devices/m/telemetry", "payload", qos, false, false, id, {}}, bytes);
      }
      const UserProperty receipt{"receipt", "3:4711"};
      const auto round = [&] {
        std::size_t taken = 0;
        wire.connection.output().clear();
        std::string_view input = bytes;
        for (;;) {
          const Event event = wire.connection.next(input, wire.now);
          const auto* received = std::get_if<PublishReceived>(&event);
          if (received == nullptr) break;
          ++taken;
          if (qos == Qos::kAtMostOnce) continue;
          wire.connection.acknowledge(received->publish.packet_id, {ReasonCode::kSuccess, {}, {&receipt, 1}});
        }
        wire.connection.pump(wire.now);
        return taken;
      };
      ASSERT_EQ(round(), 100U);
      const std::size_t before = allocations;
      const std::size_t taken = round();
      EXPECT_EQ(allocations, before);
      EXPECT_EQ(taken, 100U);
    }
  }
}

TEST(Allocation, AnIdleConnectionAndItsSessionAreSmall) {
  const ServerOptions options;
  const std::size_t before = allocated_bytes;
  const auto session = std::make_shared<Session>("a-client-id-of-23-bytes", SessionLimits{});
  const auto attachment = session->attach({});
  const auto connection = std::make_unique<ServerConnection>(options, TimePoint{});
  std::string connect;
  Connect packet;
  packet.client_id = "a-client-id-of-23-bytes";
  encode(packet, connect);
  std::string_view input = connect;
  ASSERT_TRUE(std::holds_alternative<ConnectRequested>(connection->next(input, TimePoint{})));
  ASSERT_TRUE(connection->accept(TimePoint{}, session, attachment));
  connection->pump(TimePoint{});
  EXPECT_LT(allocated_bytes - before, 1200U);
}

}  // namespace
}  // namespace millrace::mqtt
