#include "settings.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

class ProfileFile : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = std::filesystem::temp_directory_path() / ("millrace-profile-" + std::to_string(::getpid()));
    std::ofstream(file_)
        << "# written by hand\nregistry = r:1\nquery=q:2\n api_key =  mk_a_b \ntenant = t\nkafka = k:3\n"
           "database_url = postgresql://x?a=b\n";
  }
  void TearDown() override { std::filesystem::remove(file_); }

  std::filesystem::path file_;
};

Environment environment(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

TEST_F(ProfileFile, GivesEveryKey) {
  const Settings settings = load_settings({}, environment({{"MILLRACE_PROFILE", file_.string()}}));
  EXPECT_EQ(settings.registry, "r:1");
  EXPECT_EQ(settings.query, "q:2");
  EXPECT_EQ(settings.api_key, "mk_a_b");
  EXPECT_EQ(settings.tenant, "t");
  EXPECT_EQ(settings.kafka, "k:3");
  EXPECT_EQ(settings.database_url, "postgresql://x?a=b");
}

TEST_F(ProfileFile, IsOverriddenByEnvironmentAndThatByFlags) {
  SettingFlags flags;
  flags.profile = file_.string();
  flags.query = "flag:9";
  const Settings settings = load_settings(flags, environment({{"MILLRACE_QUERY_ADDR", "env:8"},
                                                              {"MILLRACE_REGISTRY_ADDR", "env:7"},
                                                              {"MILLRACE_API_KEY", "mk_e_e"}}));
  EXPECT_EQ(settings.query, "flag:9");
  EXPECT_EQ(settings.registry, "env:7");
  EXPECT_EQ(settings.api_key, "mk_e_e");
  EXPECT_EQ(settings.kafka, "k:3");
}

TEST(Profile, ThatIsNamedMustBeThere) {
  EXPECT_THROW(static_cast<void>(load_settings({}, environment({{"MILLRACE_PROFILE", "/nowhere/profile"}}))),
               CommandError);
  EXPECT_EQ(load_settings({}, environment({{"HOME", "/nowhere"}})).query, "127.0.0.1:7102");
}

TEST(Profile, NamesTheLineOfAFault) {
  Settings settings;
  try {
    apply_profile("query = a\nquerry = b\n", "p", settings);
    FAIL() << "an unknown key was taken";
  } catch (const CommandError& error) {
    EXPECT_STREQ(error.what(), "p line 2: unknown key 'querry'");
    EXPECT_EQ(error.exit_code(), kExitUsage);
  }
}

}  // namespace
}  // namespace millrace::cli
