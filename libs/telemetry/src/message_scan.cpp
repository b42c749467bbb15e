#include "message_scan.hpp"

#include <string>

#include "protobuf_wire.hpp"

namespace millrace::telemetry {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using Type = ProtobufWire::Type;

/// Of all messages in one: an empty one takes two bytes on the wire and hundreds in memory.
constexpr std::size_t kMostMemory = 16U << 20U;

Type wire_type(const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_DOUBLE:
    case FieldDescriptor::TYPE_FIXED64:
    case FieldDescriptor::TYPE_SFIXED64:
      return Type::kFixed64;
    case FieldDescriptor::TYPE_FLOAT:
    case FieldDescriptor::TYPE_FIXED32:
    case FieldDescriptor::TYPE_SFIXED32:
      return Type::kFixed32;
    case FieldDescriptor::TYPE_STRING:
    case FieldDescriptor::TYPE_BYTES:
    case FieldDescriptor::TYPE_MESSAGE:
    case FieldDescriptor::TYPE_GROUP:
      return Type::kBytes;
    case FieldDescriptor::TYPE_INT64:
    case FieldDescriptor::TYPE_UINT64:
    case FieldDescriptor::TYPE_INT32:
    case FieldDescriptor::TYPE_UINT32:
    case FieldDescriptor::TYPE_SINT32:
    case FieldDescriptor::TYPE_SINT64:
    case FieldDescriptor::TYPE_BOOL:
    case FieldDescriptor::TYPE_ENUM:
      break;
  }
  return Type::kVarint;
}

}  // namespace

bool MessageScan::cut(const char* at, const pb::Descriptor& type) {
  const auto offset = static_cast<std::size_t>(at - bytes_.data());
  return sink_.fail(PayloadFault::kSyntax,
                    "not Protocol Buffers: a field of " + in_quotes(type.full_name()) +
                        " is cut or malformed before byte " + std::to_string(offset),
                    offset);
}

bool MessageScan::field(const FieldDescriptor& field, std::string_view bytes, std::size_t depth) {
  if (field.message_type() != nullptr) return message(*field.message_type(), bytes, depth + 1);
  if (field.type() != FieldDescriptor::TYPE_STRING || is_utf8(bytes)) return true;
  return sink_.fail(PayloadFault::kBadText, "the value of " + in_quotes(field.full_name()) + " is not UTF-8");
}

bool MessageScan::message(const pb::Descriptor& type, std::string_view bytes, std::size_t depth) {
  if (depth > sink_.limits().max_depth) {
    return sink_.fail(PayloadFault::kTooDeep,
                      "nested deeper than " + std::to_string(sink_.limits().max_depth) + " levels");
  }
  memory_ += schema_.bytes.find(&type)->second;
  if (memory_ > kMostMemory) {
    return sink_.fail(PayloadFault::kTooLarge, "the messages within the message take more than " +
                                                   std::to_string(kMostMemory) +
                                                   " bytes of memory: send fewer at once");
  }
  ProtobufWire wire(bytes);
  while (wire.next()) {
    const FieldDescriptor* declared = type.FindFieldByNumber(static_cast<int>(wire.field));
    if (declared == nullptr) continue;
    if (wire.type == wire_type(*declared)) {
      if (wire.type == Type::kBytes && !field(*declared, wire.bytes, depth)) return false;
    } else if (wire.type != Type::kBytes || !declared->is_packable()) {
      return sink_.fail(PayloadFault::kShape,
                        "field " + std::to_string(wire.field) + " of " + in_quotes(type.full_name()) +
                            " has another type than is declared for " + in_quotes(declared->name()));
    }
  }
  return !wire.broken() || cut(wire.at(), type);
}

}  // namespace millrace::telemetry
