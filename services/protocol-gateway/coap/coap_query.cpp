#include "coap/coap_query.hpp"

#include <algorithm>
#include <string>

#include <millrace/observability/trace.hpp>

namespace millrace::gateway {
namespace {

constexpr std::size_t kMaxMessageIdBytes = 128;

bool is_visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x21 && c <= 0x7e; });
}

Error bad(std::string_view what) { return {ErrorKind::kInvalid, std::string(what)}; }

std::string_view* member_named(CoapQuery& query, std::string_view name) {
  if (name == "device") return &query.device;
  if (name == "token") return &query.token;
  if (name == "mid") return &query.message_id;
  if (name == "traceparent") return &query.traceparent;
  if (name == "ack") return &query.ack;
  return nullptr;
}

}  // namespace

Result<CoapQuery> parse_coap_query(std::span<const std::string_view> items) {
  CoapQuery query;
  for (const std::string_view item : items) {
    const std::size_t equals = std::min(item.find('='), item.size());
    std::string_view* member = member_named(query, item.substr(0, equals));
    if (member == nullptr) return bad("the query parameters are device, token, mid, ack and traceparent");
    if (!member->empty()) return bad("a query parameter is given twice");
    *member = item.substr(std::min(equals + 1, item.size()));
    if (member->empty()) return bad("a query parameter has no value");
  }
  if (query.message_id.size() > kMaxMessageIdBytes || !is_visible_ascii(query.message_id))
    return bad("mid is 1 to 128 visible ASCII characters");
  if (!query.traceparent.empty() && !observability::is_traceparent(query.traceparent))
    return bad("traceparent is not a W3C trace context of version 00");
  return query;
}

}  // namespace millrace::gateway
