#include "presence/presence_book.hpp"

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

using devices::v1::Presence;
using devices::v1::PRESENCE_STATE_CONNECTED;
using devices::v1::PRESENCE_STATE_DISCONNECTED;

Presence said(const std::string& device, const std::string& client, devices::v1::PresenceState state,
              std::optional<std::uint64_t> epoch = {}) {
  Presence record;
  record.set_tenant("acme");
  record.set_device(device);
  record.set_client_id(client);
  record.set_gateway("gateway-1");
  record.set_state(state);
  if (epoch) record.set_epoch(*epoch);
  return record;
}

bool everybody(const std::string&) { return true; }

std::vector<std::string> names(const PresencePage& page) {
  std::vector<std::string> all;
  for (const Presence& client : page.clients) {
    all.push_back(client.device() + '/' + client.client_id() +
                  (client.state() == PRESENCE_STATE_CONNECTED ? "+" : "-"));
  }
  return all;
}

using Names = std::vector<std::string>;

TEST(PresenceBook, TheGreatestEpochCountsAndOfOneEpochItsEnd) {
  PresenceBook book;
  book.take(said("d1", "a", PRESENCE_STATE_CONNECTED), 5);
  book.take(said("d1", "a", PRESENCE_STATE_CONNECTED), 9);
  book.take(said("d1", "a", PRESENCE_STATE_DISCONNECTED, 5), 10);
  EXPECT_EQ(names(book.page("acme", {}, "", 10, everybody)), Names{"d1/a+"});
  book.take(said("d1", "a", PRESENCE_STATE_DISCONNECTED, 9), 11);
  book.take(said("d1", "a", PRESENCE_STATE_CONNECTED, 9), 12);
  const auto page = book.page("acme", {}, "", 10, everybody);
  EXPECT_EQ(names(page), Names{"d1/a-"});
  EXPECT_EQ(page.clients.at(0).epoch(), 9U);
}

TEST(PresenceBook, PagesHoldEachClientOnceAndFiltersHold) {
  PresenceBook book;
  for (const char* device : {"a", "a.b", "b", "c"}) {
    book.take(said(device, "1", PRESENCE_STATE_CONNECTED), 1);
    book.take(said(device, "2", PRESENCE_STATE_DISCONNECTED, 1), 2);
  }
  Names all;
  std::string after;
  int pages = 0;
  do {
    const auto page = book.page("acme", {}, after, 3, everybody);
    for (const auto& name : names(page)) all.push_back(name);
    after = page.next.value_or("");
    ++pages;
  } while (!after.empty());
  EXPECT_EQ(all, (Names{"a/1+", "a/2-", "a.b/1+", "a.b/2-", "b/1+", "b/2-", "c/1+", "c/2-"}));
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(names(book.page("acme", {.devices = {"a", "c"}, .state = PRESENCE_STATE_CONNECTED, .gateway = {}}, "", 10,
                            everybody)),
            (Names{"a/1+", "c/1+"}));
  EXPECT_TRUE(book.page("acme", {.devices = {}, .gateway = "gateway-2"}, "", 10, everybody).clients.empty());
  EXPECT_TRUE(book.page("other", {}, "", 10, everybody).clients.empty());
  EXPECT_EQ(names(book.page("acme", {}, "", 10, [](const std::string& device) { return device == "b"; })),
            (Names{"b/1+", "b/2-"}));
}

TEST(PresenceBook, AFurtherReadingForgetsWhatItDoesNotName) {
  PresenceBook book;
  book.take(said("d1", "a", PRESENCE_STATE_CONNECTED), 900);
  book.take(said("d2", "a", PRESENCE_STATE_CONNECTED), 901);
  book.begin_again();
  // The log was replaced: its offsets are smaller.
  book.take(said("d2", "a", PRESENCE_STATE_DISCONNECTED, 3), 4);
  book.end_reading();
  EXPECT_EQ(names(book.page("acme", {}, "", 10, everybody)), Names{"d2/a-"});
  EXPECT_EQ(book.clients(), 1U);
}

}  // namespace
}  // namespace millrace::query_api
