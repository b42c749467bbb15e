#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>

namespace millrace::test {

/// What protoc makes of a .proto file with these contents, as docs/protocols.md calls it.
class DescriptorSet {
 public:
  explicit DescriptorSet(const std::string& source) {
    std::string folder = (std::filesystem::temp_directory_path() / "millrace-proto-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no temporary folder");
    std::ofstream(folder + "/test.proto") << source;
    const std::string call = "protoc -I '" + folder + "' --include_imports --descriptor_set_out='" + folder +
                             "/set' '" + folder + "/test.proto' 2>'" + folder + "/errors'";
    const bool made = std::system(call.c_str()) == 0;  // NOLINT(concurrency-mt-unsafe)
    std::ifstream in(folder + "/set", std::ios::binary);
    const bool read = made && set_.ParseFromIstream(&in);
    std::filesystem::remove_all(folder);
    if (!read) throw std::logic_error("protoc does not take it: " + source);
  }

  [[nodiscard]] google::protobuf::FileDescriptorSet& set() { return set_; }
  [[nodiscard]] std::string bytes() const { return set_.SerializeAsString(); }

  /// The wire form of a message that is given in the text format, `x: 1 y { z: 2 }`.
  [[nodiscard]] std::string encode(const std::string& message, const std::string& text) const {
    google::protobuf::DescriptorPool pool;
    for (const auto& file : set_.file()) {
      if (pool.BuildFile(file) == nullptr) throw std::logic_error("cannot build " + file.name());
    }
    google::protobuf::DynamicMessageFactory factory(&pool);
    const std::unique_ptr<google::protobuf::Message> made(
        factory.GetPrototype(pool.FindMessageTypeByName(message))->New());
    google::protobuf::TextFormat::Parser parser;
    parser.AllowPartialMessage(true);
    if (!parser.ParseFromString(text, made.get())) throw std::logic_error("no text: " + text);
    return made->SerializePartialAsString();
  }

 private:
  google::protobuf::FileDescriptorSet set_;
};

}  // namespace millrace::test
