#include "bridge/bridge_config.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "gateway_config.hpp"

namespace millrace::gateway {
namespace {

std::string faults_of(const std::string& text) {
  const auto parsed = parse_bridge_config(text, "host-1");
  return parsed.ok() ? "" : parsed.error().message;
}

std::string broker(const std::string& more) {
  return R"({"brokers":[{"name":"plant","uri":"mqtt://b:1883","client_id":"c","tenant":"acme")" + more + "}]}";
}

TEST(BridgeConfig, TheShortestHasTheDefaults) {
  const auto parsed = parse_bridge_config(broker(""), "host-1");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const BridgeBroker& one = parsed->at(0);
  EXPECT_EQ(one.name, "plant");
  EXPECT_EQ(one.address.to_string(), "b:1883");
  EXPECT_FALSE(one.tls);
  EXPECT_TRUE(one.version5);
  EXPECT_EQ(one.session_expiry_s, 86'400U);
  ASSERT_EQ(one.topics.size(), 3U);
  EXPECT_EQ(one.filter(one.topics[0]), "devices/+/telemetry");
  EXPECT_EQ(one.topics[0].tenant, "acme");
}

TEST(BridgeConfig, EverythingThatCanBeSaid) {
  const auto parsed = parse_bridge_config(R"({"brokers":[
    {"name":"a","uri":"mqtts://a:8883","version":"5","client_id":"bridge-{host}","user":"u","password_file":"/dev/null",
     "ca_file":"/dev/null","certificate_file":"/dev/null","key_file":"/dev/null","keep_alive_s":30,
     "session_expiry_s":4294967295,"open_s":5,"share":"millrace",
     "topics":[{"pattern":"{tenant}/up/{device}","qos":2},
               {"pattern":"down/{device}","tenant":"other","use":"commands","qos":0},
               {"pattern":"state/{device}","tenant":"other","metric_prefix":"state."}]},
    {"name":"b","uri":"mqtt://[::1]:1883","version":"3.1.1","client_id":"x","tenant":"acme"}]})",
                                          "host-1");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const BridgeBroker& one = parsed->at(0);
  EXPECT_TRUE(one.tls);
  EXPECT_EQ(one.client_id, "bridge-host-1");
  EXPECT_EQ(one.session_expiry_s, 4'294'967'295U);
  EXPECT_EQ(one.filter(one.topics[0]), "$share/millrace/+/up/+");
  EXPECT_EQ(one.topics[1].use, BridgeUse::kCommand);
  EXPECT_EQ(one.topics[2].metric_prefix, "state.");
  EXPECT_FALSE(parsed->at(1).version5);
}

TEST(BridgeConfig, EveryFaultHasItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{", "is not JSON"},
      {"[]", "brokers is no list of 1 to 64 brokers"},
      {R"({"brokers":[]})", "brokers is no list of 1 to 64 brokers"},
      {R"({"brokers":[7]})", "brokers[0] is no object"},
      {R"({"broker":[]})", "broker is unknown"},
      {broker(R"(,"keepalive":3)"), "brokers[0].keepalive is unknown"},
      {broker(R"(,"version":"4")"), "brokers[0].version '4' is neither 5 nor 3.1.1"},
      {broker(R"(,"keep_alive_s":1)"), "brokers[0].keep_alive_s is no integer from 5 to 3600"},
      {broker(R"(,"keep_alive_s":"60")"), "brokers[0].keep_alive_s is no integer from 5 to 3600"},
      {R"({"brokers":[{"name":"p","uri":"mqtt://b:1","client_id":"a/b","tenant":"t"}]})",
       "brokers[0].client_id has a slash"},
      {broker(R"(,"user":7)"), "brokers[0].user is no text"},
      {broker(R"(,"version":"3.1.1","session_expiry_s":5)"),
       "brokers[0].session_expiry_s is not known to version 3.1.1"},
      {broker(R"(,"password_file":"/nowhere/p","user":"u")"),
       "brokers[0].password_file names /nowhere/p, which cannot"},
      {broker(R"(,"password_file":"/dev/null")"), "brokers[0].password_file is given without user"},
      {broker(R"(,"ca_file":"/dev/null")"), "brokers[0].ca_file has a meaning for mqtts:// only"},
      {broker(R"(,"certificate_file":"/dev/null")"), "brokers[0].certificate_file and key_file are given both"},
      {broker(R"(,"share":"a/b")"), "brokers[0].share 'a/b' is no name of a group"},
      {broker(R"(,"topics":[])"), "brokers[0].topics is no list of 1 to 256 topics"},
      {broker(R"(,"topics":[{"pattern":"a/b"}])"), "brokers[0].topics[0].pattern 'a/b' has no level {device}"},
      {broker(R"(,"topics":[{"pattern":"a/{device}","qos":3}])"), "brokers[0].topics[0].qos is no integer from 0 to 2"},
      {broker(R"(,"topics":[{"pattern":"a/{device}","use":"x"}])"), "brokers[0].topics[0].use 'x' is none of"},
      {broker(R"(,"topics":[{"pattern":"a/{device}"},{"pattern":"+/{device}"}])"),
       "brokers[0].topics[1].pattern overlaps with 'a/+'"},
      {broker(R"(,"topics":[{"pattern":"{tenant}/{device}","tenant":"x"}])"),
       "brokers[0].topics[0].tenant is given, and"},
      {R"({"brokers":[{"name":"p","uri":"b:1","client_id":"c","topics":[{"pattern":"{device}"}]}]})",
       "brokers[0].topics[0].tenant is missing"},
      {R"({"brokers":[{"name":"p","uri":"mqtt://b:1","client_id":"c"}]})", "brokers[0].tenant is missing"},
      {R"({"brokers":[{"name":"p q","uri":"http://b:1","tenant":".x"}]})", "brokers[0].uri 'http://b:1' is neither"},
      {R"({"brokers":[{"name":"p q","uri":"http://b:1","tenant":".x"}]})",
       "brokers[0].client_id has not 1 to 256 bytes"},
      {R"({"brokers":[{"name":"p q","uri":"http://b:1","tenant":".x"}]})", "brokers[0].name "},
      {R"({"brokers":[{"name":"p","uri":"mqtt://b:1","client_id":"c","tenant":"t"},
                      {"name":"p","uri":"mqtt://b:1","client_id":"c","tenant":"t"}]})",
       "brokers[1].client_id 'c' is there twice"},
  };
  for (const auto& [text, wanted] : cases) {
    EXPECT_NE(faults_of(text).find(wanted), std::string::npos) << text << "\n" << wanted << "\n" << faults_of(text);
  }
}

TEST(BridgeConfig, CheckConfigReadsTheFile) {
  const auto path = std::filesystem::temp_directory_path() / ("millrace-bridge-" + std::to_string(::getpid()));
  config::Environment environment{{"MILLRACE_PROTOCOL_GATEWAY_KAFKA_BOOTSTRAP", "k:1"},
                                  {"MILLRACE_PROTOCOL_GATEWAY_STATE_DIR", "/tmp"},
                                  {"MILLRACE_PROTOCOL_GATEWAY_MQTT_ADDR", ""},
                                  {"MILLRACE_PROTOCOL_GATEWAY_HTTP_ADDR", ""},
                                  {"MILLRACE_PROTOCOL_GATEWAY_BRIDGE_FILE", path.string()}};
  const auto missing = config::load(option_table(), environment);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find(path.string() + " cannot be read"), std::string::npos);
  std::ofstream(path) << broker(R"(,"version":"4")");
  const auto faulty = config::load(option_table(), environment);
  ASSERT_FALSE(faulty.ok());
  EXPECT_EQ(faulty.error().message, path.string() + ": brokers[0].version '4' is neither 5 nor 3.1.1\n");
  std::ofstream(path) << broker("");
  const auto loaded = config::load(option_table(), environment);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Config config = read_config(*loaded);
  EXPECT_FALSE(config.mqtt);
  EXPECT_FALSE(config.http);
  EXPECT_EQ(config.bridge.file, path.string());
  EXPECT_EQ(config.bridge.command_topic, "millrace.command-events");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace millrace::gateway
