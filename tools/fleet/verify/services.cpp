#include "verify/services.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <thread>

#include <grpcpp/channel.h>

#include <millrace/rpc/call.hpp>

#include "millrace/query/v1/query.grpc.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"

namespace millrace::fleet {

Result<std::vector<Device>> import_devices(const rpc::ClientOptions& registry, const std::string& tenant,
                                           const std::vector<std::string>& names) {
  const auto stub = registry::v1::RegistryService::NewStub(rpc::make_channel(registry));
  grpc::ClientContext context;
  rpc::prepare_stream(context, registry);
  const auto stream = stub->ImportDevices(&context);
  std::jthread writer([&] {
    for (const std::string& name : names) {
      registry::v1::CreateDeviceRequest request;
      request.set_tenant(tenant);
      request.set_device(name);
      if (!stream->Write(request)) break;  // Finish() says why
    }
    stream->WritesDone();
  });
  std::vector<Device> devices;
  std::string refused;
  for (registry::v1::ImportDeviceResult result; stream->Read(&result);) {
    if (result.error_code() == 0) {
      devices.push_back({result.device(), result.token(), Protocol::kMqtt311});
    } else if (refused.empty()) {
      refused = result.device() + ": " + result.error();
    }
  }
  writer.join();
  const Status status = rpc::from_grpc_status(stream->Finish());
  if (!status) return status.error();
  if (!refused.empty()) return Error{ErrorKind::kInvalid, refused};
  if (devices.size() != names.size()) return Error{ErrorKind::kUnavailable, "the registry's answer ended early"};
  return devices;
}

namespace {

/// Beyond this many devices the tenant's list is read instead of asking for each.
constexpr std::size_t kAskForEach = 1'000;

using RegistryStub = registry::v1::RegistryService::Stub;

Result<std::vector<std::int32_t>> keys_one_by_one(RegistryStub& stub, const rpc::ClientOptions& options,
                                                  const std::string& tenant, const std::vector<Device>& devices) {
  std::vector<std::int32_t> keys;
  for (const Device& device : devices) {
    registry::v1::GetDeviceRequest request;
    request.set_tenant(tenant);
    request.set_device(device.id);
    registry::v1::Device answer;
    grpc::ClientContext context;
    rpc::prepare(context, options);
    if (const Status status = rpc::from_grpc_status(stub.GetDevice(&context, request, &answer)); !status) {
      return status.error();
    }
    keys.push_back(answer.device_key());
  }
  return keys;
}

Result<std::vector<std::int32_t>> keys_from_list(RegistryStub& stub, const rpc::ClientOptions& options,
                                                 const std::string& tenant, const std::vector<Device>& devices) {
  std::vector<std::uint32_t> by_id(devices.size());
  std::iota(by_id.begin(), by_id.end(), 0U);
  const auto id_of = [&](std::uint32_t i) -> const std::string& { return devices[i].id; };
  std::ranges::sort(by_id, {}, id_of);
  std::vector<std::int32_t> keys(devices.size(), 0);
  registry::v1::ListDevicesRequest request;
  request.set_tenant(tenant);
  request.set_page_size(1000);
  do {
    registry::v1::ListDevicesResponse page;
    grpc::ClientContext context;
    rpc::prepare(context, options);
    if (const Status status = rpc::from_grpc_status(stub.ListDevices(&context, request, &page)); !status) {
      return status.error();
    }
    for (const auto& one : page.devices()) {
      // The same device may be named more than once.
      for (const std::uint32_t i : std::ranges::equal_range(by_id, one.device(), {}, id_of)) keys[i] = one.device_key();
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  const auto unknown = std::ranges::find(keys, 0);
  if (unknown == keys.end()) return keys;
  return Error{
      ErrorKind::kNotFound,
      "there is no device '" + devices[static_cast<std::size_t>(unknown - keys.begin())].id + "' in tenant " + tenant};
}

}  // namespace

Result<std::vector<std::int32_t>> device_keys(const rpc::ClientOptions& registry, const std::string& tenant,
                                              const std::vector<Device>& devices) {
  const auto stub = registry::v1::RegistryService::NewStub(rpc::make_channel(registry));
  return devices.size() > kAskForEach ? keys_from_list(*stub, registry, tenant, devices)
                                      : keys_one_by_one(*stub, registry, tenant, devices);
}

struct QueryClient::Impl {
  rpc::ClientOptions options;
  std::string tenant;
  std::unique_ptr<query::v1::QueryService::Stub> stub;
};

QueryClient::QueryClient(const rpc::ClientOptions& options, std::string tenant)
    : impl_(std::make_unique<Impl>(
          Impl{options, std::move(tenant), query::v1::QueryService::NewStub(rpc::make_channel(options))})) {}

QueryClient::~QueryClient() = default;

Result<ReceiptAnswer> QueryClient::receipt(const std::string& receipt, std::string& text) {
  query::v1::GetReceiptRequest request;
  request.set_tenant(impl_->tenant);
  request.set_receipt(receipt);
  query::v1::GetReceiptResponse response;
  grpc::ClientContext context;
  rpc::prepare(context, impl_->options);
  if (const Status status = rpc::from_grpc_status(impl_->stub->GetReceipt(&context, request, &response)); !status) {
    return status.error();
  }
  text = query::v1::ReceiptState_Name(response.state());
  if (response.state() == query::v1::RECEIPT_STATE_STORED) return ReceiptAnswer::kStored;
  return response.state() == query::v1::RECEIPT_STATE_PENDING ? ReceiptAnswer::kPending : ReceiptAnswer::kOther;
}

Result<std::vector<std::int64_t>> QueryClient::integers(const std::string& device, std::string_view metric,
                                                        TimeUs from_us, TimeUs to_us) {
  query::v1::RangeRequest request;
  request.set_tenant(impl_->tenant);
  request.set_device(device);
  request.set_metric(std::string(metric));
  request.set_from_us(from_us);
  request.set_to_us(to_us);
  request.set_page_size(10'000);
  std::vector<std::int64_t> values;
  do {
    query::v1::RangeResponse response;
    grpc::ClientContext context;
    rpc::prepare(context, impl_->options);
    if (const Status status = rpc::from_grpc_status(impl_->stub->Range(&context, request, &response)); !status) {
      return status.error();
    }
    for (const auto& sample : response.samples()) {
      const auto& value = sample.value();
      values.push_back(value.kind_case() == telemetry::v1::Value::kIntValue ? value.int_value()
                                                                            : std::llround(value.double_value()));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return values;
}

}  // namespace millrace::fleet
