#include "server_fixture.hpp"

namespace millrace::http {
namespace {

using millrace::testing::eventually;
using millrace::testing::RawAnswer;
using millrace::testing::RawSocket;

TEST_F(ServerTest, AnswersSeveralRequestsOnOneConnection) {
  start();
  RawSocket client(server_->address());
  for (int i = 0; i < 3; ++i) {
    client.send("POST /echo?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    const RawAnswer answer = client.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST /echo hello");
    EXPECT_TRUE(answer.has("Date: "));
  }
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(ServerTest, TakesAChunkedBodyInPieces) {
  start();
  RawSocket client(server_->address());
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  client.send("4\r\ndefg\r\n0\r\n\r\n");
  EXPECT_EQ(client.answer().body, "POST /echo abcdefg");
}

TEST_F(ServerTest, KeepsTheOrderOfPipelinedRequestsWhateverTheAnswersOrder) {
  start();
  RawSocket client(server_->address());
  const std::string later = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
  client.send(later + later + "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return kept() == 2; }));
  kept_[1].send({202, "text/plain", "second", {}});
  kept_[0].send({201, "text/plain", "first", {}});
  EXPECT_EQ(client.answer().body, "first");
  EXPECT_EQ(client.answer().body, "second");
  EXPECT_EQ(client.answer().body, "GET /echo ");
}

TEST_F(ServerTest, ReadsOnlySoManyRequestsAhead) {
  ServerSettings settings;
  settings.max_pipelined = 2;
  start(settings);
  RawSocket client(server_->address());
  for (int i = 0; i < 5; ++i) client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return kept() == 2; }));
  kept_[0].send({200, "text/plain", "0", {}});
  EXPECT_EQ(client.answer().body, "0");
  ASSERT_TRUE(eventually([&] { return kept() == 3; }));
  for (std::size_t i = 1; i < 5; ++i) {
    ASSERT_TRUE(eventually([&] { return kept() > i; }));
    kept_[i].send({200, "text/plain", std::to_string(i), {}});
    EXPECT_EQ(client.answer().body, std::to_string(i));
  }
}

TEST_F(ServerTest, AsksForTheBodyOnExpectContinue) {
  start();
  RawSocket client(server_->address());
  client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.answer().status, 100);
  client.send("ok");
  EXPECT_EQ(client.answer().body, "POST /echo ok");
}

TEST_F(ServerTest, AnswersHeadWithoutBodyAndCloseWhenAsked) {
  start();
  RawSocket client(server_->address());
  client.send("HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const RawAnswer answer = client.answer("HEAD");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.has("Content-Length: 11"));
  EXPECT_TRUE(answer.has("Connection: close"));
  EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, Http10ClosesUnlessItAsksToStay) {
  start();
  RawSocket first(server_->address());
  first.send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_EQ(first.answer().status, 200);
  EXPECT_TRUE(first.at_end());
  RawSocket second(server_->address());
  for (int i = 0; i < 2; ++i) {
    second.send("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(second.answer().has("Connection: keep-alive"));
  }
}

TEST_F(ServerTest, AnswersAClientThatHasClosedItsSide) {
  start();
  RawSocket client(server_->address());
  client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  client.shut_down_sending();
  ASSERT_TRUE(eventually([&] { return kept() == 1; }));
  kept_[0].send({200, "text/plain", "late", {}});
  EXPECT_EQ(client.answer().body, "late");
  EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, ARequestThatNobodyAnswersIsA500) {
  start();
  RawSocket client(server_->address());
  client.send("GET /drop HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.answer().status, 500);
}

TEST_F(ServerTest, AnAnswerToAConnectionThatIsGoneDoesNothing) {
  start();
  {
    RawSocket client(server_->address());
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return kept() == 1; }));
  }
  kept_[0].send({200, "text/plain", "x", {}});
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
}

TEST_F(ServerTest, DrainsByAnsweringWhatIsAwaitedAndClosingTheRest) {
  start();
  RawSocket idle(server_->address());
  RawSocket busy(server_->address());
  idle.send("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(idle.answer().status, 200);
  busy.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return kept() == 1; }));
  server_->stop_intake();
  EXPECT_TRUE(idle.at_end());
  kept_[0].send({200, "text/plain", "done", {}});
  const RawAnswer answer = busy.answer();
  EXPECT_EQ(answer.body, "done");
  EXPECT_TRUE(answer.has("Connection: close"));
  EXPECT_TRUE(busy.at_end());
  EXPECT_FALSE(eventually([&] { return RawSocket(server_->address()).connected(); }, std::chrono::seconds(0)));
}

TEST_F(ServerTest, NamesAnAddressThatIsTaken) {
  start();
  ServerSettings settings;
  settings.address = server_->address();
  const auto second = Server::start(settings, contexts_, [](const Request&, const Responder&) {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind, ErrorKind::kUnavailable);
  EXPECT_NE(second.error().message.find(std::to_string(server_->address().port)), std::string::npos);
}

TEST(Problem, IsJsonWithEscapedTexts) {
  const Response response = problem(400, "/problems/x", "a \"title\"", "line\nbreak\x01", "\"limit\":3");
  EXPECT_EQ(response.content_type, "application/problem+json");
  EXPECT_EQ(response.body,
            R"({"type":"/problems/x","title":"a \"title\"","status":400,"detail":"line\nbreak\u0001","limit":3})");
}

}  // namespace
}  // namespace millrace::http
