// Answers that come in pieces.
#include <atomic>

#include "server_fixture.hpp"

namespace millrace::http {
namespace {

using millrace::testing::eventually;
using millrace::testing::RawAnswer;
using millrace::testing::RawSocket;

const std::string kGet = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";

class BodyTest : public ServerTest {
 protected:
  /// The answer to the only request that waits.
  BodyStream begin() {
    EXPECT_TRUE(eventually([this] { return kept() == 1; }));
    BodyEvents events;
    events.written = [this] { ++written_; };
    events.gone = [this] { gone_ = true; };
    const std::lock_guard lock(mutex_);
    const Responder responder = kept_.front();
    kept_.clear();
    return responder.stream({200, "text/plain", "", {{"X-Of", "the head"}}}, std::move(events));
  }

  std::atomic<int> written_ = 0;
  std::atomic<bool> gone_ = false;
};

/// Without the sizes of the chunks; `whole` says whether the last one came.
std::string unchunked(std::string_view text, bool& whole) {
  std::string out;
  whole = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t line = text.find("\r\n", at);
    if (line == std::string::npos) return out;
    const std::size_t size = std::strtoul(std::string(text.substr(at, line - at)).c_str(), nullptr, 16);
    whole = size == 0;
    if (whole) return out;
    out += text.substr(line + 2, size);
    at = line + 4 + size;
  }
  return out;
}

TEST_F(BodyTest, PiecesComeAsTheyAreGivenAndTheConnectionGoesOn) {
  start();
  RawSocket client(server_->address());
  client.send(kGet);
  const BodyStream body = begin();
  RawAnswer answer = client.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.has("Transfer-Encoding: chunked"));
  EXPECT_TRUE(answer.has("X-Of: the head"));
  EXPECT_FALSE(answer.has("Content-Length"));
  body.write("one");
  ASSERT_TRUE(eventually([this] { return written_ == 1; }));
  while (client.buffer() != "3\r\none\r\n" && client.fill()) {
  }
  body.write("and two");
  ASSERT_TRUE(eventually([this] { return written_ == 2; }));
  body.end();
  client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  while (client.buffer().find("0\r\n\r\n") == std::string::npos && client.fill()) {
  }
  EXPECT_EQ(client.buffer().substr(0, 25), "3\r\none\r\n7\r\nand two\r\n0\r\n\r\n");
  client.buffer().erase(0, 25);
  EXPECT_EQ(client.answer().body, "GET /echo ");
  EXPECT_FALSE(gone_);
}

TEST_F(BodyTest, ToHttp10TheBodyEndsWithTheConnection) {
  start();
  RawSocket client(server_->address());
  client.send("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const BodyStream body = begin();
  const RawAnswer answer = client.answer();
  EXPECT_TRUE(answer.has("Connection: close"));
  EXPECT_FALSE(answer.has("chunked"));
  body.write("all of it");
  body.end();
  while (client.fill()) {
  }
  EXPECT_EQ(client.buffer(), "all of it");
}

TEST_F(BodyTest, ASlowClientHoldsOnePieceAndGetsAllOfIt) {
  start();
  RawSocket client(server_->address());
  client.send(kGet);
  const BodyStream body = begin();
  const std::string piece(32 << 20, 'x');  // more than the system takes
  body.write(piece);
  EXPECT_EQ(client.answer().status, 200);
  EXPECT_EQ(written_, 0) << "the client has not read it";
  bool whole = false;
  while (written_ == 0 && client.fill()) {
  }
  body.end();
  while (!client.buffer().ends_with("\r\n0\r\n\r\n") && client.fill()) {
  }
  EXPECT_TRUE(unchunked(client.buffer(), whole) == piece);
  EXPECT_TRUE(whole);
}

TEST_F(BodyTest, AClientThatTakesNothingIsGivenUp) {
  ServerSettings settings;
  settings.write_timeout = std::chrono::milliseconds(200);
  start(settings);
  const RawSocket client(server_->address());
  client.send(kGet);
  const BodyStream body = begin();
  body.write(std::string(32 << 20, 'x'));
  EXPECT_TRUE(eventually([this] { return gone_.load(); }));
  EXPECT_EQ(written_, 0);
}

TEST_F(BodyTest, AClientThatGoesIsKnownThoughNothingIsWritten) {
  start();
  for (const char* more : {"", "Connection: close\r\n"}) {
    gone_ = false;
    BodyStream body = [&] {
      const RawSocket client(server_->address());
      client.send("GET /later HTTP/1.1\r\nHost: a\r\n" + std::string(more) + "\r\n");
      return begin();
    }();
    EXPECT_TRUE(eventually([this] { return gone_.load(); })) << more;
    body.write("to nobody");
    body.end();
    EXPECT_EQ(written_, 0);
  }
}

TEST_F(BodyTest, ABodyThatIsDroppedIsSeenToBeCut) {
  start();
  RawSocket client(server_->address());
  client.send(kGet);
  {
    const BodyStream body = begin();
    body.write("half");
    ASSERT_TRUE(eventually([this] { return written_ == 1; }));
  }
  EXPECT_EQ(client.answer().status, 200);
  while (client.fill()) {
  }
  bool whole = true;
  EXPECT_EQ(unchunked(client.buffer(), whole), "half");
  EXPECT_FALSE(whole);
}

TEST_F(BodyTest, WhatAClientSendsAheadIsBoundedAndServedAfterwards) {
  start();
  RawSocket client(server_->address());
  client.send(kGet);
  const BodyStream body = begin();
  for (int i = 0; i < 3; ++i) client.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  body.write("first");
  body.end();
  while (client.buffer().find("0\r\n\r\n") == std::string::npos && client.fill()) {
  }
  client.buffer().erase(0, client.buffer().find("0\r\n\r\n") + 5);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.answer().body, "GET /echo ");
}

}  // namespace
}  // namespace millrace::http
