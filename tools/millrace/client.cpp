#include "client.hpp"

#include <string_view>

#include <millrace/rpc/client.hpp>
#include <millrace/rpc/metadata.hpp>

#include "command_error.hpp"

namespace millrace::cli {
namespace {

struct TargetText {
  const char* program;
  const char* flag;
  const char* variable;
};

TargetText text_of(Target target) {
  switch (target) {
    case Target::kRegistry:
      return {"device-registry", "--registry", "MILLRACE_REGISTRY_ADDR"};
    case Target::kQuery:
      return {"query-api", "--query", "MILLRACE_QUERY_ADDR"};
  }
  return {};
}

const std::string& address_of(Target target, const Settings& settings) {
  return target == Target::kRegistry ? settings.registry : settings.query;
}

/// What somebody does who was told that a call is not allowed.
std::string right_key(std::string_view said) {
  if (said.starts_with("your key belongs to tenant"))
    return "name that tenant with --tenant or MILLRACE_TENANT, or use a key of the other one";
  if (said.find("key of the platform") != std::string_view::npos)
    return "give the platform's key with --api-key: `device-registry bootstrap` printed it, `./dev env` has it as "
           "MILLRACE_PLATFORM_KEY";
  return "use an API key of that role: `millrace key create --role ROLE`";
}

}  // namespace

void throw_rpc_error(const grpc::Status& status, Target target, const Settings& settings, std::string_view hint) {
  const TargetText text = text_of(target);
  const std::string who = std::string(text.program) + " at " + address_of(target, settings);
  const std::string& said = status.error_message();
  switch (static_cast<int>(status.error_code())) {
    case grpc::StatusCode::UNAVAILABLE:
      throw CommandError(who + " is not available: " + said,
                         std::string("see `./dev status`, start it with `./dev up`, or name another address with ") +
                             text.flag + " or " + text.variable);
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      throw CommandError(who + " did not answer in time", "ask for less, or give it longer with --timeout SECONDS");
    case grpc::StatusCode::UNAUTHENTICATED:
      throw CommandError(who + " does not accept the API key: " + said,
                         "check --api-key, MILLRACE_API_KEY or api_key in the profile" +
                             (settings.profile.empty() ? std::string() : " " + settings.profile.string()));
    case grpc::StatusCode::PERMISSION_DENIED:
      throw CommandError("not allowed: " + said, right_key(said));
    case grpc::StatusCode::NOT_FOUND:
      throw CommandError(said, std::string(hint));
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      throw CommandError(who + ": " + said, "try again later, or ask for less");
    case grpc::StatusCode::UNIMPLEMENTED:
      throw CommandError(who + " does not know this call", "its version is older than this program's; update it");
    default:
      throw CommandError(said.empty() ? who + ": status " + std::to_string(status.error_code()) : said);
  }
}

std::shared_ptr<grpc::Channel> open_channel(const Settings& settings, Target target) {
  if (settings.api_key.empty()) {
    throw usage_error(
        "no API key is set",
        "`./dev up` writes a profile with one; or give --api-key, MILLRACE_API_KEY or api_key in a profile");
  }
  if (!rpc::fits_metadata(settings.api_key)) {
    throw usage_error("the API key holds a byte that no key has", "copy it again: `mk_`, an id and a secret");
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  // Notices a dead peer under a quiet tail.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  return grpc::CreateCustomChannel(address_of(target, settings), rpc::channel_credentials(settings.ca_file), arguments);
}

void authorize(grpc::ClientContext& context, const Settings& settings) {
  context.AddMetadata("authorization", "Bearer " + settings.api_key);
}

}  // namespace millrace::cli
