// The registry takes exactly the URLs that the notifier can send to.
#include <string>

#include <gtest/gtest.h>

#include "send/webhook.hpp"
#include "store/webhooks.hpp"

namespace millrace::registry {
namespace {

std::string verdict(const std::string& url) {
  const Status checked = check_webhook_url(url);
  EXPECT_EQ(checked.ok(), notifier::parse_url(url).ok()) << url;
  return checked.ok() ? "fine" : checked.error().message;
}

TEST(WebhookUrl, TakesWhatCanBeSentTo) {
  for (const char* url : {"http://example.com", "https://example.com/", "HTTPS://Example.com/a/b?c=d",
                          "https://example.com:8443/hook", "http://10.0.0.1:80", "http://[::1]:8080/x",
                          "http://[2001:db8::1]", "http://host_1-a.internal?x", "https://example.com/a@b:c"}) {
    EXPECT_EQ(verdict(url), "fine") << url;
  }
  EXPECT_EQ(verdict("https://example.com/" + std::string(kMaxUrlBytes - 20, 'a')), "fine");
}

TEST(WebhookUrl, RefusesWhatCannotAndSaysWhy) {
  struct Case {
    std::string url;
    const char* why;
  };
  for (const Case& one : std::vector<Case>{{"", "no http://"},
                                           {"example.com/hook", "no http://"},
                                           {"ftp://example.com", "no http://"},
                                           {"http:/example.com", "no http://"},
                                           {"http://", "host is empty"},
                                           {"http:///path", "host is empty"},
                                           {"http://:80/", "host is empty"},
                                           {"http://[]/", "host is empty"},
                                           {"http://user@example.com/", "user names"},
                                           {"http://user:secret@example.com/", "user names"},
                                           {"http://exa mple.com/", "visible ASCII"},
                                           {"http://example.com/\r\nX: y", "visible ASCII"},
                                           {std::string("http://example.com/\0x", 21), "visible ASCII"},
                                           {"http://ex\xc3\xa4mple.com/", "visible ASCII"},
                                           {"http://example.com/#part", "fragment"},
                                           {"http://exa,mple.com/", "no host name"},
                                           {"http://[::1/", "bracket"},
                                           {"http://[::1]x/", "no host name"},
                                           {"http://[host]/", "no host name"},
                                           {"http://example.com:/", "port"},
                                           {"http://example.com:0/", "port"},
                                           {"http://example.com:65536/", "port"},
                                           {"http://example.com:8o/", "port"},
                                           {"http://" + std::string(254, 'a'), "too long"},
                                           {"https://example.com/" + std::string(kMaxUrlBytes, 'a'), "longer"}}) {
    EXPECT_NE(verdict(one.url).find(one.why), std::string::npos) << one.url << ": " << verdict(one.url);
  }
}

}  // namespace
}  // namespace millrace::registry
