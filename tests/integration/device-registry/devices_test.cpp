// Devices in numbers: what a stream makes, what it answers when it is repeated, and that the topic has each once.
#include <map>
#include <set>
#include <thread>

#include <millrace/base/digest.hpp>

#include "eventually.hpp"
#include "millrace/registry/v1/entry.pb.h"
#include "registry_fixture.hpp"

namespace millrace::registry {
namespace {

std::string digest_of(const std::string& token) { return std::string(bytes_of(sha256(token))); }

class Devices : public Registry {
 protected:
  static v1::CreateDeviceRequest device(const std::string& name, const std::string& token = {}) {
    v1::CreateDeviceRequest request;
    request.set_device(name);
    if (!token.empty()) request.set_token_sha256(digest_of(token));
    return request;
  }

  std::vector<v1::ImportDeviceResult> import(const std::vector<v1::CreateDeviceRequest>& requests) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + operator_);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const auto stream = stub_->ImportDevices(&context);
    std::jthread writer([&] {
      for (const auto& request : requests) {
        if (!stream->Write(request)) break;
      }
      stream->WritesDone();
    });
    std::vector<v1::ImportDeviceResult> results;
    for (v1::ImportDeviceResult result; stream->Read(&result);) results.push_back(result);
    writer.join();
    const auto status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return results;
  }

  /// {device: its entry} of all that the topic ever said about devices, and how often it did.
  std::map<std::string, v1::DeviceEntry> entries(std::size_t& records) {
    std::map<std::string, v1::DeviceEntry> found;
    records = 0;
    for (const auto& record : log_of(topics_.registry())) {
      v1::Entry entry;
      if (!record.key.starts_with("device/acme/") || !entry.ParseFromString(record.value)) continue;
      ++records;
      found[entry.device().device()] = entry.device();
    }
    return found;
  }
};

TEST_F(Devices, AStreamOfSeveralBatchesIsAnsweredInOrderAndPublishedOnce) {
  constexpr std::size_t kCount = 2'500;
  std::vector<v1::CreateDeviceRequest> requests;
  for (std::size_t i = 0; i < kCount; ++i) requests.push_back(device("m-" + std::to_string(i)));
  requests[7].set_device("no blanks");
  requests[8].set_attributes_json("[1]");
  requests[9].set_device("m-3");
  const auto results = import(requests);
  ASSERT_EQ(results.size(), kCount);
  std::set<std::string> tokens;
  for (std::size_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(results[i].device(), requests[i].device());
    if (i < 7 || i > 9) {
      EXPECT_EQ(results[i].error_code(), 0) << results[i].error();
      EXPECT_FALSE(results[i].existed());
      tokens.insert(results[i].token());
    }
  }
  EXPECT_EQ(tokens.size(), kCount - 3);
  EXPECT_EQ(results[7].error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(results[8].error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(results[9].error_code(), grpc::StatusCode::ALREADY_EXISTS);
  std::size_t records = 0;
  ASSERT_TRUE(testing::eventually([&] { return entries(records).size() == kCount - 3; }));
  const auto found = entries(records);
  EXPECT_EQ(records, kCount - 3);
  std::set<std::int32_t> keys;
  for (const auto& [name, entry] : found) keys.insert(entry.device_key());
  EXPECT_EQ(keys.size(), kCount - 3);
  ASSERT_EQ(found.at("m-42").token_sha256_size(), 1);
  EXPECT_EQ(found.at("m-42").token_sha256(0), digest_of(results[42].token()));
}

TEST_F(Devices, AnImportThatIsRepeatedWithTheSameTokensChangesNothing) {
  const std::vector<v1::CreateDeviceRequest> requests{device("m-1", "t1"), device("m-2", "t2")};
  for (const auto& result : import(requests)) {
    EXPECT_EQ(result.error_code(), 0) << result.error();
    EXPECT_FALSE(result.existed());
    EXPECT_EQ(result.token(), "") << "the caller has it";
  }
  const auto key_now = [&] {
    const auto rows = database_->exec("SELECT last_value FROM registry.device_key_seq");
    return rows.ok() ? rows->integer(0, 0) : -1;
  };
  const auto before = key_now();
  // The client did not hear the answers: it says the same again, and goes on.
  const auto again = import({device("m-1", "t1"), device("m-2", "t2"), device("m-3", "t3")});
  ASSERT_EQ(again.size(), 3U);
  EXPECT_TRUE(again[0].existed() && again[1].existed());
  EXPECT_EQ(again[0].error_code(), 0);
  EXPECT_FALSE(again[2].existed());
  EXPECT_EQ(key_now(), before + 1) << "no key is used up for what is there";
  std::size_t records = 0;
  ASSERT_TRUE(testing::eventually([&] { return entries(records).size() == 3; }));
  EXPECT_EQ(records, 3U);

  v1::GetDeviceRequest get;
  get.set_device("m-1");
  v1::Device stored;
  ASSERT_TRUE(call(&Stub::GetDevice, get, stored, operator_).ok());
  EXPECT_EQ(stored.tokens(), 1);
}

TEST_F(Devices, AnotherTokenForADeviceThatExistsIsRefused) {
  ASSERT_EQ(import({device("m-1", "t1")}).at(0).error_code(), 0);
  EXPECT_EQ(import({device("m-1", "t2")}).at(0).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(import({device("m-1")}).at(0).error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(Devices, ATokenOfAnotherDeviceIsRefusedAndStopsNobody) {
  ASSERT_EQ(import({device("m-1", "t1")}).at(0).error_code(), 0);
  const auto results = import({device("m-2", "t1"), device("m-3", "t3"), device("m-4", "t3"), device("m-5", "t5")});
  ASSERT_EQ(results.size(), 4U);
  EXPECT_EQ(results[0].error_code(), grpc::StatusCode::ABORTED) << results[0].error();
  EXPECT_EQ(results[1].error_code() == 0, results[2].error_code() != 0) << "one of the two has it";
  EXPECT_EQ(results[3].error_code(), 0) << results[3].error();
  v1::GetDeviceRequest get;
  get.set_device("m-2");
  v1::Device nobody;
  EXPECT_EQ(call(&Stub::GetDevice, get, nobody, operator_).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(Devices, TheSameNameTwiceInOneBatch) {
  const auto same = import({device("m-1", "t1"), device("m-1", "t1"), device("m-1", "t2")});
  ASSERT_EQ(same.size(), 3U);
  EXPECT_FALSE(same[0].existed());
  EXPECT_TRUE(same[1].existed());
  EXPECT_EQ(same[1].error_code(), 0);
  EXPECT_EQ(same[2].error_code(), grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(Devices, OneDeviceMayBringItsToken) {
  v1::CreateDeviceResponse made;
  ASSERT_TRUE(call(&Stub::CreateDevice, device("m-1", "t1"), made, operator_).ok());
  EXPECT_EQ(made.token(), "");
  EXPECT_FALSE(made.existed());
  v1::CreateDeviceResponse again;
  ASSERT_TRUE(call(&Stub::CreateDevice, device("m-1", "t1"), again, operator_).ok());
  EXPECT_TRUE(again.existed());
  EXPECT_EQ(again.device().device_key(), made.device().device_key());
  v1::CreateDeviceRequest odd = device("m-2");
  odd.set_token_sha256("short");
  EXPECT_EQ(call(&Stub::CreateDevice, odd, again, operator_).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace millrace::registry
