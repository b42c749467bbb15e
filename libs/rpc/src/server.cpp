#include <mutex>

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <millrace/rpc/server.hpp>
#include <millrace/tls/server_context.hpp>

namespace millrace::rpc {
namespace {

constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr unsigned kLookAtFilesEveryS = 1;

void prepare_libraries() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // A request that is no message is answered with a status. A line on stderr for each would be for anybody to write.
    google::protobuf::SetLogHandler(nullptr);
  });
}

void apply(const ServerOptions& options, grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("millrace");
  quota.Resize(options.memory_bytes);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  builder.SetMaxSendMessageSize(options.max_send_bytes);
  // gRPC shares a port in use by default: two servers would each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive.count()));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             static_cast<int>(options.min_ping_interval.count()));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3);
}

// gRPC looks at the files by itself; a fault in them is only logged there, so they are checked before.
Result<std::shared_ptr<grpc::ServerCredentials>> credentials(const ServerOptions& options) {
  if (options.certificate_file.empty()) return grpc::InsecureServerCredentials();
  const auto checked = tls::ServerContext::create({{{options.certificate_file, options.key_file}}, {}, {}});
  if (!checked.ok()) return checked.error();
  auto files = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.key_file, options.certificate_file, kLookAtFilesEveryS);
  grpc::experimental::TlsServerCredentialsOptions secure(std::move(files));
  secure.watch_identity_key_cert_pairs();
  secure.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return grpc::experimental::TlsServerCredentials(secure);
}

}  // namespace

struct Server::Impl {
  std::unique_ptr<grpc::Server> server;
  Address address;
  std::once_flag stopped;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { (void)stop(std::chrono::steady_clock::now()); }

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options,
                                              const std::vector<grpc::Service*>& services) {
  prepare_libraries();
  auto secured = credentials(options);
  if (!secured.ok()) return secured.error();
  grpc::ServerBuilder builder;
  apply(options, builder);
  int port = 0;
  builder.AddListeningPort(options.listen.to_string(), *secured, &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  auto impl = std::make_unique<Impl>();
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || port == 0) {
    return Error{ErrorKind::kUnavailable,
                 "cannot listen on " + options.listen.to_string() + ": the port is taken or may not be bound"};
  }
  impl->address = Address{options.listen.host, static_cast<std::uint16_t>(port)};
  impl->server->GetHealthCheckService()->SetServingStatus(true);
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

const Address& Server::address() const { return impl_->address; }

void Server::set_not_serving() { impl_->server->GetHealthCheckService()->SetServingStatus(false); }

Status Server::stop(std::chrono::steady_clock::time_point deadline) {
  Status outcome;
  std::call_once(impl_->stopped, [&] {
    const auto left = deadline - std::chrono::steady_clock::now();
    impl_->server->Shutdown(std::chrono::system_clock::now() + left);
    if (std::chrono::steady_clock::now() >= deadline) {
      outcome = Error{ErrorKind::kUnavailable, "calls were still running at the deadline and have been cancelled"};
    }
  });
  return outcome;
}

std::shared_ptr<grpc::Channel> Server::in_process_channel() { return impl_->server->InProcessChannel({}); }

}  // namespace millrace::rpc
