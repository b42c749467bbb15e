// What the commands of device types ask for, and what they print.
#include <filesystem>
#include <fstream>
#include <sstream>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>

#include "command_error.hpp"
#include "command_line.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "said.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;

/// Keeps what was asked last. One call at a time.
class FakeRegistry : public api::RegistryService::Service {
 public:
  grpc::Status SetDeviceType(grpc::ServerContext* /*context*/, const api::SetDeviceTypeRequest* request,
                             api::DeviceType* response) override {
    const api::DeviceTypeEntry& asked = request->type();
    type.set(asked);
    response->set_type(asked.type());
    response->set_format(asked.format());
    response->set_message(asked.message());
    response->set_descriptor_set_bytes(static_cast<std::int32_t>(asked.descriptor_set().size()));
    if (!asked.message().empty()) response->add_zero_is_absent("acme.Reading.on");
    return grpc::Status::OK;
  }
  grpc::Status ListDeviceTypes(grpc::ServerContext* /*context*/, const api::ListDeviceTypesRequest* /*request*/,
                               api::ListDeviceTypesResponse* response) override {
    response->add_types()->set_type(type.get().type());
    response->mutable_types(0)->set_format(type.get().format());
    return grpc::Status::OK;
  }
  grpc::Status DeleteDeviceType(grpc::ServerContext* /*context*/, const api::DeleteDeviceTypeRequest* /*request*/,
                                api::DeleteDeviceTypeResponse* /*response*/) override {
    return {grpc::StatusCode::FAILED_PRECONDITION, "devices have it"};
  }
  grpc::Status GetDevice(grpc::ServerContext* /*context*/, const api::GetDeviceRequest* request,
                         api::Device* response) override {
    response->set_device(request->device());
    response->set_type(given.get().type());
    return grpc::Status::OK;
  }
  grpc::Status SetTypeOfDevice(grpc::ServerContext* /*context*/, const api::SetTypeOfDeviceRequest* request,
                               api::Device* response) override {
    given.set(*request);
    response->set_device(request->device());
    response->set_type(request->type());
    return grpc::Status::OK;
  }
  grpc::Status CreateDevice(grpc::ServerContext* /*context*/, const api::CreateDeviceRequest* request,
                            api::CreateDeviceResponse* response) override {
    created.set(*request);
    response->set_token("mt_drawn");
    return grpc::Status::OK;
  }

  Said<api::DeviceTypeEntry> type;
  Said<api::SetTypeOfDeviceRequest> given;
  Said<api::CreateDeviceRequest> created;
};

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class TypeCommands : public ::testing::Test {
 protected:
  TypeCommands() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&registry_);
    server_ = builder.BuildAndStart();
  }
  ~TypeCommands() override { std::filesystem::remove(file_); }

  Outcome run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(),
                     {"--registry", "127.0.0.1:" + std::to_string(port_), "--api-key", "mk_x", "--tenant", "acme"});
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_command_line(std::move(arguments), {in, out, err});
    return {code, out.str(), err.str()};
  }
  std::string file(const std::string& bytes) const {
    std::ofstream(file_, std::ios::binary) << bytes;
    return file_.string();
  }

  FakeRegistry registry_;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::filesystem::path file_ =
      std::filesystem::path(::testing::TempDir()) / ("millrace-type-" + to_hex(random_bytes(4)));
};

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(TypeCommands, ATypeIsSetWithTheBytesOfItsDescriptor) {
  const std::string bytes("\0\xff\n", 3);
  const Outcome set =
      run({"type", "set", "meter", "--format", "protobuf", "--descriptor", file(bytes), "--message", "acme.Reading"});
  EXPECT_EQ(set.code, 0) << set.err;
  EXPECT_EQ(registry_.type.get().tenant(), "acme");
  EXPECT_EQ(registry_.type.get().type(), "meter");
  EXPECT_EQ(registry_.type.get().format(), api::PAYLOAD_FORMAT_PROTOBUF);
  EXPECT_EQ(registry_.type.get().descriptor_set(), bytes);
  EXPECT_EQ(registry_.type.get().message(), "acme.Reading");
  EXPECT_TRUE(holds(set.out, "3 bytes")) << set.out;
  EXPECT_TRUE(holds(set.out, "note: acme.Reading.on: 0 is no point; declare it `optional` if it can be 0")) << set.out;
  EXPECT_EQ(run({"type", "set", "fan", "--format", "senml-cbor", "--json"}).out,
            "{\"type\":\"fan\",\"tenant\":\"\",\"format\":\"senml-cbor\",\"message\":\"\",\"descriptor_set_bytes\":0,"
            "\"zero_is_absent\":[]}\n");
  EXPECT_TRUE(holds(run({"type", "list"}).out, "senml-cbor"));
}

TEST_F(TypeCommands, WhatIsWrongIsSaidBeforeTheCall) {
  EXPECT_EQ(run({"type", "set", "meter"}).code, kExitUsage);
  EXPECT_EQ(run({"type", "set", "meter", "--format", "xml"}).code, kExitUsage);
  EXPECT_EQ(run({"type", "set", "meter", "--format", "protobuf", "--message", "acme.Reading"}).code, kExitUsage);
  const Outcome large = run({"type", "set", "meter", "--format", "protobuf", "--descriptor",
                             file(std::string(256 * 1024 + 1, 'x')), "--message", "R"});
  EXPECT_EQ(large.code, kExitFailed);
  EXPECT_TRUE(holds(large.err, "--descriptor: more than 262144 bytes")) << large.err;
  EXPECT_EQ(registry_.type.get().type(), "");
  const Outcome used = run({"type", "delete", "meter"});
  EXPECT_EQ(used.code, kExitFailed);
  EXPECT_TRUE(holds(used.err, "devices have it")) << used.err;
}

TEST_F(TypeCommands, ADeviceIsGivenOne) {
  EXPECT_EQ(run({"device", "type", "m-1"}).out, "device m-1 has no type\n");
  EXPECT_EQ(run({"device", "type", "m-1", "meter"}).out, "device m-1 is of type meter\n");
  EXPECT_EQ(registry_.given.get().type(), "meter");
  EXPECT_EQ(run({"device", "type", "m-1", "--json"}).out, "{\"device\":\"m-1\",\"type\":\"meter\"}\n");
  EXPECT_EQ(run({"device", "type", "m-1", "--none"}).out, "device m-1 has no type\n");
  EXPECT_EQ(registry_.given.get().type(), "");
  EXPECT_EQ(run({"device", "type", "m-1", "meter", "--none"}).code, kExitUsage);
  EXPECT_EQ(run({"device", "create", "m-2", "--type", "meter"}).code, 0);
  EXPECT_EQ(registry_.created.get().type(), "meter");
}

}  // namespace
}  // namespace millrace::cli
