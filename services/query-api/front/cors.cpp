#include "front/cors.hpp"

namespace millrace::query_api {

http::Response Cors::preflight(std::string_view origin) const {
  http::Response response;
  if (!allowed(origin)) {
    response.status = 403;
    return response;
  }
  response.status = 204;
  allow(origin, response);
  response.headers.emplace_back("Access-Control-Allow-Methods", "POST");
  response.headers.emplace_back("Access-Control-Allow-Headers",
                                "authorization, content-type, connect-protocol-version, connect-timeout-ms, "
                                "grpc-timeout, x-grpc-web, x-user-agent");
  response.headers.emplace_back("Access-Control-Max-Age", "7200");
  return response;
}

void Cors::allow(std::string_view origin, http::Response& response) const {
  response.headers.emplace_back("Vary", "Origin");
  if (!allowed(origin)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
  response.headers.emplace_back("Access-Control-Expose-Headers",
                                "grpc-status, grpc-message, grpc-status-details-bin, retry-after");
}

}  // namespace millrace::query_api
