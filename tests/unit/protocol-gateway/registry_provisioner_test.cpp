// Devices that come with a certificate and are made: against a registry in this process.
#include "identity/registry_provisioner.hpp"

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <set>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "eventually.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"

namespace millrace::gateway {
namespace {

namespace api = registry::v1;
using std::chrono::minutes;
using std::chrono::steady_clock;

/// Answers as the test says, when the test lets it.
class FakeRegistry final : public api::RegistryService::Service {
 public:
  grpc::Status ProvisionDevice(grpc::ServerContext* context, const api::ProvisionDeviceRequest* request,
                               api::ProvisionDeviceResponse* response) override {
    std::unique_lock lock(mutex_);
    ++calls_;
    last_ = *request;
    const auto key = context->client_metadata().find("authorization");
    if (key != context->client_metadata().end()) authorization_.assign(key->second.data(), key->second.size());
    open_changed_.wait(lock, [this] { return open_; });
    response->mutable_device()->set_device(answered_device_.empty() ? request->chain(0) : answered_device_);
    response->set_existed(existed_);
    return answer_;
  }

  void answer(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    answer_ = status;
  }
  void answer_for(const std::string& device) {
    const std::lock_guard lock(mutex_);
    answered_device_ = device;
  }
  void existed() {
    const std::lock_guard lock(mutex_);
    existed_ = true;
  }
  void set_open(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    open_changed_.notify_all();
  }
  [[nodiscard]] int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  [[nodiscard]] std::string authorization() const {
    const std::lock_guard lock(mutex_);
    return authorization_;
  }
  [[nodiscard]] api::ProvisionDeviceRequest last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable open_changed_;
  bool open_ = true;
  bool existed_ = false;
  int calls_ = 0;
  grpc::Status answer_;
  std::string answered_device_;
  std::string authorization_;
  api::ProvisionDeviceRequest last_;
};

/// Devices become known when the test says so.
class FakeArrivals final : public Arrivals {
 public:
  void arrive(const std::string& device) {
    const std::lock_guard lock(mutex_);
    known_.insert(device);
    changed_.notify_all();
  }
  [[nodiscard]] bool wait_for(const std::string& /*tenant*/, const std::string& device,
                              steady_clock::time_point deadline, const std::stop_token& stop) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    const bool there = changed_.wait_until(lock, stop, deadline, [&] { return known_.contains(device); });
    --waiting_;
    return there;
  }
  [[nodiscard]] int waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<std::string> known_;
  int waiting_ = 0;
};

class RegistryProvisionerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int port = serve(0);
    std::string folder = (std::filesystem::temp_directory_path() / "millrace-provisioner-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    write_key("mk_first");
    options_.registry.server = {"127.0.0.1", static_cast<std::uint16_t>(port)};
    options_.registry.deadline = minutes(2);
    options_.key_file = folder_ + "/key";
    options_.patience = minutes(2);
  }
  void TearDown() override {
    registry_.set_open(true);
    provisioner_.reset();
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  int serve(int port) {
    grpc::ServerBuilder builder;
    int chosen = 0;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(), &chosen);
    builder.RegisterService(&registry_);
    server_ = builder.BuildAndStart();
    return chosen;
  }
  void write_key(const std::string& key) const { std::ofstream(folder_ + "/key") << key << "\n"; }
  void begin() { provisioner_ = std::make_unique<RegistryProvisioner>(options_, arrivals_, metrics_); }
  /// The answer for a device whose certificate is, here, its name.
  std::future<Status> ask(const std::string& device) {
    auto promise = std::make_shared<std::promise<Status>>();
    provisioner_->provision("acme", device, {device}, [promise](const Status& status) { promise->set_value(status); });
    return promise->get_future();
  }
  static ErrorKind kind_of(const Status& status) { return status.ok() ? ErrorKind::kInternal : status.error().kind; }
  [[nodiscard]] bool counted(const char* outcome, int times) const {
    const std::string line = "millrace_gateway_provisioning_total{outcome=\"" + std::string(outcome) + "\"} ";
    const std::string text = metrics_.expose();
    const std::size_t at = text.find(line);
    return at != std::string::npos && std::atoi(text.c_str() + at + line.size()) == times;
  }

  FakeRegistry registry_;
  FakeArrivals arrivals_;
  observability::Metrics metrics_;
  std::unique_ptr<grpc::Server> server_;
  std::string folder_;
  RegistryProvisioner::Options options_;
  std::unique_ptr<RegistryProvisioner> provisioner_;
};

TEST_F(RegistryProvisionerTest, ADeviceIsMadeAndWaitedFor) {
  begin();
  auto made = ask("fresh-1");
  ASSERT_TRUE(testing::eventually([&] { return arrivals_.waiting() == 1; }));
  EXPECT_EQ(made.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "it is not known here yet";
  arrivals_.arrive("fresh-1");
  EXPECT_TRUE(made.get().ok());
  EXPECT_EQ(registry_.last().tenant(), "acme");
  EXPECT_EQ(registry_.authorization(), "Bearer mk_first");
  EXPECT_TRUE(counted("made", 1));
  write_key("mk_second");
  registry_.existed();
  arrivals_.arrive("fresh-2");
  EXPECT_TRUE(ask("fresh-2").get().ok());
  EXPECT_EQ(registry_.authorization(), "Bearer mk_second") << "a new key needs no restart";
  EXPECT_TRUE(counted("existed", 1));
}

TEST_F(RegistryProvisionerTest, WhoComesForADeviceThatIsBeingMadeSharesTheCall) {
  options_.most_waiting = 2;
  registry_.set_open(false);
  arrivals_.arrive("fresh-1");
  begin();
  auto first = ask("fresh-1");
  auto second = ask("fresh-1");
  EXPECT_EQ(kind_of(ask("fresh-1").get()), ErrorKind::kUnavailable) << "a third one has no room";
  registry_.set_open(true);
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  EXPECT_EQ(registry_.calls(), 1);
}

TEST_F(RegistryProvisionerTest, TheQueueIsBounded) {
  options_.threads = 1;
  options_.queue = 1;
  registry_.set_open(false);
  begin();
  auto running = ask("fresh-1");
  ASSERT_TRUE(testing::eventually([&] { return registry_.calls() == 1; }));
  auto queued = ask("fresh-2");
  EXPECT_EQ(kind_of(ask("fresh-3").get()), ErrorKind::kUnavailable);
  for (const char* device : {"fresh-1", "fresh-2"}) arrivals_.arrive(device);
  registry_.set_open(true);
  EXPECT_TRUE(running.get().ok());
  EXPECT_TRUE(queued.get().ok());
}

TEST_F(RegistryProvisionerTest, WhatTheRegistryRefusesIsForTheDeviceAndWhatFailsIsForLater) {
  begin();
  registry_.answer({grpc::StatusCode::FAILED_PRECONDITION, "the authority has made 5 devices, the most it may"});
  const Status refused = ask("fresh-1").get();
  EXPECT_EQ(kind_of(refused), ErrorKind::kForbidden);
  EXPECT_NE(refused.error().message.find("the most it may"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(counted("refused", 1));

  registry_.answer({grpc::StatusCode::PERMISSION_DENIED, "this key may not"});
  const Status failed = ask("fresh-1").get();
  EXPECT_EQ(kind_of(failed), ErrorKind::kUnavailable);
  EXPECT_EQ(failed.error().message.find("key"), std::string::npos) << "that is the operator's business";
  EXPECT_TRUE(counted("failed", 1));

  registry_.answer(grpc::Status::OK);
  registry_.answer_for("somebody-else");
  const Status other = ask("fresh-1").get();
  EXPECT_EQ(kind_of(other), ErrorKind::kForbidden);
  EXPECT_NE(other.error().message.find("names another one"), std::string::npos) << other.error().message;
}

TEST_F(RegistryProvisionerTest, WithoutAKeyNobodyIsAsked) {
  options_.key_file = folder_ + "/missing";
  begin();
  EXPECT_EQ(kind_of(ask("fresh-1").get()), ErrorKind::kUnavailable);
  EXPECT_EQ(registry_.calls(), 0);
}

TEST_F(RegistryProvisionerTest, ADeviceThatDoesNotComeIsToldToTryAgain) {
  options_.patience = std::chrono::milliseconds(50);
  begin();
  const Status late = ask("fresh-1").get();
  EXPECT_EQ(kind_of(late), ErrorKind::kUnavailable);
  EXPECT_NE(late.error().message.find("is not known here yet"), std::string::npos) << late.error().message;
}

TEST_F(RegistryProvisionerTest, ACallWaitsForARegistryThatIsNotThereYet) {
  server_->Shutdown();
  server_.reset();
  begin();
  auto made = ask("fresh-1");
  EXPECT_EQ(made.wait_for(std::chrono::milliseconds(500)), std::future_status::timeout);
  arrivals_.arrive("fresh-1");
  serve(options_.registry.server.port);
  EXPECT_TRUE(made.get().ok());
  EXPECT_TRUE(counted("failed", 0));
}

TEST_F(RegistryProvisionerTest, AStopEndsACallThatWaitsForTheRegistry) {
  server_->Shutdown();
  begin();
  auto made = ask("fresh-1");
  const auto begun = steady_clock::now();
  provisioner_->stop();
  EXPECT_EQ(kind_of(made.get()), ErrorKind::kUnavailable);
  EXPECT_LT(steady_clock::now() - begun, minutes(1));
}

TEST_F(RegistryProvisionerTest, AStopEndsTheWaitingAndTakesNothingMore) {
  options_.patience = minutes(30);
  begin();
  auto waiting = ask("fresh-1");
  ASSERT_TRUE(testing::eventually([&] { return arrivals_.waiting() == 1; }));
  const auto begun = steady_clock::now();
  provisioner_->stop();
  EXPECT_EQ(kind_of(waiting.get()), ErrorKind::kUnavailable);
  EXPECT_LT(steady_clock::now() - begun, minutes(10));
  EXPECT_EQ(kind_of(ask("fresh-2").get()), ErrorKind::kUnavailable);
}

}  // namespace
}  // namespace millrace::gateway
