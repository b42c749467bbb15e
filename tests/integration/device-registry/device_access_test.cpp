// Children and topics of a device over gRPC.
#include "registry_fixture.hpp"

namespace millrace::registry {
namespace {

class DeviceAccess : public Registry {
 protected:
  void SetUp() override {
    Registry::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) make_device("gateway");
  }
  std::string set_children(const std::vector<std::string>& children, const std::string& key) {
    v1::SetDeviceChildrenRequest request;
    request.set_device("gateway");
    request.mutable_children()->Assign(children.begin(), children.end());
    return said(&Stub::SetDeviceChildren, request, key);
  }
  static v1::TopicRule rule(const std::string& filter) {
    v1::TopicRule made;
    made.set_filter(filter);
    made.set_publish(true);
    return made;
  }
  std::string set_topics(const std::vector<v1::TopicRule>& topics, const std::string& key) {
    v1::SetDeviceTopicsRequest request;
    request.set_device("gateway");
    request.mutable_topics()->Assign(topics.begin(), topics.end());
    return said(&Stub::SetDeviceTopics, request, key);
  }
  v1::GetDeviceAccessResponse get() {
    v1::GetDeviceAccessRequest request;
    request.set_device("gateway");
    v1::GetDeviceAccessResponse response;
    EXPECT_EQ(text_of(call(&Stub::GetDeviceAccess, request, response, viewer_)), "OK");
    return response;
  }
  v1::Entry entry() { return published("credentials/acme/gateway"); }
};

TEST_F(DeviceAccess, EachIsReplacedAsAWholeAndTheOtherStays) {
  EXPECT_TRUE(get().children().empty());
  ASSERT_EQ(set_children({"meter-1", "hall-7-*", "*"}, operator_), "OK");
  auto both = rule("hall/{device}/#");
  both.set_subscribe(true);
  ASSERT_EQ(set_topics({both, rule("+/news")}, operator_), "OK");
  EXPECT_EQ(get().children_size(), 3);
  const auto now = entry().credentials();
  EXPECT_EQ(now.device(), "gateway");
  ASSERT_EQ(now.children_size(), 3);
  EXPECT_EQ(now.children(1), "hall-7-*");
  ASSERT_EQ(now.topics_size(), 2);
  EXPECT_EQ(now.topics(0).filter(), "hall/{device}/#");
  EXPECT_TRUE(now.topics(0).publish() && now.topics(0).subscribe());
  EXPECT_FALSE(now.topics(1).subscribe());

  ASSERT_EQ(set_children({"meter-2"}, operator_), "OK");
  EXPECT_EQ(entry().credentials().children_size(), 1);
  EXPECT_EQ(entry().credentials().topics_size(), 2);
  ASSERT_EQ(set_topics({}, operator_), "OK");
  EXPECT_EQ(get().topics_size(), 0);
  EXPECT_EQ(entry().credentials().children(0), "meter-2");
  ASSERT_EQ(set_children({}, operator_), "OK");
  EXPECT_FALSE(entry().has_credentials());
}

TEST_F(DeviceAccess, CredentialsAreInTheSameEntry) {
  ASSERT_EQ(set_children({"meter-1"}, operator_), "OK");
  v1::AddCredentialRequest credential;
  credential.set_device("gateway");
  ASSERT_EQ(said(&Stub::AddCredential, credential, operator_), "OK");
  EXPECT_EQ(entry().credentials().children_size(), 1);
  EXPECT_EQ(entry().credentials().credentials_size(), 1);
  ASSERT_EQ(set_children({}, operator_), "OK");
  EXPECT_EQ(entry().credentials().credentials_size(), 1);
}

TEST_F(DeviceAccess, TheAckLevelOfADeviceIsInTheSameEntry) {
  v1::SetDeviceAckLevelRequest level;
  level.set_device("gateway");
  level.set_ack_level(v1::ACK_LEVEL_STORED);
  ASSERT_EQ(said(&Stub::SetDeviceAckLevel, level, operator_), "OK");
  EXPECT_EQ(entry().credentials().ack_level(), v1::ACK_LEVEL_STORED);
  ASSERT_EQ(set_children({"meter-1"}, operator_), "OK");
  ASSERT_EQ(set_children({}, operator_), "OK");
  EXPECT_EQ(get().ack_level(), v1::ACK_LEVEL_STORED);
  level.set_ack_level(static_cast<v1::AckLevel>(7));
  EXPECT_TRUE(said(&Stub::SetDeviceAckLevel, level, operator_).starts_with("INVALID_ARGUMENT: ack_level is"));
  level.set_ack_level(v1::ACK_LEVEL_UNSPECIFIED);
  ASSERT_EQ(said(&Stub::SetDeviceAckLevel, level, operator_), "OK");
  EXPECT_FALSE(entry().has_credentials());
}

TEST_F(DeviceAccess, ChildThatIsNoneIsNamed) {
  const std::string kWrong = "INVALID_ARGUMENT: children[1] must be a device id, or the beginning of ids and a '*'";
  for (const char* child : {"", "no/id", "a*b", "**", ".hidden", "x y*"}) {
    EXPECT_EQ(set_children({"fine", child}, operator_), kWrong) << child;
  }
  EXPECT_EQ(set_children(std::vector<std::string>(64, "meter"), operator_), "OK");
  EXPECT_EQ(set_children(std::vector<std::string>(65, "meter"), operator_),
            "INVALID_ARGUMENT: children has more than 64 entries");
}

TEST_F(DeviceAccess, TopicThatIsNoneIsNamed) {
  const auto refused = [&](const std::string& filter) { return set_topics({rule("fine"), rule(filter)}, operator_); };
  for (const char* filter : {"", "a/#/b", "a+", "{device}#", "a/{device}+"}) {
    EXPECT_TRUE(refused(filter).starts_with("INVALID_ARGUMENT: topics[1].filter is no topic filter")) << filter;
  }
  for (const char* filter : {"$share/g/a", "$SYS/#", "$"}) {
    EXPECT_TRUE(refused(filter).starts_with("INVALID_ARGUMENT: topics[1].filter must not begin with '$'")) << filter;
  }
  for (const char* filter : {"devices", "devices/{device}/#", "devices/+/errors"}) {
    EXPECT_TRUE(refused(filter).starts_with("INVALID_ARGUMENT: topics[1].filter is beneath devices/")) << filter;
  }
  EXPECT_EQ(refused(std::string(257, 'x')), "INVALID_ARGUMENT: topics[1].filter is longer than 256 bytes");
  auto nothing = rule("a");
  nothing.set_publish(false);
  EXPECT_EQ(set_topics({nothing}, operator_), "INVALID_ARGUMENT: topics[0] must allow publish or subscribe or both");
  EXPECT_EQ(set_topics(std::vector(65, rule("a")), operator_), "INVALID_ARGUMENT: topics has more than 64 entries");
  EXPECT_EQ(set_topics(std::vector(64, rule("devices-of/{device}/+/#")), operator_), "OK");
}

TEST_F(DeviceAccess, RolesAndTenants) {
  EXPECT_EQ(set_children({"a"}, viewer_).substr(0, 18), "PERMISSION_DENIED:");
  EXPECT_EQ(set_topics({rule("a")}, viewer_).substr(0, 18), "PERMISSION_DENIED:");
  EXPECT_EQ(set_children({"a"}, other_), "NOT_FOUND: there is no device 'gateway' in tenant other");
  EXPECT_EQ(set_topics({rule("a")}, other_), "NOT_FOUND: there is no device 'gateway' in tenant other");
  v1::GetDeviceAccessRequest foreign;
  foreign.set_device("gateway");
  EXPECT_EQ(code_of(&Stub::GetDeviceAccess, foreign, other_), grpc::StatusCode::NOT_FOUND);
  foreign.set_tenant("acme");
  EXPECT_EQ(code_of(&Stub::GetDeviceAccess, foreign, other_), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(DeviceAccess, ADeletedDeviceHasNone) {
  ASSERT_EQ(set_children({"meter-1"}, operator_), "OK");
  delete_device("gateway");
  EXPECT_FALSE(entry().has_credentials());
  make_device("gateway");
  EXPECT_TRUE(get().children().empty());
}

}  // namespace
}  // namespace millrace::registry
