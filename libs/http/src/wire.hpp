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

/// How the end of a body is told (RFC 9112 section 6).
enum class Framing { kLength, kChunked, kClose };

/// Appends the response's status line and fields, and the empty line.
void serialize_head(const Response& response, Persistence persistence, Framing framing, std::string& out);

/// Appends a chunk (RFC 9112 section 7.1) with some bytes, or what ends a chunked body.
void serialize_chunk(std::string_view bytes, std::string& out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

/// Appends the response in the form of RFC 9112 section 4.
void serialize(const Response& response, Persistence persistence, BodyForm form, std::string& out);

}  // namespace millrace::http
