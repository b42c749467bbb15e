#include "message_decoder.hpp"

#include <vector>

#include "message_json.hpp"
#include "message_scan.hpp"

namespace millrace::telemetry {
namespace {

namespace pb = google::protobuf;

pb::ArenaOptions options_with(char* block, std::size_t size) {
  pb::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = size;
  return options;
}

bool has_all_required(const pb::Message& message, PointSink& sink) {
  if (message.IsInitialized()) return true;
  std::vector<std::string> missing;
  message.FindInitializationErrors(&missing);
  return sink.fail(PayloadFault::kShape, "the required field " + in_quotes(missing.front()) + " is missing");
}

}  // namespace

MessageDecoder::MessageDecoder() : arena_(options_with(block_.data(), block_.size())) {}

bool MessageDecoder::to_json(std::string_view bytes, const MessageSchema::Impl& schema, PointSink& sink) {
  if (!MessageScan(schema, bytes, sink).run()) return false;
  pb::Message& message = *schema.prototype->New(&arena_);
  // The scan has found no fault; what it does not look into are packed numbers.
  if (!message.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return sink.fail(PayloadFault::kSyntax, "not Protocol Buffers: a number in a packed field is cut or malformed");
  if (!has_all_required(message, sink)) return false;
  json_.clear();
  return MessageJson(schema, sink, json_).write(message);
}

bool MessageDecoder::decode(std::string_view bytes, const MessageSchema& schema, JsonDecoder& json, PointSink& sink) {
  const bool written = to_json(bytes, schema.impl(), sink);
  arena_.Reset();
  return written && json.decode(json_, sink);
}

}  // namespace millrace::telemetry
