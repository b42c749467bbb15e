// Tail and Export over HTTP: what a client gets that is slow, goes away, or asks for much.
#include <algorithm>
#include <optional>

#include "eventually.hpp"
#include "query_fixture.hpp"
#include "raw_http.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using storage_schema::MetricType;
using testing::RawSocket;

std::string framed(const std::string& bytes) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(bytes.size() >> static_cast<unsigned>(shift));
  return out + bytes;
}

/// One frame of a stream: a message, or its end.
struct Frame {
  unsigned char flags = 0;
  std::string bytes;
};

/// Reads a chunked answer frame by frame, no further than it must.
class Answer {
 public:
  explicit Answer(RawSocket& socket) : socket_(socket) {}

  testing::RawAnswer head() { return socket_.answer(); }

  /// Nothing: the body ended, or the connection did.
  std::optional<Frame> next() {
    while (body_.size() < 5 || body_.size() < 5 + size()) {
      if (!chunk()) return std::nullopt;
    }
    Frame frame{static_cast<unsigned char>(body_[0]), body_.substr(5, size())};
    body_.erase(0, 5 + size());
    return frame;
  }

 private:
  [[nodiscard]] std::size_t size() const {
    std::size_t size = 0;
    for (std::size_t i = 1; i < 5; ++i) size = size << 8U | static_cast<unsigned char>(body_[i]);
    return size;
  }
  bool chunk() {
    std::string& raw = socket_.buffer();
    std::size_t line = 0;
    while ((line = raw.find("\r\n")) == std::string::npos) {
      if (!socket_.fill()) return false;
    }
    const std::size_t length = std::strtoul(raw.c_str(), nullptr, 16);
    while (raw.size() < line + 4 + length) {
      if (!socket_.fill()) return false;
    }
    body_ += raw.substr(line + 2, length);
    raw.erase(0, line + 4 + length);
    return length > 0;
  }

  RawSocket& socket_;
  std::string body_;
};

class WebStreams : public QueryApi {
 protected:
  static std::string post(const std::string& method, const std::string& type, const std::string& body,
                          const std::string& key = kAcmeKey) {
    return "POST /millrace.query.v1.QueryService/" + method + " HTTP/1.1\r\nHost: a\r\nContent-Type: " + type +
           "\r\nAuthorization: Bearer " + key + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }

  /// A Tail that is live.
  std::unique_ptr<RawSocket> tail(const std::string& type, const std::string& body) {
    auto client = std::make_unique<RawSocket>(app_->http_address());
    client->send(post("Tail", type, body));
    const auto head = client->answer();
    EXPECT_EQ(head.status, 200) << head.header;
    EXPECT_TRUE(head.has(type)) << head.header;
    return client;
  }

  /// Series of acme with so many numbers, one a second.
  void store(int numbers) {
    const auto id = metric("acme", "number", MetricType::kDouble);
    sql("INSERT INTO storage.sample (time, device_id, metric, value) SELECT timestamptz '2026-01-01' + i * interval '1 "
        "second', 7, " +
        std::to_string(id) + ", i + 0.125 FROM generate_series(0, " + std::to_string(numbers - 1) + ") i");
  }
};

TEST_F(WebStreams, ATailComesAsJsonWhileItsCallLasts) {
  start_service();
  const auto client = tail("application/connect+json", framed("{}"));
  Answer answer(*client);
  for (int i = 0; i < 3; ++i) {
    produce("acme", 1, i);
    const auto frame = answer.next();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->flags, 0);
    EXPECT_NE(frame->bytes.find("\"intValue\":\"" + std::to_string(i) + "\""), std::string::npos) << frame->bytes;
  }
  app_.reset();
  const auto end = answer.next();
  ASSERT_TRUE(end) << "the service that stops ends the stream in words";
  EXPECT_EQ(end->flags, 2);
  EXPECT_NE(end->bytes.find("\"unavailable\""), std::string::npos) << end->bytes;
}

TEST_F(WebStreams, ASlowReaderIsToldWhatItMissedAndNobodyElseFeelsIt) {
  start_service();
  const std::string request = framed(api::TailRequest().SerializeAsString());
  const auto slow = tail("application/grpc-web+proto", request);
  const auto quick = tail("application/grpc-web+proto", request);
  // Far more than the sockets and the queue of a reader hold: it has 1,000 readings.
  constexpr int kRecords = 400;
  constexpr int kPoints = 1'000;
  Answer quick_answer(*quick);
  std::int64_t quick_count = 0;
  for (int i = 0; i < kRecords; ++i) {
    produce("acme", kPoints, std::int64_t{i} * kPoints);
    // So little that it lags far behind, and so much that it is not given up.
    if (i % 5 == 0) {
      ASSERT_TRUE(slow->fill());
    }
    while (quick_count < std::int64_t{i + 1} * kPoints) {
      const auto frame = quick_answer.next();
      ASSERT_TRUE(frame);
      ASSERT_EQ(frame->flags, 0);
      api::TailResponse part;
      ASSERT_TRUE(part.ParseFromString(frame->bytes));
      EXPECT_EQ(part.missed(), 0);
      quick_count += part.readings_size();
    }
  }
  Answer slow_answer(*slow);
  std::int64_t slow_count = 0;
  std::int64_t missed = 0;
  while (slow_count + missed < quick_count) {
    const auto frame = slow_answer.next();
    ASSERT_TRUE(frame);
    api::TailResponse part;
    ASSERT_TRUE(part.ParseFromString(frame->bytes));
    slow_count += part.readings_size();
    missed += part.missed();
  }
  EXPECT_EQ(slow_count + missed, quick_count);
  EXPECT_GT(missed, 0);
}

TEST_F(WebStreams, AClientThatGoesAwayLeavesNothingBehind) {
  start_service();
  for (int i = 0; i < 12; ++i) {  // more than may be open at once
    const auto client = tail("application/connect+proto", framed(""));
    produce("acme", 1);
    // The place of the one before comes free a moment after it went.
    if (i % 4 == 3) {
      EXPECT_TRUE(testing::eventually([this] {
        RawSocket next(app_->http_address());
        next.send(post("Tail", "application/connect+proto", framed("")));
        Answer answer(next);
        if (answer.head().status != 200) return false;
        produce("acme", 1);
        const auto frame = answer.next();
        return frame && frame->flags == 0;
      }));
    }
  }
}

TEST_F(WebStreams, AnExportIsTheSameInEveryForm) {
  store(200'000);
  start_service();
  api::ExportRequest request;
  request.set_from_us(kStart);
  request.set_to_us(kStart + 10LL * 86'400 * kUsPerSecond);
  std::string wanted;
  const auto call = context(kAcmeKey, std::chrono::seconds(600));
  const auto parts = stub_->Export(call.get(), request);
  for (api::ExportResponse part; parts->Read(&part);) wanted += part.data();
  ASSERT_TRUE(parts->Finish().ok());
  ASSERT_EQ(std::count(wanted.begin(), wanted.end(), '\n'), 200'001);
  RawSocket client(app_->http_address());
  for (const char* type : {"application/grpc-web+proto", "application/connect+proto"}) {
    client.send(post("Export", type, framed(request.SerializeAsString())));
    Answer answer(client);
    ASSERT_EQ(answer.head().status, 200);
    std::string got;
    std::optional<Frame> frame;
    while ((frame = answer.next()) && frame->flags == 0) {
      api::ExportResponse part;
      ASSERT_TRUE(part.ParseFromString(frame->bytes));
      got += part.data();
    }
    EXPECT_TRUE(got == wanted) << type << ": " << got.size() << " bytes of " << wanted.size();
    ASSERT_TRUE(frame) << type;
    EXPECT_EQ(frame->bytes, type[12] == 'g' ? "grpc-status:0\r\n" : "{}");
    EXPECT_FALSE(answer.next()) << "the connection goes on with the next call";
  }
}

TEST_F(WebStreams, AStreamSaysInItsLastPieceWhyItEnds) {
  start_service();
  RawSocket client(app_->http_address());
  const auto last_of = [&](const std::string& type, const std::string& body, const std::string& key = kAcmeKey) {
    client.send(post("Tail", type, body, key));
    Answer answer(client);
    const auto head = client.answer();
    EXPECT_EQ(head.status, 200) << head.header;
    if (!head.body.empty()) return head.body.substr(5);
    const auto frame = answer.next();
    EXPECT_FALSE(answer.next());
    return frame ? frame->bytes : "";
  };
  EXPECT_NE(last_of("application/connect+json", framed(R"({"devices":["nobody"]})")).find("not_found"),
            std::string::npos);
  EXPECT_NE(last_of("application/connect+json", framed("{}"), "mk_acme1_wrong").find("unauthenticated"),
            std::string::npos);
  EXPECT_NE(last_of("application/grpc-web+proto", framed(""), "mk_acme1_wrong").find("grpc-status:16"),
            std::string::npos);
  EXPECT_NE(last_of("application/connect+json", "{}").find("invalid_argument"), std::string::npos);
  client.send(post("Tail", "application/json", "{}"));
  const auto refused = client.answer();
  EXPECT_EQ(refused.status, 415);
  EXPECT_TRUE(refused.has("Accept-Post: application/connect+json"));
  client.send(post("Latest", "application/connect+json", framed("{}")));
  EXPECT_EQ(client.answer().status, 415);
}

}  // namespace
}  // namespace millrace::query_api
