// Types of devices over gRPC.
#include "descriptor_set.hpp"
#include "registry_fixture.hpp"

namespace millrace::registry {
namespace {

class DeviceTypes : public Registry {
 protected:
  static v1::SetDeviceTypeRequest request(const std::string& type, v1::PayloadFormat format = v1::PAYLOAD_FORMAT_CBOR) {
    v1::SetDeviceTypeRequest made;
    made.mutable_type()->set_type(type);
    made.mutable_type()->set_format(format);
    return made;
  }
  v1::SetDeviceTypeRequest with_descriptor(const std::string& message = "acme.Reading") {
    auto made = request("meter", v1::PAYLOAD_FORMAT_PROTOBUF);
    made.mutable_type()->set_descriptor_set(descriptor_.bytes());
    made.mutable_type()->set_message(message);
    return made;
  }
  std::string set(const v1::SetDeviceTypeRequest& wanted, const std::string& key) {
    return said(&Stub::SetDeviceType, wanted, key);
  }
  v1::ListDeviceTypesResponse list(const std::string& key) {
    v1::ListDeviceTypesResponse response;
    EXPECT_EQ(text_of(call(&Stub::ListDeviceTypes, v1::ListDeviceTypesRequest(), response, key)), "OK");
    return response;
  }
  std::string remove(const std::string& type, const std::string& key) {
    v1::DeleteDeviceTypeRequest wanted;
    wanted.set_type(type);
    return said(&Stub::DeleteDeviceType, wanted, key);
  }
  std::string give(const std::string& device, const std::string& type, const std::string& key) {
    v1::SetTypeOfDeviceRequest wanted;
    wanted.set_device(device);
    wanted.set_type(type);
    return said(&Stub::SetTypeOfDevice, wanted, key);
  }
  v1::Device device(const std::string& name) {
    v1::GetDeviceRequest wanted;
    wanted.set_device(name);
    v1::Device response;
    EXPECT_EQ(text_of(call(&Stub::GetDevice, wanted, response, viewer_)), "OK");
    return response;
  }

  test::DescriptorSet descriptor_{R"(syntax = "proto3"; package acme;
    message Reading { optional double power = 1; bool on = 2; })"};
};

TEST_F(DeviceTypes, ATypeIsKeptShownPublishedAndReplaced) {
  v1::DeviceType answer;
  ASSERT_EQ(text_of(call(&Stub::SetDeviceType, with_descriptor(), answer, admin_)), "OK");
  EXPECT_EQ(answer.tenant(), "acme");
  EXPECT_EQ(answer.message(), "acme.Reading");
  EXPECT_EQ(answer.descriptor_set_bytes(), static_cast<std::int32_t>(descriptor_.bytes().size()));
  ASSERT_EQ(answer.zero_is_absent_size(), 1);
  EXPECT_EQ(answer.zero_is_absent(0), "acme.Reading.on");
  EXPECT_EQ(published("type/acme/meter").type().descriptor_set(), descriptor_.bytes());

  v1::GetDeviceTypeRequest wanted;
  wanted.set_type("meter");
  v1::DeviceTypeEntry entry;
  ASSERT_EQ(text_of(call(&Stub::GetDeviceType, wanted, entry, viewer_)), "OK");
  EXPECT_EQ(entry.SerializeAsString(), published("type/acme/meter").type().SerializeAsString());

  ASSERT_EQ(set(request("meter", v1::PAYLOAD_FORMAT_TEXT), admin_), "OK");
  ASSERT_EQ(set(request("fan"), admin_), "OK");
  const auto all = list(viewer_);
  ASSERT_EQ(all.types_size(), 2);
  EXPECT_EQ(all.types(0).type(), "fan");
  EXPECT_EQ(all.types(1).format(), v1::PAYLOAD_FORMAT_TEXT);
  EXPECT_EQ(all.types(1).descriptor_set_bytes(), 0);
  EXPECT_EQ(published("type/acme/meter").type().format(), v1::PAYLOAD_FORMAT_TEXT);

  EXPECT_EQ(remove("fan", admin_), "OK");
  EXPECT_FALSE(published("type/acme/fan").has_type());
  EXPECT_EQ(remove("fan", admin_), "NOT_FOUND: there is no device type 'fan' in tenant acme");
}

TEST_F(DeviceTypes, WhatCannotBeUsedIsNamed) {
  EXPECT_EQ(set(request("a/b"), admin_),
            "INVALID_ARGUMENT: device type must be 1 to 64 of A-Za-z0-9._:- and not start with '.'");
  EXPECT_EQ(set(request("a", v1::PAYLOAD_FORMAT_UNSPECIFIED), admin_),
            "INVALID_ARGUMENT: type.format must be json, cbor, senml_json, senml_cbor, protobuf or text");
  EXPECT_EQ(
      set(with_descriptor("acme.Readings"), admin_),
      "INVALID_ARGUMENT: type.descriptor_set: the descriptor set has no message 'acme.Readings'; its messages are "
      "acme.Reading");
  auto wanted = with_descriptor();
  wanted.mutable_type()->clear_descriptor_set();
  EXPECT_EQ(set(wanted, admin_), "INVALID_ARGUMENT: type.message says nothing without type.descriptor_set");
  wanted = with_descriptor();
  wanted.mutable_type()->set_descriptor_set(std::string(256 * 1024 + 1, 'x'));
  EXPECT_TRUE(
      set(wanted, admin_)
          .starts_with(
              "INVALID_ARGUMENT: type.descriptor_set: the descriptor set has 262145 bytes; at most 262144 are taken"));
  EXPECT_TRUE(list(viewer_).types().empty());
}

TEST_F(DeviceTypes, WhoMayDoWhat) {
  EXPECT_TRUE(set(request("meter"), operator_).starts_with("PERMISSION_DENIED"));
  auto wanted = request("meter");
  wanted.mutable_type()->set_tenant("acme");
  EXPECT_TRUE(set(wanted, other_).starts_with("PERMISSION_DENIED"));
  ASSERT_EQ(set(wanted, platform_), "OK");
  make_device("m-1");
  EXPECT_TRUE(give("m-1", "meter", viewer_).starts_with("PERMISSION_DENIED"));
  EXPECT_EQ(give("m-1", "meter", operator_), "OK");
  EXPECT_TRUE(remove("meter", operator_).starts_with("PERMISSION_DENIED"));
  EXPECT_TRUE(list(other_).types().empty());
}

TEST_F(DeviceTypes, DevicesHaveOneAndKeepIt) {
  ASSERT_EQ(set(request("meter"), admin_), "OK");
  v1::CreateDeviceRequest wanted;
  wanted.set_device("m-1");
  wanted.set_type("meter");
  v1::CreateDeviceResponse created;
  ASSERT_EQ(text_of(call(&Stub::CreateDevice, wanted, created, operator_)), "OK");
  EXPECT_EQ(created.device().type(), "meter");
  EXPECT_EQ(published("device/acme/m-1").device().type(), "meter");
  make_device("m-2");
  EXPECT_EQ(device("m-2").type(), "");
  EXPECT_EQ(give("m-2", "meter", operator_), "OK");
  EXPECT_EQ(device("m-2").type(), "meter");
  EXPECT_EQ(published("device/acme/m-2").device().type(), "meter");
  EXPECT_EQ(published("device/acme/m-2").device().token_sha256_size(), 1);

  // A change of another kind leaves it.
  v1::SetDeviceEnabledRequest disable;
  disable.set_device("m-2");
  ASSERT_EQ(said(&Stub::SetDeviceEnabled, disable, operator_), "OK");
  EXPECT_EQ(published("device/acme/m-2").device().type(), "meter");

  EXPECT_EQ(remove("meter", admin_),
            "FAILED_PRECONDITION: device type 'meter' is that of device 'm-1' and maybe others; give them another type "
            "or none first");
  EXPECT_EQ(give("m-1", "", operator_), "OK");
  delete_device("m-2");
  EXPECT_EQ(published("device/acme/m-1").device().type(), "");
  EXPECT_EQ(remove("meter", admin_), "OK");
}

TEST_F(DeviceTypes, ATypeThatIsNotThereIsNotGiven) {
  v1::CreateDeviceRequest wanted;
  wanted.set_device("m-1");
  wanted.set_type("meter");
  EXPECT_EQ(said(&Stub::CreateDevice, wanted, operator_), "NOT_FOUND: there is no device type 'meter' in tenant acme");
  wanted.set_type("a/b");
  EXPECT_TRUE(said(&Stub::CreateDevice, wanted, operator_).starts_with("INVALID_ARGUMENT: device type must be"));
  make_device("m-1");
  EXPECT_EQ(give("m-1", "meter", operator_), "NOT_FOUND: there is no device type 'meter' in tenant acme");
  ASSERT_EQ(set(request("meter"), admin_), "OK");
  EXPECT_EQ(give("m-9", "meter", operator_), "NOT_FOUND: there is no device 'm-9' in tenant acme");
}

TEST_F(DeviceTypes, AnImportGivesTypes) {
  ASSERT_EQ(set(request("meter"), admin_), "OK");
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + operator_);
  const auto stream = stub_->ImportDevices(&context);
  for (const char* type : {"meter", "missing", ""}) {
    v1::CreateDeviceRequest wanted;
    wanted.set_device("m-" + std::string(*type == '\0' ? "none" : type));
    wanted.set_type(type);
    ASSERT_TRUE(stream->Write(wanted));
  }
  stream->WritesDone();
  std::vector<std::string> errors;
  for (v1::ImportDeviceResult result; stream->Read(&result);) errors.push_back(result.error());
  ASSERT_TRUE(stream->Finish().ok());
  EXPECT_EQ(errors, (std::vector<std::string>{"", "there is no device type 'missing' in tenant acme", ""}));
  EXPECT_EQ(device("m-meter").type(), "meter");
  EXPECT_EQ(device("m-none").type(), "");
}

TEST_F(DeviceTypes, ATenantTakesItsTypesWithIt) {
  auto wanted = request("meter");
  wanted.mutable_type()->set_tenant("other");
  ASSERT_EQ(set(wanted, platform_), "OK");
  EXPECT_TRUE(published("type/other/meter").has_type());
  v1::DeleteTenantRequest gone;
  gone.set_tenant("other");
  ASSERT_EQ(said(&Stub::DeleteTenant, gone, platform_), "OK");
  EXPECT_FALSE(published("type/other/meter").has_type());
}

TEST_F(DeviceTypes, ATenantHasSoManyAndNoMore) {
  for (int i = 0; i < 256; ++i) ASSERT_EQ(set(request("t" + std::to_string(i)), admin_), "OK");
  EXPECT_EQ(set(request("t256"), admin_),
            "RESOURCE_EXHAUSTED: a tenant has at most 256 device types; delete one that no device has");
  EXPECT_EQ(set(request("t0"), admin_), "OK");
}

}  // namespace
}  // namespace millrace::registry
