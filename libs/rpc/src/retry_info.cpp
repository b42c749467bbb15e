// google.rpc.RetryInfo in a status's details (google/rpc/status.proto and error_details.proto), written and read by
// hand: two small messages are not worth a dependency.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <millrace/rpc/call.hpp>

namespace millrace::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using std::chrono::milliseconds;

constexpr const char* kTypeUrl = "type.googleapis.com/google.rpc.RetryInfo";
// google.rpc.Status
constexpr int kCode = 1;
constexpr int kMessage = 2;
constexpr int kDetails = 3;
// google.rpc.RetryInfo
constexpr int kRetryDelay = 1;

void put_bytes(google::protobuf::io::CodedOutputStream& out, int field, const std::string& bytes) {
  out.WriteTag(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  out.WriteVarint32(static_cast<std::uint32_t>(bytes.size()));
  out.WriteString(bytes);
}

template <typename Write>
std::string written(Write write) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  write(out);
  out.Trim();
  return bytes;
}

/// The fields `field` of a message, each with its bytes.
std::vector<std::string> fields_of(const std::string& message, int field) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(message.data()),
                                            static_cast<int>(message.size()));
  std::vector<std::string> found;
  while (const std::uint32_t tag = in.ReadTag()) {
    const bool wanted = WireFormatLite::GetTagFieldNumber(tag) == field &&
                        WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    if (!wanted) {
      if (!WireFormatLite::SkipField(&in, tag)) break;
      continue;
    }
    std::uint32_t size = 0;
    std::string bytes;
    if (!in.ReadVarint32(&size) || !in.ReadString(&bytes, static_cast<int>(size))) break;
    found.push_back(std::move(bytes));
  }
  return found;
}

}  // namespace

grpc::Status with_retry_info(const grpc::Status& status, milliseconds after) {
  google::protobuf::Duration delay;
  delay.set_seconds(after.count() / 1'000);
  delay.set_nanos(static_cast<int>(after.count() % 1'000) * 1'000'000);
  google::protobuf::Any detail;
  detail.set_type_url(kTypeUrl);
  detail.set_value(written([&](auto& out) { put_bytes(out, kRetryDelay, delay.SerializeAsString()); }));
  const std::string details = written([&](auto& out) {
    out.WriteTag(WireFormatLite::MakeTag(kCode, WireFormatLite::WIRETYPE_VARINT));
    out.WriteVarint32(static_cast<std::uint32_t>(status.error_code()));
    put_bytes(out, kMessage, status.error_message());
    put_bytes(out, kDetails, detail.SerializeAsString());
  });
  return {status.error_code(), status.error_message(), details};
}

std::optional<milliseconds> retry_info_of(const grpc::Status& status) {
  for (const std::string& bytes : fields_of(status.error_details(), kDetails)) {
    google::protobuf::Any detail;
    if (!detail.ParseFromString(bytes) || detail.type_url() != kTypeUrl) continue;
    for (const std::string& info : fields_of(detail.value(), kRetryDelay)) {
      google::protobuf::Duration delay;
      if (!delay.ParseFromString(info)) continue;
      return milliseconds{delay.seconds() * 1'000 + delay.nanos() / 1'000'000};
    }
  }
  return std::nullopt;
}

}  // namespace millrace::rpc
