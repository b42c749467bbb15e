#include <string>
#include <vector>

#include "message_schema_impl.hpp"
#include "point_sink.hpp"

namespace millrace::telemetry {
namespace {

namespace pb = google::protobuf;
using pb::Descriptor;
using pb::FieldDescriptor;

Error refused(const std::string& name, std::string_view why) {
  return {ErrorKind::kInvalid, in_quotes(name) + " " + std::string(why)};
}

Status check_field(const FieldDescriptor& field) {
  if (field.type() == FieldDescriptor::TYPE_GROUP)
    return refused(field.full_name(), "is a group, which is not taken: make it a message");
  const std::size_t most = PayloadLimits().max_metric_bytes;
  if (field.name().size() > most)
    return refused(field.full_name(), "has a name longer than " + std::to_string(most) + " bytes");
  return {};
}

bool has(const Descriptor& message, const char* name, int number, FieldDescriptor::Type type) {
  const FieldDescriptor* field = message.FindFieldByName(name);
  return field != nullptr && field->number() == number && field->type() == type && !field->is_repeated();
}

/// What the JSON form reserves must be able to be that.
Status check_reserved(const FieldDescriptor& field) {
  const bool text = field.type() == FieldDescriptor::TYPE_STRING && !field.is_repeated();
  if (field.name() == "device_id") {
    if (text) return {};
    return refused(field.full_name(), "must be a string: it names the device that sends");
  }
  const bool number =
      field.cpp_type() != FieldDescriptor::CPPTYPE_STRING && field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM &&
      field.cpp_type() != FieldDescriptor::CPPTYPE_BOOL && field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE;
  const bool stamp = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                     (is_timestamp(*field.message_type()) || wrapped_value(*field.message_type()) != nullptr);
  if (text || ((number || stamp) && !field.is_repeated())) return {};
  return refused(field.full_name(), "is the time: it must be a google.protobuf.Timestamp, a number or a string");
}

/// All messages that can stand in the root, the root first.
class Reachable {
 public:
  explicit Reachable(MessageSchema::Impl& schema) : schema_(schema) {}

  Status collect() {
    enter(schema_.root);
    for (std::size_t i = 0; i < found_.size(); ++i) {
      const Descriptor& message = *found_[i];
      if (message.extension_range_count() != 0)
        return refused(message.full_name(), "has extensions, which are not taken: make them fields");
      for (int k = 0; k < message.field_count(); ++k) {
        const FieldDescriptor& field = *message.field(k);
        if (Status status = check_field(field); !status.ok()) return status;
        if (field.message_type() != nullptr) enter(field.message_type());
        if (found_.size() > kMaxMessageKinds) {
          return refused(schema_.root->full_name(),
                         "leads to more than " + std::to_string(kMaxMessageKinds) +
                             " kinds of messages, the most that are taken: leave out fields that devices do not send");
        }
        if (!is_value(message) && is_value(field) && (i != 0 || !is_reserved_name(field.name()))) ++metrics_;
      }
    }
    return {};
  }
  /// Fields that hold a value and are not reserved.
  [[nodiscard]] std::size_t metrics() const { return metrics_; }

 private:
  static bool is_value(const Descriptor& message) { return is_timestamp(message) || wrapped_value(message) != nullptr; }
  static bool is_value(const FieldDescriptor& field) {
    return field.message_type() == nullptr || is_value(*field.message_type());
  }
  void enter(const Descriptor* message) {
    if (!schema_.bytes.try_emplace(message, 0).second) return;
    found_.push_back(message);
  }

  MessageSchema::Impl& schema_;
  std::vector<const Descriptor*> found_;
  std::size_t metrics_ = 0;
};

}  // namespace

bool is_time_name(std::string_view name) { return name == "ts" || name == "timestamp" || name == "time"; }

bool is_reserved_name(std::string_view name) { return is_time_name(name) || name == "device_id"; }

bool is_timestamp(const Descriptor& message) {
  return message.well_known_type() == Descriptor::WELLKNOWNTYPE_TIMESTAMP && message.field_count() == 2 &&
         has(message, "seconds", 1, FieldDescriptor::TYPE_INT64) &&
         has(message, "nanos", 2, FieldDescriptor::TYPE_INT32);
}

const FieldDescriptor* wrapped_value(const Descriptor& message) {
  const auto type = message.well_known_type();
  if (type < Descriptor::WELLKNOWNTYPE_DOUBLEVALUE || type > Descriptor::WELLKNOWNTYPE_BOOLVALUE) return nullptr;
  if (message.field_count() != 1) return nullptr;
  const FieldDescriptor* value = message.field(0);
  return value->is_repeated() || value->message_type() != nullptr ? nullptr : value;
}

Status check_schema(MessageSchema::Impl& schema) {
  Reachable reachable(schema);
  if (Status status = reachable.collect(); !status.ok()) return status;
  std::vector<const FieldDescriptor*> stamps;
  bool named = false;
  for (int i = 0; i < schema.root->field_count(); ++i) {
    const FieldDescriptor* field = schema.root->field(i);
    named = named || is_time_name(field->name());
    if (is_reserved_name(field->name())) {
      if (Status status = check_reserved(*field); !status.ok()) return status;
    } else if (field->message_type() != nullptr && !field->is_repeated() && is_timestamp(*field->message_type())) {
      stamps.push_back(field);
    }
  }
  if (!named && stamps.size() == 1) schema.time = stamps.front();
  if (reachable.metrics() == (schema.time == nullptr ? 0 : 1))
    return refused(schema.root->full_name(),
                   "has no field that could be a metric: only what is reserved for time and device");
  for (auto& [message, bytes] : schema.bytes) bytes = schema.factory.GetPrototype(message)->SpaceUsedLong();
  return {};
}

}  // namespace millrace::telemetry
