#include "send/webhook.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace millrace::notifier {
namespace {

// Computed by Python: hmac.new(b"whsec_test", b'1700000000.{"state":"STATE_RAISED"}', "sha256").hexdigest()
TEST(Sign, GivesTheFixedVector) {
  EXPECT_EQ(sign("whsec_test", 1'700'000'000, R"({"state":"STATE_RAISED"})"),
            "t=1700000000,v1=2c92a214331f6af6d65541275ed44f3eb9074f82b7f770f12da8ddbf86c1bf7d");
}

TEST(Sign, DependsOnSecretTimeAndBody) {
  const std::string base = sign("a", 1, "x");
  EXPECT_NE(sign("b", 1, "x"), base);
  EXPECT_NE(sign("a", 2, "x").substr(4), base.substr(4));
  EXPECT_NE(sign("a", 1, "y"), base);
}

TEST(Url, IsTakenApart) {
  struct Case {
    const char* url;
    bool tls;
    const char* host;
    int port;
    const char* path;
    const char* authority;
  };
  const Case cases[] = {
      {"https://hooks.example.com/a/b?c=d", true, "hooks.example.com", 443, "/a/b?c=d", "hooks.example.com"},
      {"http://example.com", false, "example.com", 80, "/", "example.com"},
      {"HTTP://example.com:8080?x=1", false, "example.com", 8080, "/?x=1", "example.com:8080"},
      {"http://[2001:db8::1]:81/x", false, "2001:db8::1", 81, "/x", "[2001:db8::1]:81"},
      {"https://[::1]/", true, "::1", 443, "/", "[::1]"},
      {"https://127.0.0.1:443/x", true, "127.0.0.1", 443, "/x", "127.0.0.1"},
  };
  for (const Case& one : cases) {
    const auto target = parse_url(one.url);
    ASSERT_TRUE(target.ok()) << one.url << ": " << target.error().message;
    EXPECT_EQ(target->tls, one.tls) << one.url;
    EXPECT_EQ(target->host, one.host) << one.url;
    EXPECT_EQ(target->port, one.port) << one.url;
    EXPECT_EQ(target->path, one.path) << one.url;
    EXPECT_EQ(target->authority(), one.authority) << one.url;
  }
}

TEST(Url, RefusesWhatIsNoWebhook) {
  const std::string cases[] = {
      "",
      "example.com",
      "ftp://example.com/",
      "file:///etc/passwd",
      "http://",
      "http:///x",
      "http://user@example.com/",
      "http://user:pass@127.0.0.1/",
      "http://example.com:0/",
      "http://example.com:65536/",
      "http://example.com:80x/",
      "http://example.com:/",
      "http://[::1/",
      "http://[localhost]/",
      "http://[::1]x/",
      "http://exa mple.com/",
      "http://example.com/a b",
      "http://example.com/\r\nHost: other",
      "http://example.com/#part",
      "http://ex\xC3\xA4mple.com/",
      "http://example.com/" + std::string(2'048, 'x'),
      "http://" + std::string(254, 'x') + "/",
  };
  for (const std::string& url : cases) EXPECT_FALSE(parse_url(url).ok()) << url;
}

TEST(Url, LogsShowTheOriginOnly) {
  EXPECT_EQ(parse_url("https://hooks.example.com/services/T0/secret?key=k")->origin(), "https://hooks.example.com:443");
}

std::string header(const Outgoing& request, std::string_view name) {
  const auto found =
      std::find_if(request.headers.begin(), request.headers.end(), [&](const auto& one) { return one.first == name; });
  return found == request.headers.end() ? "" : found->second;
}

TEST(Request, CarriesKeySignatureAndTrace) {
  Event event;
  event.body = "{}";
  event.idempotency_key = "0af7651916cd43dd8448eb211c80319c-2";
  event.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const Webhook webhook{"http://h/x", "secret", *parse_url("http://h/x")};
  const Outgoing request = make_request(event, webhook, 17, "0.1.0 (v1-3-gabc)");
  EXPECT_EQ(request.target.path, "/x");
  EXPECT_EQ(request.body, "{}");
  EXPECT_EQ(header(request, "Content-Type"), "application/json");
  EXPECT_EQ(header(request, "User-Agent"), "millrace-notifier/0.1.0");
  EXPECT_EQ(header(request, "Idempotency-Key"), event.idempotency_key);
  EXPECT_EQ(header(request, "Millrace-Signature"), sign("secret", 17, "{}"));
  EXPECT_EQ(header(request, "traceparent"), event.traceparent);
  event.traceparent.clear();
  EXPECT_EQ(header(make_request(event, webhook, 17, "0.1.0"), "traceparent"), "");
}

}  // namespace
}  // namespace millrace::notifier
