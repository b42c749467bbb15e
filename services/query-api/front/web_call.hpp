#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/status.h>

#include <millrace/base/result.hpp>
#include <millrace/http/server.hpp>

namespace millrace::query_api {

/// How a request over HTTP says what it wants, and how its answer is written.
enum class WebForm {
  kConnectJson,         ///< Connect's unary form, protobuf's JSON
  kConnectProto,        ///< the same with protobuf's bytes
  kConnectJsonStream,   ///< Connect's streaming form, protobuf's JSON
  kConnectProtoStream,  ///< the same with protobuf's bytes
  kGrpcWeb,             ///< gRPC-Web, binary, of both kinds of calls
  kGrpcWebText,         ///< the same, base64
};

/// By the content type, parameters aside; nothing: none of them.
[[nodiscard]] std::optional<WebForm> form_of(std::string_view content_type);
[[nodiscard]] std::string_view content_type_of(WebForm form);
/// Whether a call can be made so: Connect has one form for calls with one answer and one for those with a stream.
[[nodiscard]] bool suits(WebForm form, const google::protobuf::MethodDescriptor& method);

/// `Connect-Timeout-Ms` or `grpc-timeout`; nothing: the request has none. kInvalid for what is no such time.
[[nodiscard]] Result<std::optional<std::chrono::milliseconds>> timeout_of(WebForm form, const http::Request& request);

/// Whether the header Authorization may be given to gRPC, which ends the process that gives it another byte than
/// printable ASCII. kUnauthenticated: it may not, and no API key has such a byte.
[[nodiscard]] Status check_authorization(const http::Request& request);

/// The bytes of the message in a body. kInvalid says what is wrong with it.
[[nodiscard]] Result<std::string> message_in(WebForm form, std::string_view body,
                                             const google::protobuf::MethodDescriptor& method);

/// The whole HTTP answer with the bytes of `message`.
[[nodiscard]] http::Response answer(WebForm form, const std::string& message,
                                    const google::protobuf::MethodDescriptor& method);

/// The same for a call that failed before it was answered.
[[nodiscard]] http::Response failure(WebForm form, const grpc::Status& status);

/// A piece of the body of an answer that is a stream: one message of it. Nothing: it cannot be written as JSON.
[[nodiscard]] std::optional<std::string> stream_message(WebForm form, const std::string& message,
                                                        const google::protobuf::MethodDescriptor& method);
/// What is said then.
[[nodiscard]] grpc::Status no_json();
/// The last piece.
[[nodiscard]] std::string stream_end(WebForm form, const grpc::Status& status);

}  // namespace millrace::query_api
