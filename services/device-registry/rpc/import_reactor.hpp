#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <millrace/registry/v1/registry.grpc.pb.h>
#include <millrace/rpc/call.hpp>

namespace millrace::registry {

class RegistryService;

/// ImportDevices: takes requests in batches, one transaction each, and answers in order. Reads on only after a batch is
/// answered, so that a fast client waits instead of filling memory. Deletes itself when done.
class ImportReactor final : public grpc::ServerBidiReactor<v1::CreateDeviceRequest, v1::ImportDeviceResult> {
 public:
  ImportReactor(RegistryService& service, rpc::Dispatcher& dispatcher, const rpc::Method& method,
                grpc::CallbackServerContext* context);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  void begin();
  void submit();
  void run_batch();
  void write_next();
  void end(const Status& outcome);

  RegistryService& service_;
  rpc::Dispatcher& dispatcher_;
  std::unique_ptr<rpc::CallScope> scope_;
  v1::CreateDeviceRequest request_;
  std::vector<v1::CreateDeviceRequest> batch_;
  std::deque<v1::ImportDeviceResult> answers_;
  bool client_done_ = false;
};

}  // namespace millrace::registry
