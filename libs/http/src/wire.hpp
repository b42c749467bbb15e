#pragma once

#include <string>
#include <string_view>

#include <millrace/http/server.hpp>

namespace millrace::http {

enum class Persistence {
  kClose,       ///< `Connection: close`
  kKeepAlive,   ///< nothing is said: the rule of HTTP/1.1
  kKeepAlive10  ///< `Connection: keep-alive`, which HTTP/1.0 needs
};
enum class BodyForm { kWhole, kHeaderOnly };  ///< kHeaderOnly: the answer to HEAD

/// Appends the response in the form of RFC 9112 section 4.
void serialize(const Response& response, Persistence persistence, BodyForm form, std::string& out);

}  // namespace millrace::http
