#include <fstream>
#include <sstream>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <millrace/rpc/call.hpp>
#include <millrace/rpc/client.hpp>
#include <millrace/rpc/metadata.hpp>

namespace millrace::rpc {

std::shared_ptr<grpc::ChannelCredentials> channel_credentials(const std::string& ca_file) {
  if (ca_file.empty()) return grpc::InsecureChannelCredentials();
  std::ostringstream pem;
  pem << std::ifstream(ca_file).rdbuf();
  grpc::SslCredentialsOptions options;
  // Empty roots would mean the system's.
  options.pem_root_certs = pem.str().empty() ? "no certificate in " + ca_file : pem.str();
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> make_channel(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_receive_bytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  // Proxies of the environment are for the internet, not for one's own services.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(options.server.to_string(), channel_credentials(options.ca_file), arguments);
}

void prepare_stream(grpc::ClientContext& context, const ClientOptions& options) {
  // Without a key the service answers that it wants one.
  if (!options.api_key.empty() && fits_metadata(options.api_key))
    context.AddMetadata("authorization", "Bearer " + options.api_key);
}

void prepare(grpc::ClientContext& context, const ClientOptions& options) {
  prepare_stream(context, options);
  context.set_deadline(std::chrono::system_clock::now() + options.deadline);
}

}  // namespace millrace::rpc
