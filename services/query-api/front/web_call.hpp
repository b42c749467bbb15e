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
  kConnectJson,   ///< Connect's unary form, protobuf's JSON
  kConnectProto,  ///< the same with protobuf's bytes
  kGrpcWeb,       ///< gRPC-Web, binary
  kGrpcWebText,   ///< gRPC-Web, base64
};

/// By the content type, parameters aside; nothing: none of them.
[[nodiscard]] std::optional<WebForm> form_of(std::string_view content_type);
[[nodiscard]] std::string_view content_type_of(WebForm form);

/// `Connect-Timeout-Ms` or `grpc-timeout`; nothing: the request has none. kInvalid for what is no such time.
[[nodiscard]] Result<std::optional<std::chrono::milliseconds>> timeout_of(WebForm form, const http::Request& request);

/// The bytes of the message in a body. kInvalid says what is wrong with it.
[[nodiscard]] Result<std::string> message_in(WebForm form, std::string_view body,
                                             const google::protobuf::MethodDescriptor& method);

/// The whole HTTP answer with the bytes of `message`.
[[nodiscard]] http::Response answer(WebForm form, const std::string& message,
                                    const google::protobuf::MethodDescriptor& method);

/// The same for a call that failed.
[[nodiscard]] http::Response failure(WebForm form, const grpc::Status& status);

}  // namespace millrace::query_api
