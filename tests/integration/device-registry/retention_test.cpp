// For how long points are kept, over gRPC.
#include "registry_fixture.hpp"

namespace millrace::registry {
namespace {

class Retention : public Registry {
 protected:
  std::string set(const std::string& type, std::optional<int> days, const std::string& key) {
    v1::SetRetentionRequest wanted;
    wanted.set_type(type);
    if (days) wanted.set_days(*days);
    return said(&Stub::SetRetention, wanted, key);
  }
  v1::RetentionEntry get(const std::string& key) {
    v1::RetentionEntry entry;
    EXPECT_EQ(text_of(call(&Stub::GetRetention, v1::GetRetentionRequest(), entry, key)), "OK");
    return entry;
  }
  void put_type(const std::string& type) {
    v1::SetDeviceTypeRequest wanted;
    wanted.mutable_type()->set_type(type);
    wanted.mutable_type()->set_format(v1::PAYLOAD_FORMAT_JSON);
    ASSERT_EQ(said(&Stub::SetDeviceType, wanted, admin_), "OK");
  }
};

TEST_F(Retention, IsKeptShownAndPublishedByTenantAndType) {
  EXPECT_EQ(get(viewer_).days(), 0);
  EXPECT_EQ(get(viewer_).tenant(), "acme");
  put_type("meter");
  put_type("bell");
  EXPECT_EQ(set("", 400, admin_), "OK");
  EXPECT_EQ(set("meter", 0, admin_), "OK");
  EXPECT_EQ(set("bell", 30, admin_), "OK");
  EXPECT_EQ(set("bell", 31, admin_), "OK");
  const v1::RetentionEntry shown = get(viewer_);
  EXPECT_EQ(shown.days(), 400);
  ASSERT_EQ(shown.types_size(), 2);
  EXPECT_EQ(shown.types(0).type(), "bell");
  EXPECT_EQ(shown.types(0).days(), 31);
  EXPECT_EQ(shown.types(1).days(), 0);
  EXPECT_EQ(published("retention/acme").retention().SerializeAsString(), shown.SerializeAsString());

  EXPECT_EQ(set("", std::nullopt, admin_), "OK");
  EXPECT_EQ(get(viewer_).days(), 0);
  // A type that goes takes its days with it.
  v1::DeleteDeviceTypeRequest gone;
  gone.set_type("bell");
  EXPECT_EQ(said(&Stub::DeleteDeviceType, gone, admin_), "OK");
  EXPECT_EQ(get(viewer_).types_size(), 1);
  EXPECT_EQ(set("meter", std::nullopt, admin_), "OK");
  EXPECT_FALSE(published("retention/acme").has_retention());
}

TEST_F(Retention, IsRefusedWithItsReason) {
  EXPECT_EQ(set("", -1, admin_), "INVALID_ARGUMENT: days must be 1 to 36500, or 0 for ever; it is -1");
  EXPECT_EQ(set("", 36'501, admin_), "INVALID_ARGUMENT: days must be 1 to 36500, or 0 for ever; it is 36501");
  EXPECT_EQ(set("nothing", 3, admin_), "NOT_FOUND: there is no device type 'nothing' in tenant acme");
  EXPECT_EQ(set("nothing", std::nullopt, admin_), "OK") << "there is none, and so it stays";
  EXPECT_EQ(set("", 3, operator_).substr(0, 17), "PERMISSION_DENIED");
  EXPECT_EQ(get(viewer_).days(), 0);
}

}  // namespace
}  // namespace millrace::registry
