// Every call of the service, as the service itself lists them, with the key of another tenant.
#include <functional>
#include <map>

#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/impl/codegen/client_callback.h>
#include <grpcpp/impl/codegen/sync_stream.h>

#include "millrace/alerts/v1/alert.pb.h"
#include "query_fixture.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using storage_schema::MetricType;

constexpr const char* kMarker = "acme-secret";
constexpr const char* kEpisode = "00112233445566778899aabbccddeeff";

bool holds_marker(const Message& answer) { return answer.SerializeAsString().find(kMarker) != std::string::npos; }
bool answered(const Message&) { return true; }
bool knows_receipt(const Message& answer) {
  return static_cast<const api::GetReceiptResponse&>(answer).state() != api::RECEIPT_STATE_UNKNOWN;
}

bool loses_something(const Message& answer) {
  return static_cast<const api::PreviewRetentionResponse&>(answer).days_size() > 0;
}

struct Case {
  std::string request;                                       ///< in protobuf's text format
  std::function<bool(const Message&)> shows = holds_marker;  ///< whether an answer tells something of acme
  bool control = true;                                       ///< the same request with acme's own key shows it
};

class Isolation : public QueryApi {
 protected:
  /// One of each kind, of the device acme-only, which only acme has.
  void put_data() {
    put_device("acme", "acme-only", 77);
    const auto id = metric("acme", kMarker, MetricType::kText);
    const auto number = metric("acme", "number", MetricType::kDouble);
    insert_sample(77, id, kStart, std::string(kMarker));
    insert_sample(77, number, kStart, 12345.0);
    metric("other", kMarker, MetricType::kText);
    metric("other", "number", MetricType::kDouble);
    sql("INSERT INTO storage.latest (device_id, metric, time, kind, other, max_time) VALUES (77, " +
        std::to_string(id) + ", now(), 3, '" + kMarker + "', now())");
    sql("INSERT INTO storage.window_result VALUES (77, " + std::to_string(number) +
        ", '2026-01-01', 60000000, 1, 1, 1, 1, 1, '2026-01-01', 1, true, false)");
    alerts::v1::Alert alert;
    alert.set_alert_id(kEpisode);
    alert.set_description(kMarker);
    postgres::Params params;
    params.text(kEpisode).bytea(alert.SerializeAsString());
    ASSERT_TRUE(
        database_->exec("INSERT INTO storage.alert (alert_key, event_number, alert_id, tenant, rule, device,"
                        " metric, state, severity, raised_at, description, event) VALUES ('k', 1, $1, 'acme',"
                        " 'r', 'acme-only', 'm', 1, 1, '2026-01-01', '', $2)",
                        params));
    devices::v1::Presence presence;
    presence.set_tenant("acme");
    presence.set_device("acme-only");
    presence.set_client_id(kMarker);
    presence.set_state(devices::v1::PRESENCE_STATE_CONNECTED);
    put_presence(presence);
    const auto record = produce("acme", 1);
    receipt_ = std::to_string(record.partition) + ":" + std::to_string(record.offset);
    produce_dead("acme", kMarker, {{"tenant", "acme"}, {"reason", "test"}});
  }

  /// What is asked, beside the tenant; a call that is not here fails the test.
  std::map<std::string, Case> cases() const {
    const std::string range = " from_us: " + std::to_string(kStart) + " to_us: " + std::to_string(kStart + 10);
    return {
        {"Latest", {"devices: 'acme-only'"}},
        {"Range", {"device: 'acme-only' metric: 'acme-secret'" + range}},
        {"Aggregate", {"devices: 'acme-only' metric: 'number' step_us: 1000" + range, answered}},
        {"TopN", {"devices: 'acme-only' metric: 'number'" + range, answered}},
        {"GetReceipt", {"receipt: '" + receipt_ + "'", knows_receipt}},
        {"Tail", {"devices: 'acme-only'", holds_marker, false}},
        {"ListDeadLetters", {""}},
        {"ListWindows", {"device: 'acme-only' metric: 'number'" + range, answered}},
        {"ListAlerts", {std::string("alert_id: '") + kEpisode + "'"}},
        {"ListPresence", {""}},
        {"Export", {"devices: 'acme-only'" + range}},
        {"GetLimitUse", {"device: 'acme-only'", answered}},
        {"GetLedger", {"device: 'acme-only'" + range, answered, false}},
        {"PreviewRetention", {"change { days: 1 }", loses_something}},
    };
  }

  /// Whatever the shape of the call: all its answers.
  grpc::Status call(const MethodDescriptor& method, const Message& request, const std::string& key,
                    std::vector<std::unique_ptr<Message>>& answers) {
    const std::string path = "/" + method.service()->full_name() + "/" + method.name();
    const auto channel = grpc::CreateChannel(app_->grpc_address().to_string(), grpc::InsecureChannelCredentials());
    const grpc::internal::RpcMethod rpc(path.c_str(), grpc::internal::RpcMethod::SERVER_STREAMING);
    const auto with_key = context(key);
    const std::string bytes = request.SerializeAsString();
    const grpc::Slice slice(bytes);
    const std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> reader(
        grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(channel.get(), rpc, with_key.get(),
                                                                      grpc::ByteBuffer(&slice, 1)));
    grpc::ByteBuffer buffer;
    while (reader->Read(&buffer)) {
      grpc::Slice whole;
      EXPECT_TRUE(buffer.DumpToSingleSlice(&whole).ok());
      answers.push_back(made(*method.output_type()));
      EXPECT_TRUE(answers.back()->ParseFromArray(whole.begin(), static_cast<int>(whole.size())));
    }
    return reader->Finish();
  }

  static std::unique_ptr<Message> made(const google::protobuf::Descriptor& type) {
    return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
  }

  std::string receipt_;
};

TEST_F(Isolation, NoCallTellsATenantAnythingOfAnother) {
  put_data();
  start_service();
  const auto all = cases();
  const auto* service = api::GetReceiptRequest::descriptor()->file()->FindServiceByName("QueryService");
  ASSERT_NE(service, nullptr);
  for (int i = 0; i < service->method_count(); ++i) {
    const MethodDescriptor& method = *service->method(i);
    SCOPED_TRACE(method.name());
    const auto found = all.find(method.name());
    ASSERT_NE(found, all.end()) << "a new call needs its case here";
    const Case& asked = found->second;
    const auto request = made(*method.input_type());
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(asked.request, request.get()));
    const auto shows = [&](const std::string& key, grpc::Status& status) {
      std::vector<std::unique_ptr<Message>> answers;
      status = call(method, *request, key, answers);
      return std::any_of(answers.begin(), answers.end(), [&](const auto& answer) { return asked.shows(*answer); });
    };
    grpc::Status status;
    if (asked.control) {
      EXPECT_TRUE(shows(kAcmeKey, status)) << status.error_message();
    }
    EXPECT_FALSE(shows(kOtherKey, status)) << "with the tenant of the key";
    EXPECT_FALSE(shows("mk_acme1_wrong", status));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
    const auto* tenant = method.input_type()->FindFieldByName("tenant");
    ASSERT_NE(tenant, nullptr) << "each request names a tenant or takes the key's";
    request->GetReflection()->SetString(request.get(), tenant, "acme");
    EXPECT_FALSE(shows(kOtherKey, status)) << "naming the other tenant";
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  }
}

/// Both tenants have a device of this name, and the log has records of both.
TEST_F(Isolation, ATailTellsATenantOfItsOwnDeviceOfTheSameNameOnly) {
  start_service();
  const auto tail = [this](grpc::ClientContext* call) {
    api::TailRequest request;
    request.add_devices("meter-1");
    auto stream = stub_->Tail(call, request);
    stream->WaitForInitialMetadata();  // it is live
    return stream;
  };
  const auto acme_call = context(kAcmeKey);
  const auto other_call = context(kOtherKey);
  const auto acme = tail(acme_call.get());
  const auto other = tail(other_call.get());
  produce("acme", 3, 100);
  produce("other", 2, 200);
  const auto first_value = [](auto& stream) {
    api::TailResponse part;
    EXPECT_TRUE(stream.Read(&part));
    return part.readings_size() == 0 ? 0 : part.readings(0).value().int_value();
  };
  EXPECT_EQ(first_value(*acme), 100);
  EXPECT_EQ(first_value(*other), 200) << "what acme sent before is not for it";
  acme_call->TryCancel();
  other_call->TryCancel();
}

TEST_F(Isolation, TheLedgerOfAllTenantsNeedsAKeyOfThePlatform) {
  start_service();
  api::GetLedgerRequest hours;
  hours.set_from_us(kStart);
  hours.set_to_us(kStart + 3'600 * kUsPerSecond);
  EXPECT_EQ(code_of(&api::QueryService::StubInterface::GetLedger, hours, kAcmeKey), grpc::StatusCode::PERMISSION_DENIED)
      << "all partitions hold all tenants";
}

}  // namespace
}  // namespace millrace::query_api
