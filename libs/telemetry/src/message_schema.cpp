#include <map>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/stubs/logging.h>

#include "message_schema_impl.hpp"
#include "point_sink.hpp"

namespace millrace::telemetry {
namespace {

namespace pb = google::protobuf;

constexpr std::string_view kHowTo = "make it with protoc --include_imports --descriptor_set_out=FILE";

Error invalid(std::string message) {
  // Names come from the set as they are; the sentence goes out as text.
  if (!is_utf8(message)) message = "a name in the descriptor set is not UTF-8";
  return {ErrorKind::kInvalid, std::move(message)};
}

class FirstError : public pb::DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string& file, const std::string& element, const pb::Message* /*descriptor*/,
                ErrorLocation /*location*/, const std::string& message) override {
    if (text_.empty()) text_ = in_quotes(file) + ": " + element + ": " + message;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// Puts the files of a set into a pool, each behind those that it imports.
class PoolBuilder {
 public:
  explicit PoolBuilder(pb::DescriptorPool& pool) : pool_(pool) {}

  Status build(const pb::FileDescriptorSet& set) {
    for (const pb::FileDescriptorProto& file : set.file()) {
      if (!files_.try_emplace(file.name(), File{&file}).second)
        return invalid("the descriptor set has the file " + in_quotes(file.name()) + " twice");
    }
    for (auto& [name, file] : files_) {
      if (Status status = add(file); !status.ok()) return status;
    }
    return {};
  }

 private:
  enum class State { kWaiting, kBegun, kDone };
  struct File {
    const pb::FileDescriptorProto* proto = nullptr;
    State state = State::kWaiting;
  };

  // As deep as imports go, which the number of files bounds.
  Status add(File& file) {
    if (file.state == State::kDone) return {};
    if (file.state == State::kBegun)
      return invalid("the imports of the file " + in_quotes(file.proto->name()) + " lead back to it");
    file.state = State::kBegun;
    for (const std::string& import : file.proto->dependency()) {
      const auto found = files_.find(import);
      if (found == files_.end()) {
        return invalid("the file " + in_quotes(file.proto->name()) + " imports " + in_quotes(import) +
                       ", which the descriptor set does not have: " + std::string(kHowTo));
      }
      if (Status status = add(found->second); !status.ok()) return status;
    }
    FirstError errors;
    if (pool_.BuildFileCollectingErrors(*file.proto, &errors) == nullptr) return invalid(errors.text());
    file.state = State::kDone;
    return {};
  }

  pb::DescriptorPool& pool_;
  std::map<std::string, File> files_;
};

Result<pb::FileDescriptorSet> parse_set(std::string_view bytes) {
  if (bytes.empty()) return invalid("the descriptor set is empty: " + std::string(kHowTo));
  if (bytes.size() > kMaxDescriptorSetBytes) {
    return invalid("the descriptor set has " + std::to_string(bytes.size()) + " bytes; at most " +
                   std::to_string(kMaxDescriptorSetBytes) +
                   " are taken: leave out files that the message does not need");
  }
  pb::FileDescriptorSet set;
  if (!set.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())) || set.file().empty())
    return invalid("the descriptor set is no google.protobuf.FileDescriptorSet: " + std::string(kHowTo));
  if (static_cast<std::size_t>(set.file_size()) > kMaxDescriptorFiles) {
    return invalid("the descriptor set has " + std::to_string(set.file_size()) + " files; at most " +
                   std::to_string(kMaxDescriptorFiles) + " are taken");
  }
  return set;
}

std::string messages_of(const pb::FileDescriptorSet& set) {
  constexpr int kShown = 5;
  std::string out;
  int shown = 0;
  for (const pb::FileDescriptorProto& file : set.file()) {
    for (const pb::DescriptorProto& message : file.message_type()) {
      if (++shown > kShown) return out + " …";
      out += (out.empty() ? "" : ", ") + (file.package().empty() ? "" : file.package() + ".") + message.name();
    }
  }
  return out.empty() ? "none" : out;
}

}  // namespace

MessageSchema::MessageSchema(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MessageSchema::~MessageSchema() = default;

std::vector<std::string> MessageSchema::zero_is_absent(std::size_t most) const {
  std::set<std::string> names;
  for (const auto& [message, bytes] : impl_->bytes) {
    if (message->options().map_entry() || is_timestamp(*message) || wrapped_value(*message) != nullptr) continue;
    for (int i = 0; i < message->field_count(); ++i) {
      const pb::FieldDescriptor& field = *message->field(i);
      const bool reserved = message == impl_->root && is_reserved_name(field.name());
      if (!field.is_repeated() && !field.has_presence() && !reserved) names.insert(field.full_name());
    }
  }
  std::vector<std::string> all(names.begin(), names.end());
  if (all.size() > most) all.resize(most);
  return all;
}

Result<std::shared_ptr<const MessageSchema>> MessageSchema::build(std::string_view descriptor_set,
                                                                  std::string_view message) {
  if (message.empty() || message.size() > kMaxMessageNameBytes) {
    return invalid("the name of the message must have 1 to " + std::to_string(kMaxMessageNameBytes) +
                   " bytes, its package included");
  }
  // What is wrong is in the answer: Protocol Buffers would write it to stderr as well, among lines of JSON.
  const pb::LogSilencer silent;
  const auto set = parse_set(descriptor_set);
  if (!set) return set.error();
  auto impl = std::make_unique<Impl>();
  if (Status status = PoolBuilder(impl->pool).build(*set); !status.ok()) return status.error();
  impl->root = impl->pool.FindMessageTypeByName(std::string(message));
  if (impl->root == nullptr) {
    return invalid("the descriptor set has no message " + in_quotes(message) + "; its messages are " +
                   messages_of(*set));
  }
  if (Status status = check_schema(*impl); !status.ok()) return invalid(status.error().message);
  impl->prototype = impl->factory.GetPrototype(impl->root);
  return std::shared_ptr<const MessageSchema>(new MessageSchema(std::move(impl)));
}

}  // namespace millrace::telemetry
