#include "front/web_call.hpp"

#include <map>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/rpc/call.hpp>

#include "front/cors.hpp"
#include "millrace/query/v1/query.pb.h"

namespace millrace::query_api {
namespace {

namespace api = query::v1;
using std::chrono::milliseconds;

const google::protobuf::MethodDescriptor& method(const char* name) {
  return *api::LatestRequest::descriptor()->file()->FindServiceByName("QueryService")->FindMethodByName(name);
}
const google::protobuf::MethodDescriptor& latest() { return method("Latest"); }

class WithHeader : public http::Request {
 public:
  WithHeader(const std::string& name, const std::string& value) : headers_{{name, value}} {}
  [[nodiscard]] http::Method method() const override { return http::Method::kPost; }
  [[nodiscard]] std::string_view path() const override { return "/"; }
  [[nodiscard]] std::string_view query() const override { return {}; }
  [[nodiscard]] std::string_view body() const override { return {}; }
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const override {
    const auto found = headers_.find(name);
    if (found == headers_.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] std::size_t header_count(std::string_view name) const override { return headers_.count(name); }
  [[nodiscard]] const Address& peer() const override { return peer_; }
  [[nodiscard]] const std::vector<std::string>& peer_chain() const override { return chain_; }

 private:
  std::map<std::string, std::string, std::less<>> headers_;
  Address peer_;
  std::vector<std::string> chain_;
};

std::optional<milliseconds> time(WebForm form, const std::string& name, const std::string& text) {
  const auto found = timeout_of(form, WithHeader(name, text));
  return found.ok() ? found.value() : milliseconds{-1};
}

std::string header_of(const http::Response& response, std::string_view name) {
  for (const auto& [field, value] : response.headers) {
    if (field == name) return value;
  }
  return {};
}

api::LatestRequest request() {
  api::LatestRequest asked;
  asked.set_device("meter-1");
  asked.add_metrics(
      "gr\xC3\xB6\xC3\x9F"
      "e");
  return asked;
}

std::string framed(const std::string& bytes) {
  return std::string("\0\0\0\0", 4) + static_cast<char>(bytes.size()) + bytes;
}

TEST(WebCall, TheFormIsToldByTheContentType) {
  EXPECT_EQ(form_of("application/json"), WebForm::kConnectJson);
  EXPECT_EQ(form_of("Application/JSON; charset=utf-8"), WebForm::kConnectJson);
  EXPECT_EQ(form_of("application/proto"), WebForm::kConnectProto);
  EXPECT_EQ(form_of("application/grpc-web+proto"), WebForm::kGrpcWeb);
  EXPECT_EQ(form_of("application/grpc-web-text"), WebForm::kGrpcWebText);
  EXPECT_EQ(form_of("application/connect+json"), WebForm::kConnectJsonStream);
  EXPECT_EQ(form_of("application/connect+proto"), WebForm::kConnectProtoStream);
  for (const char* other : {"", "text/plain", "application/grpc", "application/connect", "application/jsonx"}) {
    EXPECT_EQ(form_of(other), std::nullopt) << other;
  }
}

TEST(WebCall, TheSameMessageComesInEveryForm) {
  const std::string bytes = request().SerializeAsString();
  const auto same = [&](WebForm form, const std::string& body) {
    const auto found = message_in(form, body, latest());
    api::LatestRequest read;
    return found.ok() && read.ParseFromString(found.value()) && read.SerializeAsString() == bytes;
  };
  EXPECT_TRUE(same(WebForm::kConnectJson,
                   "{\"device\":\"meter-1\",\"metrics\":[\"gr\xC3\xB6\xC3\x9F"
                   "e\"]}"));
  EXPECT_TRUE(same(WebForm::kConnectProto, bytes));
  EXPECT_TRUE(same(WebForm::kConnectProtoStream, framed(bytes)));
  EXPECT_TRUE(same(WebForm::kConnectJsonStream, framed("{\"device\":\"meter-1\",\"metrics\":[\"gr\xC3\xB6\xC3\x9F"
                                                       "e\"]}")));
  EXPECT_TRUE(same(WebForm::kGrpcWeb, framed(bytes)));
  EXPECT_TRUE(same(WebForm::kGrpcWebText, to_base64(framed(bytes))));
}

TEST(WebCall, BodiesThatAreNoneAreRefused) {
  const auto refused = [&](WebForm form, const std::string& body) {
    const auto found = message_in(form, body, latest());
    return !found.ok() && found.error().kind == ErrorKind::kInvalid;
  };
  for (const char* body : {"", "{", "[]", "7", "{\"devise\":\"x\"}", "{\"device\":7}", "{\"pageSize\":1e99}"}) {
    EXPECT_TRUE(refused(WebForm::kConnectJson, body)) << body;
  }
  EXPECT_TRUE(refused(WebForm::kConnectJson, std::string(100'000, '[')));
  EXPECT_TRUE(refused(WebForm::kGrpcWeb, ""));
  EXPECT_TRUE(refused(WebForm::kGrpcWeb, std::string("\0\0\0\0", 4)));
  EXPECT_TRUE(refused(WebForm::kGrpcWeb, framed("abc") + "d"));
  EXPECT_TRUE(refused(WebForm::kGrpcWeb, std::string("\1\0\0\0\0", 5))) << "compressed";
  EXPECT_TRUE(refused(WebForm::kGrpcWebText, "not base64!"));
  EXPECT_TRUE(refused(WebForm::kConnectJsonStream, "{}")) << "without its frame";
  EXPECT_TRUE(refused(WebForm::kConnectJsonStream, framed("{")));
  EXPECT_TRUE(refused(WebForm::kConnectProtoStream, std::string("\1\0\0\0\0", 5))) << "compressed";
}

TEST(WebCall, ConnectHasAFormForEachKindOfCall) {
  for (const WebForm form : {WebForm::kGrpcWeb, WebForm::kGrpcWebText}) {
    EXPECT_TRUE(suits(form, latest()));
    EXPECT_TRUE(suits(form, method("Tail")));
  }
  for (const WebForm form : {WebForm::kConnectJson, WebForm::kConnectProto}) {
    EXPECT_TRUE(suits(form, latest()));
    EXPECT_FALSE(suits(form, method("Tail")));
  }
  for (const WebForm form : {WebForm::kConnectJsonStream, WebForm::kConnectProtoStream}) {
    EXPECT_FALSE(suits(form, latest()));
    EXPECT_TRUE(suits(form, method("Export")));
  }
}

TEST(WebCall, AStreamIsWrittenPieceByPiece) {
  api::TailResponse said;
  said.set_missed(5);
  const std::string bytes = said.SerializeAsString();
  const auto piece = [&](WebForm form) { return stream_message(form, bytes, method("Tail")); };
  EXPECT_EQ(piece(WebForm::kConnectJsonStream), framed("{\"missed\":\"5\"}"));
  EXPECT_EQ(piece(WebForm::kConnectProtoStream), framed(bytes));
  EXPECT_EQ(piece(WebForm::kGrpcWeb), framed(bytes));
  EXPECT_EQ(piece(WebForm::kGrpcWebText), to_base64(framed(bytes)));
  EXPECT_EQ(stream_message(WebForm::kConnectJsonStream, "\x12", method("Tail")), std::nullopt);

  EXPECT_EQ(stream_end(WebForm::kConnectJsonStream, grpc::Status::OK), std::string("\2\0\0\0\2{}", 7));
  const std::string trailers = std::string("\x80\0\0\0\x0f", 5) + "grpc-status:0\r\n";
  EXPECT_EQ(stream_end(WebForm::kGrpcWeb, grpc::Status::OK), trailers);
  EXPECT_EQ(stream_end(WebForm::kGrpcWebText, grpc::Status::OK), to_base64(trailers));
  const std::string refused = R"({"error":{"code":"not_found","message":"no device"}})";
  const grpc::Status none{grpc::StatusCode::NOT_FOUND, "no device"};
  EXPECT_EQ(stream_end(WebForm::kConnectProtoStream, none),
            std::string("\2\0\0\0", 4) + static_cast<char>(refused.size()) + refused);
  EXPECT_EQ(failure(WebForm::kConnectProtoStream, none).status, 200) << "a stream says it in its last piece";
  EXPECT_EQ(failure(WebForm::kConnectProtoStream, none).content_type, "application/connect+proto");
  EXPECT_EQ(failure(WebForm::kConnectProtoStream, none).body, stream_end(WebForm::kConnectProtoStream, none));
}

TEST(WebCall, AnswersAreWrittenAsTheFormWants) {
  api::LatestResponse said;
  said.set_as_of_us(5);
  const std::string bytes = said.SerializeAsString();
  EXPECT_EQ(answer(WebForm::kConnectJson, bytes, latest()).body, "{\"asOfUs\":\"5\"}");
  EXPECT_EQ(answer(WebForm::kConnectProto, bytes, latest()).body, bytes);
  const std::string web = framed(bytes) + std::string("\x80\0\0\0\x0f", 5) + "grpc-status:0\r\n";
  EXPECT_EQ(answer(WebForm::kGrpcWeb, bytes, latest()).body, web);
  EXPECT_EQ(answer(WebForm::kGrpcWebText, bytes, latest()).body, to_base64(web));
}

TEST(WebCall, FailuresHaveTheStatusThatConnectGivesThem) {
  const auto refused = failure(WebForm::kConnectJson, {grpc::StatusCode::NOT_FOUND, "there is no device \"x\""});
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(refused.body, R"({"code":"not_found","message":"there is no device \"x\""})");
  EXPECT_EQ(failure(WebForm::kConnectProto, {grpc::StatusCode::UNAVAILABLE, ""}).status, 503);
  EXPECT_EQ(failure(WebForm::kConnectProto, {grpc::StatusCode::UNAVAILABLE, ""}).content_type, "application/json");
  EXPECT_EQ(header_of(failure(WebForm::kConnectJson, {grpc::StatusCode::UNAUTHENTICATED, ""}), "WWW-Authenticate"),
            "Bearer");
  const auto later =
      failure(WebForm::kConnectJson,
              rpc::with_retry_info({grpc::StatusCode::RESOURCE_EXHAUSTED, "later"}, milliseconds(1'500)));
  EXPECT_EQ(later.status, 429);
  EXPECT_EQ(header_of(later, "Retry-After"), "2");
  EXPECT_NE(later.body.find("\"type\":\"google.rpc.RetryInfo\",\"value\":\"CggIARCAyrXuAQ\""), std::string::npos)
      << later.body;
  const auto web = failure(WebForm::kGrpcWeb, {grpc::StatusCode::INVALID_ARGUMENT, "gr\xC3\xBCn 5%"});
  EXPECT_EQ(web.status, 200);
  EXPECT_NE(web.body.find("grpc-status:3\r\ngrpc-message:gr%C3%BCn 5%25\r\n"), std::string::npos) << web.body;
}

TEST(WebCall, TimesAreThoseOfTheProtocols) {
  EXPECT_EQ(time(WebForm::kConnectJson, "connect-timeout-ms", "1500"), milliseconds(1'500));
  EXPECT_EQ(time(WebForm::kGrpcWeb, "grpc-timeout", "2S"), milliseconds(2'000));
  EXPECT_EQ(time(WebForm::kGrpcWebText, "grpc-timeout", "99999999m"), milliseconds(99'999'999));
  EXPECT_EQ(time(WebForm::kGrpcWeb, "grpc-timeout", "99999999H"), milliseconds(10'000'000'000));
  EXPECT_EQ(time(WebForm::kGrpcWeb, "connect-timeout-ms", "7"), std::nullopt) << "of the other protocol";
  for (const char* bad : {"", "-1", "1.5", "x", "99999999999"}) {
    EXPECT_EQ(time(WebForm::kConnectProto, "connect-timeout-ms", bad), milliseconds(-1)) << bad;
  }
  for (const char* bad : {"", "S", "5", "5x"}) {
    EXPECT_EQ(time(WebForm::kGrpcWeb, "grpc-timeout", bad), milliseconds(-1)) << bad;
  }
}

TEST(WebCall, AKeyThatGrpcWouldDieOfIsRefused) {
  const auto kind = [](const std::string& key) -> std::optional<ErrorKind> {
    const Status checked = check_authorization(WithHeader("authorization", key));
    return checked.ok() ? std::nullopt : std::optional(checked.error().kind);
  };
  EXPECT_EQ(kind("Bearer mk_a_b ~"), std::nullopt);
  EXPECT_EQ(kind(""), std::nullopt);
  for (const char* bad : {"Bearer \xFF", "Bearer gr\xC3\xBCn", "Bearer a\tb", "Bearer \x7F"}) {
    EXPECT_EQ(kind(bad), ErrorKind::kUnauthenticated) << bad;
  }
}

TEST(RetryInfo, IsReadBackAndNothingElseIsTakenForIt) {
  const grpc::Status status =
      rpc::with_retry_info({grpc::StatusCode::RESOURCE_EXHAUSTED, "later"}, milliseconds(61'250));
  EXPECT_EQ(status.error_message(), "later");
  EXPECT_EQ(rpc::retry_info_of(status), milliseconds(61'250));
  EXPECT_EQ(rpc::retry_info_of({grpc::StatusCode::RESOURCE_EXHAUSTED, "later"}), std::nullopt);
  EXPECT_EQ(rpc::retry_info_of({grpc::StatusCode::RESOURCE_EXHAUSTED, "", "\x1a\x05nonsense"}), std::nullopt);
}

TEST(Cors, OnlyListedOriginsMayRead) {
  const Cors cors({"https://board.example"});
  http::Response response;
  cors.allow("https://board.example", response);
  EXPECT_EQ(header_of(response, "Access-Control-Allow-Origin"), "https://board.example");
  EXPECT_EQ(header_of(response, "Vary"), "Origin");
  http::Response other;
  cors.allow("https://evil.example", other);
  EXPECT_EQ(header_of(other, "Access-Control-Allow-Origin"), "");
  EXPECT_EQ(cors.preflight("https://evil.example").status, 403);
  EXPECT_EQ(cors.preflight("https://board.example").status, 204);
  EXPECT_EQ(Cors({"*"}).preflight("https://any.example").status, 204);
  EXPECT_EQ(Cors({}).preflight("https://any.example").status, 403);
}

}  // namespace
}  // namespace millrace::query_api
