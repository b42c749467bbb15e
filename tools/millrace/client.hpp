#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <grpcpp/grpcpp.h>

#include "settings.hpp"

namespace millrace::cli {

/// Which of the two services a call goes to; decides address and what an error advises.
enum class Target { kRegistry, kQuery };

/// Throws the CommandError for a failed call: what the service said, and what to do next. `hint` is the advice where
/// the service said NOT_FOUND.
[[noreturn]] void throw_rpc_error(const grpc::Status& status, Target target, const Settings& settings,
                                  std::string_view hint);

/// A channel to the service; connects with the first call. Throws CommandError when no API key is set.
[[nodiscard]] std::shared_ptr<grpc::Channel> open_channel(const Settings& settings, Target target);

/// Adds the API key.
void authorize(grpc::ClientContext& context, const Settings& settings);

/// One service of Millrace. Blocking calls, one thread.
template <class Service>
class Client {
 public:
  using Stub = typename Service::StubInterface;

  Client(const Settings& settings, Target target)
      : settings_(settings), target_(target), stub_(Service::NewStub(open_channel(settings, target))) {}

  /// Throws CommandError when the call fails.
  template <class Request, class Response>
  Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
                std::string_view hint = {}) {
    grpc::ClientContext context;
    authorize(context, settings_);
    context.set_deadline(std::chrono::system_clock::now() + settings_.timeout);
    Response response;
    const grpc::Status status = ((*stub_).*method)(&context, request, &response);
    if (!status.ok()) fail(status, hint);
    return response;
  }

  [[noreturn]] void fail(const grpc::Status& status, std::string_view hint = {}) const {
    throw_rpc_error(status, target_, settings_, hint);
  }

  [[nodiscard]] Stub& stub() { return *stub_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }

 private:
  Settings settings_;
  Target target_;
  std::unique_ptr<Stub> stub_;
};

}  // namespace millrace::cli
