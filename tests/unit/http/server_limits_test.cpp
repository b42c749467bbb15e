#include "server_fixture.hpp"

namespace millrace::http {
namespace {

using millrace::testing::eventually;
using millrace::testing::RawAnswer;
using millrace::testing::RawSocket;
using std::chrono::milliseconds;

struct Refusal {
  const char* what;
  std::string request;
  int status;
};

class RefusalTest : public ServerTest, public ::testing::WithParamInterface<Refusal> {};

TEST_P(RefusalTest, IsAnsweredAndTheConnectionClosed) {
  ServerSettings settings;
  settings.max_body_bytes = 1000;
  settings.max_header_bytes = 2000;
  start(settings);
  RawSocket client(server_->address());
  client.send(GetParam().request);
  const RawAnswer answer = client.answer();
  EXPECT_EQ(answer.status, GetParam().status) << answer.header << answer.body;
  EXPECT_TRUE(answer.has("Connection: close"));
  EXPECT_TRUE(answer.has("application/problem+json"));
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(refused().size(), 1U);
}

const std::string kPost = "POST /echo HTTP/1.1\r\nHost: a\r\n";

INSTANTIATE_TEST_SUITE_P(
    Requests, RefusalTest,
    ::testing::Values(
        Refusal{"NoLength", kPost + "\r\n", 411}, Refusal{"BodyTooLarge", kPost + "Content-Length: 1001\r\n\r\n", 413},
        Refusal{"HugeLength", kPost + "Content-Length: 99999999999999999999999\r\n\r\n", 400},
        Refusal{"ChunksTooLarge",
                kPost + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') + "\r\n0\r\n\r\n", 413},
        Refusal{"HeaderTooLarge", "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x') + "\r\n\r\n", 431},
        Refusal{"TargetTooLong", "GET /" + std::string(3000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        Refusal{"BothLengths", kPost + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        Refusal{"BothLengthsTurned", kPost + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
        Refusal{"TwoLengths", kPost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
        Refusal{"LengthList", kPost + "Content-Length: 3, 3\r\n\r\nabc", 400},
        Refusal{"SignedLength", kPost + "Content-Length: +3\r\n\r\nabc", 400},
        Refusal{"UnknownCoding", kPost + "Transfer-Encoding: gzip\r\n\r\n", 501},
        Refusal{"CodingList", kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
        Refusal{"ChunkedTwice", kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400},
        Refusal{"CodingInHttp10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        Refusal{"BadChunkSize", kPost + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        Refusal{"NoHost", "GET / HTTP/1.1\r\n\r\n", 400},
        Refusal{"TwoHosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        Refusal{"BareLineFeed", "GET / HTTP/1.1\nHost: a\n\n", 400},
        Refusal{"BareCarriageReturn", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400},
        Refusal{"BlankBeforeColon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        Refusal{"Http2Version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        Refusal{"NotHttp", "\x16\x03\x01\x02garbage\r\n\r\n", 400},
        Refusal{"UnknownExpectation", kPost + "Content-Length: 1\r\nExpect: magic\r\n\r\nx", 417},
        Refusal{"AbsoluteTarget", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400}),
    [](const auto& param) { return param.param.what; });

TEST_F(ServerTest, ARefusalWaitsForTheAnswersBeforeIt) {
  start();
  RawSocket client(server_->address());
  client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return kept() == 1 && refused().size() == 1; }));
  kept_[0].send({200, "text/plain", "x", {}});
  EXPECT_EQ(client.answer().status, 200);
  EXPECT_EQ(client.answer().status, 400);
  EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, AHeaderThatDoesNotEndIsA408) {
  ServerSettings settings;
  settings.header_timeout = milliseconds(100);
  start(settings);
  RawSocket client(server_->address());
  client.send("GET / HTTP/1.1\r\n");
  EXPECT_EQ(client.answer().status, 408);
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(refused().at(0), "header_timeout");
}

TEST_F(ServerTest, ABodyThatDoesNotEndIsA408) {
  ServerSettings settings;
  settings.body_timeout = milliseconds(100);
  start(settings);
  RawSocket client(server_->address());
  client.send(kPost + "Content-Length: 10\r\n\r\nabc");
  EXPECT_EQ(client.answer().status, 408);
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(refused().at(0), "body_timeout");
}

TEST_F(ServerTest, AnIdleConnectionIsClosedWithoutAWord) {
  ServerSettings settings;
  settings.idle_timeout = milliseconds(100);
  start(settings);
  RawSocket client(server_->address());
  client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.answer().status, 200);
  EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, AConnectionThatAwaitsItsAnswerIsNotIdle) {
  ServerSettings settings;
  settings.idle_timeout = milliseconds(50);
  start(settings);
  RawSocket client(server_->address());
  client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return kept() == 1; }));
  EXPECT_FALSE(client.fill(milliseconds(400)));
  kept_[0].send({200, "text/plain", "patient", {}});
  EXPECT_EQ(client.answer().body, "patient");
}

TEST_F(ServerTest, AClientThatDoesNotReadIsGivenUp) {
  ServerSettings settings;
  settings.write_timeout = milliseconds(200);
  start(settings);
  RawSocket client(server_->address());
  client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return kept() == 1; }));
  kept_[0].send({200, "text/plain", std::string(64 * 1024 * 1024, 'x'), {}});
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
}

TEST_F(ServerTest, TurnsAwayConnectionsBeyondTheLimit) {
  ServerSettings settings;
  settings.max_connections = 1;
  start(settings);
  RawSocket first(server_->address());
  first.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(first.answer().status, 200);
  RawSocket second(server_->address());
  EXPECT_TRUE(second.at_end());
  EXPECT_EQ(refused().at(0), "too_many_connections");
}

}  // namespace
}  // namespace millrace::http
