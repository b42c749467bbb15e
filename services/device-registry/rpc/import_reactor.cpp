#include "rpc/import_reactor.hpp"

#include <millrace/base/ids.hpp>
#include <millrace/rpc/status.hpp>

#include "rpc/registry_service.hpp"
#include "store/device_types.hpp"
#include "store/devices.hpp"

namespace millrace::registry {
namespace {

// Two milliseconds of commit are then little for each device, and the outbox is locked for tens of milliseconds only.
constexpr std::size_t kBatch = 1000;
constexpr std::chrono::seconds kBatchTimeout{30};

v1::ImportDeviceResult answer_of(const std::string& device, const Result<v1::CreateDeviceResponse>& created) {
  v1::ImportDeviceResult answer;
  answer.set_device(device);
  if (created.ok()) {
    answer.set_token(created->token());
    answer.set_existed(created->existed());
  } else {
    answer.set_error_code(static_cast<int>(rpc::to_code(created.error().kind)));
    answer.set_error(created.error().message);
  }
  return answer;
}

Status check_request(const v1::CreateDeviceRequest& request, const std::string& tenant) {
  if (!request.tenant().empty() && request.tenant() != tenant)
    return Error{ErrorKind::kInvalid, "one import makes devices of one tenant"};
  if (auto valid = check_id("device id", request.device()); !valid.ok()) return valid;
  if (auto valid = check_token_digest(request.token_sha256()); !valid.ok()) return valid;
  if (auto valid = check_type_name(request.type()); !valid.ok()) return valid;
  return check_attributes(request.attributes_json());
}

}  // namespace

ImportReactor::ImportReactor(RegistryService& service, rpc::Dispatcher& dispatcher, const rpc::Method& method,
                             grpc::CallbackServerContext* context)
    : service_(service), dispatcher_(dispatcher), scope_(dispatcher.open(context, method)) {
  // Authentication asks the database: on the pool.
  if (!dispatcher_.pool().try_submit([this] { begin(); }))
    end(Error{ErrorKind::kThrottled, "too many calls are waiting; try again"});
}

void ImportReactor::begin() {
  if (auto status = dispatcher_.authenticate(*scope_); !status.ok()) return end(status);
  StartRead(&request_);
}

void ImportReactor::OnReadDone(bool ok) {
  if (ok) {
    batch_.push_back(std::move(request_));
    request_.Clear();
    if (batch_.size() < kBatch) {
      StartRead(&request_);
      return;
    }
  } else {
    client_done_ = true;
  }
  submit();
}

void ImportReactor::submit() {
  if (batch_.empty()) return end({});
  if (!dispatcher_.pool().try_submit([this] { run_batch(); }))
    end(Error{ErrorKind::kThrottled, "too many calls are waiting; import the rest later"});
}

void ImportReactor::run_batch() {
  rpc::Call call = scope_->call();
  call.deadline = std::min(call.deadline, std::chrono::steady_clock::now() + kBatchTimeout);
  const auto tenant = rpc::tenant_of(call.caller, batch_.front().tenant());
  if (!tenant.ok()) return end(tenant.error());
  if (auto safe = service_.check_keys_safe(); !safe.ok()) return end(safe);
  std::vector<Status> checks;
  std::vector<NewDevice> devices;
  for (const v1::CreateDeviceRequest& request : batch_) {
    checks.push_back(check_request(request, *tenant));
    if (checks.back().ok()) {
      devices.push_back({request.device(), request.attributes_json(), request.token_sha256(), request.type()});
    }
  }
  std::vector<Result<v1::CreateDeviceResponse>> created;
  const Status done = service_.change(call, "import devices", *tenant + " (" + std::to_string(devices.size()) + ")",
                                      [&](postgres::Connection& connection) -> Status {
                                        auto made = create_devices(connection, *tenant, devices);
                                        if (!made.ok()) return made.error();
                                        created = std::move(*made);
                                        return {};
                                      });
  if (!done.ok()) return end(done);
  std::size_t next = 0;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    answers_.push_back(answer_of(
        batch_[i].device(), checks[i].ok() ? created[next++] : Result<v1::CreateDeviceResponse>(checks[i].error())));
  }
  batch_.clear();
  write_next();
}

void ImportReactor::write_next() { StartWrite(&answers_.front()); }

void ImportReactor::OnWriteDone(bool ok) {
  if (!ok) return end(Error{ErrorKind::kUnavailable, "the client is gone"});
  answers_.pop_front();
  if (!answers_.empty()) return write_next();
  if (client_done_) return end({});
  StartRead(&request_);
}

void ImportReactor::end(const Status& outcome) { Finish(scope_->finish(outcome)); }

void ImportReactor::OnDone() { delete this; }

}  // namespace millrace::registry
