#include "command_line.hpp"

#include <sstream>

#include <gtest/gtest.h>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

Outcome run(std::vector<std::string> arguments) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  const int code = run_command_line(std::move(arguments), {in, out, err});
  return {code, out.str(), err.str()};
}

TEST(CommandLine, EveryCommandShowsHelpWithExamples) {
  const std::vector<std::vector<std::string>> commands{{},
                                                       {"tenant", "create"},
                                                       {"tenant", "list"},
                                                       {"tenant", "show"},
                                                       {"tenant", "delete"},
                                                       {"device", "create"},
                                                       {"device", "list"},
                                                       {"device", "show"},
                                                       {"device", "delete"},
                                                       {"device", "enable"},
                                                       {"device", "disable"},
                                                       {"device", "token"},
                                                       {"device", "import"},
                                                       {"device", "children", "set"},
                                                       {"device", "children", "show"},
                                                       {"device", "topics", "set"},
                                                       {"device", "topics", "show"},
                                                       {"device", "type"},
                                                       {"credential", "add"},
                                                       {"credential", "list"},
                                                       {"credential", "remove"},
                                                       {"authority", "set"},
                                                       {"authority", "list"},
                                                       {"authority", "delete"},
                                                       {"policy", "set"},
                                                       {"policy", "show"},
                                                       {"type", "set"},
                                                       {"type", "list"},
                                                       {"type", "delete"},
                                                       {"key", "create"},
                                                       {"key", "list"},
                                                       {"key", "show"},
                                                       {"key", "delete"},
                                                       {"rule", "create"},
                                                       {"rule", "update"},
                                                       {"rule", "list"},
                                                       {"rule", "show"},
                                                       {"rule", "enable"},
                                                       {"rule", "disable"},
                                                       {"rule", "delete"},
                                                       {"webhook", "set"},
                                                       {"webhook", "show"},
                                                       {"webhook", "delete"},
                                                       {"latest"},
                                                       {"range"},
                                                       {"windows"},
                                                       {"alerts"},
                                                       {"tail"},
                                                       {"receipt"},
                                                       {"dead", "list"},
                                                       {"dead", "show"},
                                                       {"dead", "replay"},
                                                       {"ledger"},
                                                       {"admin", "topics"},
                                                       {"completion"}};
  for (std::vector<std::string> command : commands) {
    command.emplace_back("--help");
    const Outcome help = run(command);
    EXPECT_EQ(help.code, kExitOk);
    EXPECT_NE(help.out.find("Examples:"), std::string::npos) << command.front();
  }
}

TEST(CommandLine, TheExampleOfAGroupIsACommandThatExists) {
  for (const std::string group : {"device", "device topics", "device children", "limits set"}) {
    std::vector<std::string> command;
    std::istringstream words(group);
    for (std::string word; words >> word;) command.push_back(word);
    command.emplace_back("--help");
    const std::string help = run(command).out;
    EXPECT_NE(help.find("`millrace " + group + " COMMAND --help`"), std::string::npos) << help;
  }
}

TEST(CommandLine, WrongUsageEndsWithTwoAndSaysWhatHelps) {
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"range", "meter-1"},
                                             {"range", "a", "b", "--format", "xml"},
                                             {"windows", "meter-1"},
                                             {"alerts", "--open", "--cleared"},
                                             {"alerts", "--follow", "--from", "1h"},
                                             {"alerts", "--severity", "bad"},
                                             {"device", "create"},
                                             {"key", "create", "--role", "king"},
                                             {"latest", "meter-1", "--api-key", "mk_gr\xC3\xBCn_x"}}) {
    const Outcome failed = run(wrong);
    EXPECT_EQ(failed.code, kExitUsage) << failed.err;
    EXPECT_NE(failed.err.find("next: "), std::string::npos) << failed.err;
  }
}

TEST(CommandLine, AMistakeIsNamedInWordsOfTheUser) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes{
      {{"nonsense"}, "there is no command 'nonsense'"},
      {{"device", "nonsense", "meter-1"}, "there is no command 'nonsense'"},
      {{"device"}, "A subcommand is required"},
      {{"range", "a", "b", "--format", "xml"}, "--format: 'xml' is none of csv, json, plot, table"},
      {{"top", "power", "--by", "3"}, "--by: '3' is none of count, max, mean, min, sum"},
      {{"key", "create", "--role", "king"}, "--role: 'king' is none of viewer, operator, admin"},
      {{"range", "a", "b", "--limit", "0"}, "--limit: '0' is no whole number from 1 on"},
      {{"range", "a", "b", "--points", "1.5"}, "--points: '1.5' is no whole number from 1 on"},
      {{"device", "ack", "set", "a", "--api-key", "mk_a_b"}, "a LEVEL is wanted, or --none"},
      {{"device", "ack", "set", "a", "bus", "--none", "--api-key", "mk_a_b"}, "--none and LEVEL exclude each other"},
      {{"device", "children", "set", "a", "--api-key", "mk_a_b"}, "no children are named"}};
  for (const auto& [arguments, said] : mistakes) {
    const Outcome failed = run(arguments);
    EXPECT_EQ(failed.code, kExitUsage) << said;
    EXPECT_TRUE(failed.err.starts_with("millrace: " + said + "\nnext: ")) << failed.err;
  }
}

TEST(CommandLine, NoServiceEndsWithOneAndSaysWhatHelps) {
  const Outcome failed = run({"latest", "meter-1", "--query", "127.0.0.1:1", "--api-key", "mk_a_b", "--timeout", "20"});
  EXPECT_EQ(failed.code, kExitFailed);
  EXPECT_NE(failed.err.find("query-api at 127.0.0.1:1 is not available"), std::string::npos) << failed.err;
  EXPECT_NE(failed.err.find("MILLRACE_QUERY_ADDR"), std::string::npos) << failed.err;
}

TEST(CommandLine, RefusesARangeThatEndsBeforeItBegins) {
  const Outcome failed = run({"range", "a", "b", "--from", "2026-01-02", "--to", "2026-01-01", "--api-key", "mk_a_b"});
  EXPECT_EQ(failed.code, kExitUsage);
  EXPECT_NE(failed.err.find("is not before"), std::string::npos) << failed.err;
}

TEST(CommandLine, CompletionNamesEveryCommand) {
  const Outcome script = run({"completion", "bash"});
  EXPECT_EQ(script.code, kExitOk);
  for (const char* word :
       {"tenant", "'device import'", "--step", "'windows'", "--follow", "complete -F _millrace millrace"}) {
    EXPECT_NE(script.out.find(word), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace millrace::cli
