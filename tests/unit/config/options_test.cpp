#include <array>

#include <gtest/gtest.h>

#include <millrace/config/options.hpp>

namespace millrace::config {
namespace {

constexpr std::array kOptions{
    Option{.key = "HTTP_ADDR", .type = Type::kAddress, .default_value = "127.0.0.1:8080", .help = "Where to listen."},
    Option{.key = "LIMIT_BYTES",
           .type = Type::kInteger,
           .default_value = "10",
           .help = "How many.",
           .least = 1,
           .most = 99},
    Option{
        .key = "LEVEL", .type = Type::kChoice, .default_value = "info", .help = "How loud.", .choices = "debug|info"},
    Option{.key = "ON", .type = Type::kBoolean, .default_value = "false", .help = "Whether."},
    Option{.key = "DATABASE_URL", .help = "Which database.", .secret = Secret::kYes, .required = true},
};
constexpr std::array kCommands{Command{.name = "migrate", .help = "Brings the schema up to date."}};
constexpr OptionTable kTable{
    .program = "thing", .summary = "does it", .prefix = "MILLRACE_THING_", .options = kOptions, .commands = kCommands};

Environment good() { return {{"MILLRACE_THING_DATABASE_URL", "postgres://u:hidden@h/d"}, {"PATH", "/bin"}}; }

TEST(Options, DefaultsApplyWhereNothingIsGiven) {
  const auto values = load(kTable, good());
  ASSERT_TRUE(values.ok());
  EXPECT_EQ(values->address("HTTP_ADDR"), (Address{"127.0.0.1", 8080}));
  EXPECT_EQ(values->integer("LIMIT_BYTES"), 10);
  EXPECT_FALSE(values->boolean("ON"));
}

TEST(Options, EveryFaultIsNamedAtOnce) {
  const auto values = load(kTable, {{"MILLRACE_THING_LIMIT_BYTES", "100"},
                                    {"MILLRACE_THING_HTTP_ADDR", "8080"},
                                    {"MILLRACE_THING_LEVEL", "loud"},
                                    {"MILLRACE_THING_ON", "maybe"},
                                    {"MILLRACE_THING_TYPO", "1"}});
  ASSERT_FALSE(values.ok());
  for (const char* name :
       {"LIMIT_BYTES=100 is greater than 99", "HTTP_ADDR=8080 is not host:port", "LEVEL=loud is none of debug|info",
        "ON=maybe is neither", "TYPO is unknown", "DATABASE_URL is required"}) {
    EXPECT_NE(values.error().message.find(name), std::string::npos) << name << "\n" << values.error().message;
  }
}

TEST(Options, SecretsArePrintedAsStars) {
  const std::string text = load(kTable, good())->print();
  EXPECT_EQ(text.find("hidden"), std::string::npos);
  EXPECT_NE(text.find("MILLRACE_THING_DATABASE_URL=***"), std::string::npos);
  EXPECT_NE(text.find("MILLRACE_THING_LIMIT_BYTES=10"), std::string::npos);
}

TEST(Options, HelpAndDocsNameEverySetting) {
  for (const Option& option : kOptions) {
    EXPECT_NE(help_text(kTable).find(option.key), std::string::npos) << option.key;
    EXPECT_NE(markdown(kTable).find(option.key), std::string::npos) << option.key;
  }
}

TEST(CommandLine, CommandsAndArguments) {
  const std::array<const char*, 3> argv{"thing", "migrate", "--fast"};
  const auto line = parse_command_line(kTable, 3, argv.data(), good(), "1");
  ASSERT_TRUE(line.invocation.has_value());
  EXPECT_EQ(line.invocation->command, "migrate");
  EXPECT_EQ(line.invocation->arguments, std::vector<std::string>{"--fast"});
}

TEST(CommandLine, FaultsExitWithTwoAndQuestionsWithZero) {
  const auto code = [](const char* argument, const Environment& environment) {
    const std::array<const char*, 2> argv{"thing", argument};
    const auto line = parse_command_line(kTable, 2, argv.data(), environment, "1");
    EXPECT_FALSE(line.invocation.has_value()) << argument;
    return line.exit_code;
  };
  EXPECT_EQ(code("--help", {}), 0);
  EXPECT_EQ(code("--version", {}), 0);
  EXPECT_EQ(code("--check-config", good()), 0);
  EXPECT_EQ(code("--check-config", {}), 2);
  EXPECT_EQ(code("--bogus", good()), 2);
  EXPECT_EQ(code("bogus", good()), 2);
}

TEST(ParseAddress, HostsPortsAndBrackets) {
  EXPECT_EQ(*parse_address("[::1]:80"), (Address{"::1", 80}));
  EXPECT_EQ(*parse_address(":0"), (Address{"0.0.0.0", 0}));
  EXPECT_EQ((Address{"::1", 80}).to_string(), "[::1]:80");
  for (const char* bad : {"", "host", "host:", "host:65536", "::1:80", "host:8a", "host:-1"})
    EXPECT_FALSE(parse_address(bad).ok()) << bad;
}

}  // namespace
}  // namespace millrace::config
