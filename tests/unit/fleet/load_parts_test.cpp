#include <gtest/gtest.h>

#include "credentials.hpp"
#include "load/http_answer.hpp"
#include "load/latencies.hpp"
#include "load/pacer.hpp"

namespace millrace::fleet {
namespace {

TEST(Pacer, IsOpenLoop) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  Pacer pacer(3000, 200, kSecond);
  EXPECT_EQ(pacer.burst(), 1U);
  EXPECT_EQ(pacer.due(kSecond), 0U);
  EXPECT_EQ(pacer.due(kSecond + kSecond / 1000), 3U);
  EXPECT_EQ(pacer.due(kSecond + kSecond / 1000), 0U);
  EXPECT_EQ(pacer.due(3 * kSecond), 5997U) << "what could not be asked for in between is still due";
  EXPECT_NEAR(static_cast<double>(pacer.due_ns(2999)), 2e9, 1e6);
}

TEST(Pacer, FastDevicesSendInBursts) {
  Pacer pacer(100'000, 100, 0);
  EXPECT_EQ(pacer.burst(), 20U);
  std::uint64_t due = 0;
  for (std::int64_t now = 0; now <= 1'000'000'000; now += 1'000'000) {
    const std::uint64_t fresh = pacer.due(now);
    EXPECT_EQ(fresh % pacer.burst(), 0U);
    due += fresh;
  }
  EXPECT_EQ(due, 100'000U);
}

TEST(Latencies, PercentilesWithinTwoPercent) {
  Latencies latencies;
  EXPECT_EQ(latencies.percentile_ms(0.5), 0);
  for (std::int64_t us = 1; us <= 100'000; ++us) latencies.add(us * 1000);
  EXPECT_NEAR(latencies.percentile_ms(0.5), 50, 1);
  EXPECT_NEAR(latencies.percentile_ms(0.99), 99, 2);
  EXPECT_EQ(latencies.max_ms(), 100);
  EXPECT_EQ(latencies.percentile_ms(1), 100);
  EXPECT_EQ(latencies.count(), 100'000U);
}

TEST(HttpAnswer, IsTakenWhenItIsWhole) {
  const std::string text =
      "HTTP/1.1 202 Accepted\r\ncontent-length: 20\r\nConnection: keep-alive\r\n\r\n{\"receipt\":\"3:4711\"}HTTP/1.1 "
      "503 x\r\n"
      "Retry-After: 7\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n";
  for (std::size_t size = 0; size < 92; ++size) {
    std::string_view part = std::string_view(text).substr(0, size);
    HttpAnswer answer;
    if (take_answer(part, answer) == HttpParse::kComplete) {
      EXPECT_EQ(size, text.find("}HTTP") + 1);
      break;
    }
  }
  std::string_view input = text;
  HttpAnswer answer;
  ASSERT_EQ(take_answer(input, answer), HttpParse::kComplete);
  EXPECT_EQ(answer.status, 202);
  EXPECT_FALSE(answer.close);
  EXPECT_EQ(receipt_in(answer.body).to_string(), "3:4711");
  ASSERT_EQ(take_answer(input, answer), HttpParse::kComplete);
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.retry_after_s, 7);
  EXPECT_TRUE(answer.close);
  EXPECT_TRUE(input.empty());
}

TEST(HttpAnswer, WhatIsNoAnswerIsBroken) {
  for (const std::string& text :
       {std::string("SSH-2.0\r\n\r\n"), std::string("HTTP/1.1 xyz\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), std::string(20'000, 'x')}) {
    std::string_view input = text;
    HttpAnswer answer;
    EXPECT_EQ(take_answer(input, answer), HttpParse::kBroken) << text.substr(0, 40);
  }
}

TEST(Receipts, AreParsedStrictly) {
  EXPECT_EQ(parse_receipt("11:9000000000")->offset, 9'000'000'000);
  EXPECT_EQ(parse_receipt("3:4711.1")->partition, 3);
  EXPECT_EQ(parse_receipt("3:4711.1")->to_string(), "3:4711.1") << "the generation is part of it";
  for (const char* bad : {"", ":", "3", "3:", ":4", "a:1", "3:-1", "-1:3", "3:4x", "dead:3:12"}) {
    EXPECT_FALSE(parse_receipt(bad)) << bad;
  }
}

TEST(Credentials, ReadWhatTheImportWrites) {
  auto devices = parse_credentials("device,token\nm-1,mt_abc\r\nm-2,mt_def\n");
  ASSERT_TRUE(devices);
  ASSERT_EQ(devices->size(), 2U);
  EXPECT_EQ((*devices)[1].id, "m-2");
  EXPECT_EQ((*devices)[0].token, "mt_abc");
  assign_protocols(*devices, {Protocol::kMqtt5, Protocol::kHttp});
  EXPECT_EQ((*devices)[0].protocol, Protocol::kMqtt5);
  EXPECT_EQ((*devices)[1].protocol, Protocol::kHttp);
  EXPECT_NE(parse_credentials("m-1\n").error().message.find("line 1"), std::string::npos);
  EXPECT_FALSE(parse_credentials("device,token\n"));
  EXPECT_FALSE(parse_credentials("no way,token\n"));
}

}  // namespace
}  // namespace millrace::fleet
