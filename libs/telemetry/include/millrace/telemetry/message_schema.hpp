#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::telemetry {

/// Bounds of what may be registered.
inline constexpr std::size_t kMaxDescriptorSetBytes = 256 * 1024;
inline constexpr std::size_t kMaxDescriptorFiles = 256;
inline constexpr std::size_t kMaxMessageNameBytes = 512;
/// Kinds of messages that can stand in the message that is sent, itself among them. Protocol Buffers prepares them by
/// recursion, perhaps through all of them one in another, at about 200 B of stack each.
inline constexpr std::size_t kMaxMessageKinds = 1000;

/// The message of Protocol Buffers that devices of a type send, made of a descriptor that somebody has registered. Made
/// once (milliseconds for a large set), then only read: any number of threads may decode with it at once.
class MessageSchema {
 public:
  /// `descriptor_set` is a serialized google.protobuf.FileDescriptorSet with every import, `message` the full name of
  /// the message in it. kInvalid names what cannot be used: a file or import that is missing, a message that is not
  /// there, a group, extensions, a time that is none, a message without a field that could be a metric, or with too
  /// many kinds of messages in it.
  [[nodiscard]] static Result<std::shared_ptr<const MessageSchema>> build(std::string_view descriptor_set,
                                                                          std::string_view message);

  /// Full names of fields in which zero cannot be told from nothing, and so is no point; at most `most`.
  [[nodiscard]] std::vector<std::string> zero_is_absent(std::size_t most) const;

  ~MessageSchema();
  MessageSchema(const MessageSchema&) = delete;
  MessageSchema& operator=(const MessageSchema&) = delete;

  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  explicit MessageSchema(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::telemetry
