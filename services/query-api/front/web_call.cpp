// The Connect protocol (https://connectrpc.com/docs/protocol) and gRPC-Web (PROTOCOL-WEB.md of gRPC).
#include "front/web_call.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <millrace/base/digest.hpp>
#include <millrace/rpc/call.hpp>
#include <millrace/rpc/metadata.hpp>

namespace millrace::query_api {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using std::chrono::milliseconds;

constexpr std::size_t kFrameHead = 5;  // flags and length
constexpr char kTrailers = '\x80';
constexpr char kEndOfStream = '\x02';  // Connect's
constexpr std::string_view kBase64Pad = "=";

struct CodeName {
  std::string_view name;
  int http_status;
};

/// Of the codes 0 to 16, with the status that Connect gives them.
constexpr std::array<CodeName, 17> kCodes{{{"ok", 200},
                                           {"canceled", 499},
                                           {"unknown", 500},
                                           {"invalid_argument", 400},
                                           {"deadline_exceeded", 504},
                                           {"not_found", 404},
                                           {"already_exists", 409},
                                           {"permission_denied", 403},
                                           {"resource_exhausted", 429},
                                           {"failed_precondition", 400},
                                           {"aborted", 409},
                                           {"out_of_range", 400},
                                           {"unimplemented", 501},
                                           {"internal", 500},
                                           {"unavailable", 503},
                                           {"data_loss", 500},
                                           {"unauthenticated", 401}}};

const CodeName& name_of(grpc::StatusCode code) {
  const auto index = static_cast<std::size_t>(code);
  return kCodes.at(index < kCodes.size() ? index : 2);
}

bool is_grpc_web(WebForm form) { return form == WebForm::kGrpcWeb || form == WebForm::kGrpcWebText; }
bool is_connect_stream(WebForm form) {
  return form == WebForm::kConnectJsonStream || form == WebForm::kConnectProtoStream;
}

std::unique_ptr<Message> made(const google::protobuf::Descriptor& type) {
  return std::unique_ptr<Message>(google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

Result<std::string> message_of_json(std::string_view body, const MethodDescriptor& method) {
  const auto message = made(*method.input_type());
  const auto read = google::protobuf::util::JsonStringToMessage(google::protobuf::StringPiece(body.data(), body.size()),
                                                                message.get());
  if (!read.ok()) {
    return Error{ErrorKind::kInvalid,
                 "the body is no " + method.input_type()->name() + " in JSON: " + std::string(read.message())};
  }
  return message->SerializeAsString();
}

std::optional<std::string> json_of(const std::string& bytes, const MethodDescriptor& method) {
  const auto message = made(*method.output_type());
  std::string json;
  if (!message->ParseFromString(bytes) || !google::protobuf::util::MessageToJsonString(*message, &json).ok()) {
    return std::nullopt;
  }
  return json;
}

Result<std::string> message_of_frame(std::string_view body) {
  if (body.size() < kFrameHead || body[0] != 0) {
    return Error{ErrorKind::kInvalid,
                 "the body does not begin with an uncompressed frame: a byte 0 and four of the message's length"};
  }
  std::uint32_t size = 0;
  for (std::size_t i = 1; i < kFrameHead; ++i) size = (size << 8U) | static_cast<unsigned char>(body[i]);
  if (body.size() - kFrameHead != size) {
    return Error{ErrorKind::kInvalid, "the body holds " + std::to_string(body.size() - kFrameHead) +
                                          " bytes behind the frame's head, which says " + std::to_string(size)};
  }
  return std::string(body.substr(kFrameHead));
}

std::string frame(char flags, std::string_view bytes) {
  std::string out(1, flags);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(bytes.size() >> static_cast<unsigned>(shift));
  return out += bytes;
}

/// As gRPC writes grpc-message: %XX for all but printable ASCII, and for %.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

std::string without_padding(std::string text) {
  while (text.ends_with(kBase64Pad)) text.pop_back();
  return text;
}

std::string trailers(const grpc::Status& status) {
  std::string lines = "grpc-status:" + std::to_string(static_cast<int>(status.error_code())) + "\r\n";
  if (!status.error_message().empty()) lines += "grpc-message:" + percent_encoded(status.error_message()) + "\r\n";
  if (!status.error_details().empty()) {
    lines += "grpc-status-details-bin:" + without_padding(to_base64(status.error_details())) + "\r\n";
  }
  return frame(kTrailers, lines);
}

/// The bytes of google.rpc.RetryInfo: the delay is its field 1.
std::string retry_info(milliseconds after) {
  google::protobuf::Duration delay;
  delay.set_seconds(after.count() / 1'000);
  delay.set_nanos(static_cast<int>(after.count() % 1'000) * 1'000'000);
  const std::string bytes = delay.SerializeAsString();
  return std::string("\x0a") + static_cast<char>(bytes.size()) + bytes;
}

http::Response web_response(WebForm form, std::string body) {
  http::Response response;
  response.content_type = content_type_of(form);
  response.body = form == WebForm::kGrpcWebText ? to_base64(body) : std::move(body);
  return response;
}

std::string connect_error(const grpc::Status& status) {
  std::string json = "{\"code\":" + http::json_quoted(name_of(status.error_code()).name) +
                     ",\"message\":" + http::json_quoted(status.error_message());
  if (const auto after = rpc::retry_info_of(status)) {
    json += ",\"details\":[{\"type\":\"google.rpc.RetryInfo\",\"value\":" +
            http::json_quoted(without_padding(to_base64(retry_info(*after)))) + "}]";
  }
  return json += '}';
}

http::Response connect_failure(const grpc::Status& status) {
  http::Response response;
  response.status = name_of(status.error_code()).http_status;
  response.content_type = "application/json";
  response.body = connect_error(status);
  if (const auto after = rpc::retry_info_of(status)) {
    response.headers.emplace_back("Retry-After", std::to_string((after->count() + 999) / 1'000));
  }
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
  }
  return response;
}

/// Digits of a count of `unit` milliseconds; at most ten.
std::optional<milliseconds> time_of(std::string_view digits, double unit) {
  if (digits.empty() || digits.size() > 10) return std::nullopt;
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc{} || end != digits.data() + digits.size() || count < 0) return std::nullopt;
  // Deadlines are of the system clock, in nanoseconds: more would overflow them, and is as good as for ever.
  constexpr milliseconds kMost{10'000'000'000};
  return std::min(kMost, milliseconds{static_cast<std::int64_t>(static_cast<double>(count) * unit)});
}

std::optional<milliseconds> grpc_timeout(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const std::string_view digits = text.substr(0, text.size() - 1);
  switch (text.back()) {
    case 'H':
      return time_of(digits, 3'600'000);
    case 'M':
      return time_of(digits, 60'000);
    case 'S':
      return time_of(digits, 1'000);
    case 'm':
      return time_of(digits, 1);
    case 'u':
      return time_of(digits, 1e-3);
    case 'n':
      return time_of(digits, 1e-6);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<WebForm> form_of(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ')) type.pop_back();
  for (char& c : type) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (type == "application/json") return WebForm::kConnectJson;
  if (type == "application/proto") return WebForm::kConnectProto;
  if (type == "application/connect+json") return WebForm::kConnectJsonStream;
  if (type == "application/connect+proto") return WebForm::kConnectProtoStream;
  if (type == "application/grpc-web" || type == "application/grpc-web+proto") return WebForm::kGrpcWeb;
  if (type == "application/grpc-web-text" || type == "application/grpc-web-text+proto") return WebForm::kGrpcWebText;
  return std::nullopt;
}

std::string_view content_type_of(WebForm form) {
  switch (form) {
    case WebForm::kConnectJson:
      return "application/json";
    case WebForm::kConnectProto:
      return "application/proto";
    case WebForm::kConnectJsonStream:
      return "application/connect+json";
    case WebForm::kConnectProtoStream:
      return "application/connect+proto";
    case WebForm::kGrpcWeb:
      return "application/grpc-web+proto";
    case WebForm::kGrpcWebText:
      return "application/grpc-web-text+proto";
  }
  return {};
}

bool suits(WebForm form, const MethodDescriptor& method) {
  if (method.client_streaming()) return false;
  return is_grpc_web(form) || is_connect_stream(form) == method.server_streaming();
}

Result<std::optional<milliseconds>> timeout_of(WebForm form, const http::Request& request) {
  const bool connect = !is_grpc_web(form);
  const char* name = connect ? "connect-timeout-ms" : "grpc-timeout";
  const auto text = request.header(name);
  if (!text) return std::optional<milliseconds>{};
  const auto time = connect ? time_of(*text, 1) : grpc_timeout(*text);
  if (!time) return Error{ErrorKind::kInvalid, std::string(name) + " is no such time"};
  return time;
}

Status check_authorization(const http::Request& request) {
  const auto key = request.header("authorization");
  if (!key || rpc::fits_metadata(*key)) return {};
  return Error{ErrorKind::kUnauthenticated, "the header Authorization holds a byte that no API key has"};
}

Result<std::string> message_in(WebForm form, std::string_view body, const MethodDescriptor& method) {
  switch (form) {
    case WebForm::kConnectJson:
      return message_of_json(body, method);
    case WebForm::kConnectProto:
      return std::string(body);
    case WebForm::kConnectJsonStream: {
      const auto json = message_of_frame(body);
      return json.ok() ? message_of_json(json.value(), method) : json;
    }
    case WebForm::kConnectProtoStream:
    case WebForm::kGrpcWeb:
      return message_of_frame(body);
    case WebForm::kGrpcWebText: {
      const auto decoded = from_base64(body);
      if (!decoded.ok()) return Error{ErrorKind::kInvalid, "the body is not base64: " + decoded.error().message};
      return message_of_frame(decoded.value());
    }
  }
  return Error{ErrorKind::kInternal, "an unknown form"};
}

http::Response answer(WebForm form, const std::string& message, const MethodDescriptor& method) {
  if (is_grpc_web(form)) return web_response(form, frame(0, message) + trailers(grpc::Status::OK));
  if (form == WebForm::kConnectProto) return web_response(form, message);
  auto json = json_of(message, method);
  return json ? web_response(form, *std::move(json)) : failure(form, no_json());
}

grpc::Status no_json() {
  return {grpc::StatusCode::INTERNAL, "the answer cannot be written as JSON; ask for protobuf"};
}

http::Response failure(WebForm form, const grpc::Status& status) {
  if (!is_grpc_web(form) && !is_connect_stream(form)) return connect_failure(status);
  http::Response response;
  response.content_type = content_type_of(form);
  response.body = stream_end(form, status);
  return response;
}

std::optional<std::string> stream_message(WebForm form, const std::string& message, const MethodDescriptor& method) {
  if (form == WebForm::kConnectJsonStream) {
    const auto json = json_of(message, method);
    return json ? std::optional(frame(0, *json)) : std::nullopt;
  }
  std::string framed = frame(0, message);
  return form == WebForm::kGrpcWebText ? to_base64(framed) : framed;
}

std::string stream_end(WebForm form, const grpc::Status& status) {
  if (is_connect_stream(form)) {
    return frame(kEndOfStream, status.ok() ? "{}" : "{\"error\":" + connect_error(status) + "}");
  }
  const std::string framed = trailers(status);
  return form == WebForm::kGrpcWebText ? to_base64(framed) : framed;
}

}  // namespace millrace::query_api
