#include <millrace/telemetry/message_schema.hpp>

#include "descriptor_set.hpp"
#include "payload_checks.hpp"

namespace millrace::fuzz {
namespace {

const test::DescriptorSet& descriptors() {
  static const test::DescriptorSet set(R"(
    syntax = "proto3";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
    enum Mode { OFF = 0; ON = 1; }
    message Part { string s = 1; optional sint32 i = 2; Part part = 3; repeated Part parts = 4; }
    message R {
      google.protobuf.Timestamp ts = 1;
      string device_id = 2;
      optional double d = 3;
      optional float f = 4;
      optional int64 i = 5;
      optional uint64 u = 6;
      optional bool b = 7;
      optional bytes raw = 8;
      optional Mode mode = 9;
      Part part = 10;
      repeated double packed = 11;
      repeated int32 numbers = 12;
      map<string, Part> map = 13;
      oneof either { int32 left = 14; string right = 15; }
      google.protobuf.DoubleValue wrapped = 16;
      google.protobuf.Timestamp changed = 17;
    })");
  return set;
}

}  // namespace

// Two things of the same bytes: a message of a fixed descriptor, and a descriptor that somebody wants to register.
void fuzz_one(std::string_view bytes) {
  static const auto schema = *telemetry::MessageSchema::build(descriptors().bytes(), "R");
  telemetry::DecodeOptions options{"d", "", "", 1'700'000'000'000'000};
  options.schema = schema.get();
  check_payload(telemetry::PayloadFormat::kProtobuf, bytes, options);

  const auto registered = telemetry::MessageSchema::build(bytes, "R");
  if (!registered) {
    require(!registered.error().message.empty(), "a refusal says why");
    return;
  }
  options.schema = registered->get();
  check_payload(telemetry::PayloadFormat::kProtobuf, bytes, options);
}

}  // namespace millrace::fuzz
