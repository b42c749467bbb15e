#include "topic_tree.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "retained_store.hpp"

namespace millrace::mqtt {
namespace {

// Sessions are opaque to the tree.
SessionRecord* session(std::uintptr_t number) { return reinterpret_cast<SessionRecord*>(number * 64); }

bool matches(std::string_view filter, std::string_view topic) {
  TopicTree tree;
  Place place;
  tree.add(filter, session(1), {}, place);
  int times = 0;
  tree.match(topic, [&](const FilterEntry& entry) { times += static_cast<int>(entry.subscribers.size()); });
  EXPECT_LE(times, 1) << filter << ' ' << topic;
  return times == 1;
}

struct Case {
  std::string_view filter;
  std::string_view topic;
  bool match;
};

TEST(TopicTree, MatchesAsTheStandardsExamplesSay) {
  const Case cases[] = {
      // [MQTT-4.7.1-1]: '#' stands for the parent and any number of levels.
      {"sport/tennis/player1/#", "sport/tennis/player1", true},
      {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
      {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
      {"sport/tennis/player1/#", "sport/tennis/player2", false},
      {"sport/#", "sport", true},
      {"#", "sport", true},
      {"#", "/", true},
      {"#", "a/b/c", true},
      {"/#", "/a", true},
      {"/#", "a", false},
      // [MQTT-4.7.1-2]: '+' stands for one whole level, also an empty one, anywhere.
      {"sport/tennis/+", "sport/tennis/player1", true},
      {"sport/tennis/+", "sport/tennis/player1/ranking", false},
      {"sport/+", "sport", false},
      {"sport/+", "sport/", true},
      {"+/+", "/finance", true},
      {"/+", "/finance", true},
      {"+", "/finance", false},
      {"+", "finance", true},
      {"+/tennis/#", "sport/tennis", true},
      {"+/tennis/#", "sport/tennis/x/y", true},
      {"sport/+/player1", "sport/tennis/player1", true},
      {"a/+/+/d", "a/b/c/d", true},
      {"a/+/+/d", "a/b/d", false},
      // [MQTT-4.7.2-1]: '$' topics are not for wildcards in the first level.
      {"#", "$SYS/monitor", false},
      {"+/monitor/Clients", "$SYS/monitor/Clients", false},
      {"+", "$SYS", false},
      {"$SYS/#", "$SYS/monitor", true},
      {"$SYS/#", "$SYS", true},
      {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
      {"$SYS/monitor/Clients", "$SYS/monitor/Clients", true},
      {"a/+", "a/$x", true},
      {"a/#", "a/$x/b", true},
      // [MQTT-4.7.3-4]: nothing is normalised; case, slashes and spaces count. [MQTT-4.7.3-1]: one character will do.
      {"ACCOUNTS", "Accounts", false},
      {"Accounts payable", "Accounts payable", true},
      {"/finance", "finance", false},
      {"finance/", "finance", false},
      {"a//b", "a/b", false},
      {"a//b", "a//b", true},
      {"/", "/", true},
      {"a\xCC\x8A", "\xC3\xA5", false},
      {"a/b", "a/b", true},
      {"a/b", "a/bc", false},
      {"a/b", "a", false},
  };
  for (const auto& row : cases)
    EXPECT_EQ(matches(row.filter, row.topic), row.match) << row.filter << " of " << row.topic;
}

TEST(TopicTree, ATopicOfAnyDepthIsNoBurden) {
  const std::string deep(65'535, '/');
  EXPECT_TRUE(matches("#", deep));
  EXPECT_TRUE(matches("+/+/#", deep));
  EXPECT_FALSE(matches("+/+", deep));
  std::string filter = "+";
  std::string topic = "a";
  for (std::size_t i = 1; i < kMaximumLevels; ++i) {
    filter += "/+";
    topic += "/a";
  }
  EXPECT_EQ(count_levels(filter), kMaximumLevels);
  EXPECT_TRUE(matches(filter, topic));
  EXPECT_FALSE(matches(filter, topic + "/a"));
}

TEST(TopicTree, ReplacesInPlace) {
  TopicTree tree;
  Place place;
  tree.add("a/+", session(1), {Qos::kAtMostOnce, false, false, 7}, place);
  TopicTree::replace(place, {Qos::kExactlyOnce, true, true, 8});
  int seen = 0;
  tree.match("a/b", [&](const FilterEntry& entry) {
    ASSERT_EQ(entry.subscribers.size(), 1U);
    EXPECT_EQ(entry.subscribers[0].options.id, 8U);
    EXPECT_EQ(entry.subscribers[0].options.maximum_qos, Qos::kExactlyOnce);
    ++seen;
  });
  EXPECT_EQ(seen, 1);
}

TEST(TopicTree, FiltersAreTakenApart) {
  EXPECT_EQ(split_filter("a/b").filter, "a/b");
  EXPECT_TRUE(split_filter("$shared/b").group.empty());
  EXPECT_EQ(split_filter("$share/g//x").group, "g");  // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
  EXPECT_EQ(split_filter("$share/g//x").filter, "/x");
}

// --- against the plainest implementation, for many small alphabets' worth of filters and topics ---

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> levels;
  for (Levels walk(path); !walk.done();) levels.push_back(walk.next());
  return levels;
}

bool naive(std::string_view filter, std::string_view topic) {
  const auto f = split(filter);
  const auto t = split(topic);
  if (topic.starts_with('$') && (f[0] == "+" || f[0] == "#")) return false;
  for (std::size_t i = 0; i < f.size(); ++i) {
    if (f[i] == "#") return true;
    if (i >= t.size() || (f[i] != "+" && f[i] != t[i])) return false;
  }
  return f.size() == t.size();
}
/// "a/#" is also for "a".
bool naive_with_parent(std::string_view filter, std::string_view topic) {
  if (naive(filter, topic)) return true;
  return filter.size() > 2 && filter.ends_with("/#") && naive(filter.substr(0, filter.size() - 2), topic);
}

class Random {
 public:
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_); }
  std::string path(bool filter) {
    static constexpr std::array<std::string_view, 5> kNames{"a", "b", "", "$x", "ab"};
    const std::size_t levels = 1 + below(5);
    std::string out;
    for (std::size_t i = 0; i < levels; ++i) {
      if (i != 0) out += '/';
      if (filter && i + 1 == levels && below(4) == 0) {
        out += '#';
      } else if (filter && below(3) == 0) {
        out += '+';
      } else {
        out += kNames[below(kNames.size())];
      }
    }
    return out.empty() ? "a" : out;
  }

 private:
  std::mt19937 engine_{20240607};
};

TEST(TopicTree, AgreesWithANaiveMatcherWhileFiltersComeAndGo) {
  Random random;
  TopicTree tree;
  // (filter, session) -> place, the group's name in front of the filter where there is one
  std::map<std::pair<std::string, std::uintptr_t>, std::unique_ptr<Place>> model;
  for (int step = 0; step < 12'000; ++step) {
    const std::size_t what = random.below(4);
    if (what < 2) {
      const std::string group = random.below(3) == 0 ? "$share/g" + std::to_string(random.below(2)) + "/" : "";
      const auto key = std::pair(group + random.path(true), std::uintptr_t{1 + random.below(5)});
      auto& place = model[key];
      if (place) continue;
      place = std::make_unique<Place>();
      tree.add(key.first, session(key.second), {}, *place);
    } else if (what == 2 && model.size() > random.below(300)) {
      const auto victim = std::next(model.begin(), static_cast<std::ptrdiff_t>(random.below(model.size())));
      tree.remove(victim->first.first, *victim->second);
      model.erase(victim);
    } else {
      const std::string topic = random.path(false);
      std::multiset<std::pair<std::string, SessionRecord*>> got;
      tree.match(topic, [&](const FilterEntry& entry) {
        for (const auto& one : entry.subscribers) got.emplace("", one.session);
        for (const auto& [name, group] : entry.groups) {
          EXPECT_FALSE(group.members.empty());
          for (const auto& one : group.members) got.emplace(name, one.session);
        }
      });
      std::multiset<std::pair<std::string, SessionRecord*>> wanted;
      for (const auto& [key, place] : model) {
        const FilterParts parts = split_filter(key.first);
        if (naive_with_parent(parts.filter, topic)) wanted.emplace(parts.group, session(key.second));
      }
      ASSERT_EQ(got, wanted) << "step " << step << " topic " << topic;
    }
  }
  for (const auto& [key, place] : model) tree.remove(key.first, *place);
  tree.match("a/b", [](const FilterEntry&) { ADD_FAILURE() << "something is left"; });
}

TEST(RetainedStore, AgreesWithANaiveMatcherWhileMessagesComeAndGo) {
  Random random;
  RetainedStore store({40, 1'000'000});
  std::map<std::string, std::pair<std::string, TimePoint>> model;
  TimePoint now{std::chrono::hours(1)};
  for (int step = 0; step < 20'000; ++step) {
    if (random.below(20) == 0) now += std::chrono::seconds(1);
    std::erase_if(model, [&](const auto& one) { return one.second.second <= now; });
    if (random.below(2) == 0) {
      auto message = std::make_shared<Message>();
      message->topic = random.path(false);
      if (random.below(4) != 0) message->payload = std::to_string(step);
      TimePoint until = TimePoint::max();
      if (random.below(2) == 0) message->expires_at = until = now + std::chrono::seconds(random.below(10));
      const bool stored = store.store(message, "p", now);
      model.erase(message->topic);
      if (message->payload.empty() || until <= now) {
        ASSERT_TRUE(stored);
      } else {
        ASSERT_EQ(stored, model.size() < 40);
        if (stored) model[message->topic] = {message->payload, until};
      }
    } else {
      const std::string filter = random.path(true);
      std::map<std::string, std::string> got;
      store.match(filter, now, [&](const RetainedStore::Entry& entry) {
        return got.emplace(entry.message->topic, entry.message->payload).second;
      });
      std::map<std::string, std::string> wanted;
      for (const auto& [topic, value] : model) {
        if (naive_with_parent(filter, topic)) wanted.emplace(topic, value.first);
      }
      ASSERT_EQ(got, wanted) << "step " << step << " filter " << filter;
    }
    ASSERT_LE(store.size(), 40U);
  }
  store.drop_expired(now + std::chrono::hours(1));
  std::erase_if(model, [](const auto& one) { return one.second.second != TimePoint::max(); });
  EXPECT_EQ(store.size(), model.size());
}

}  // namespace
}  // namespace millrace::mqtt
